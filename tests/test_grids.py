"""Grids: what is resampled is what Pillow makes, whatever the parts, and no class is invented."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from builders import texture
from tessera import grids
from tessera.classes import IGNORE
from tessera.grids import axes, nearest, resampled, resampled_mask

SHAPES = [(77, 51), (150, 130), (299, 261), (411, 97), (1, 3)]
sides = st.integers(1, 60)


@pytest.mark.parametrize("shape", SHAPES)
def test_grey_levels_are_those_of_pillow(shape):
    page = texture(0).astype(np.float32)
    image = Image.fromarray(page, mode="F")
    expected = np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR))
    np.testing.assert_allclose(resampled(page, shape), expected, rtol=0, atol=2e-6)


def test_the_same_shape_is_the_same_page():
    page = texture(1)
    assert resampled(page, page.shape) is page
    mask = (page > 0).astype(np.uint8)
    assert resampled_mask(mask, mask.shape) is mask


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(0, 2**32), st.integers(9, 40))
@settings(max_examples=60)
def test_parts_are_the_whole_bit_for_bit(shape, wanted, seed, side):
    page = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    whole = np.stack([resampled(plane.astype(np.float64), wanted) for plane in page])
    if shape == wanted:
        whole = page
    down, across = axes(shape, wanted)
    for top in range(0, wanted[0], side):
        for left in range(0, wanted[1], side):
            rows = slice(top, min(top + side, wanted[0]))
            columns = slice(left, min(left + side, wanted[1]))
            window = page[:, down.read(rows), across.read(columns)]
            part = across.made(down.made(window, rows, -2), columns, -1)
            assert np.array_equal(part, whole[:, rows, columns])


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(0, 2**32))
@settings(max_examples=60)
def test_means_of_shares_are_shares(shape, wanted, seed):
    page = np.random.default_rng(seed).dirichlet([0.3] * 3, size=shape).astype(np.float32)
    planes = np.stack([resampled(page[..., code], wanted) for code in range(3)])
    assert planes.min() >= 0
    np.testing.assert_allclose(planes.sum(axis=0), 1, atol=1e-5)


def test_nothing_finer_than_the_new_grid_is_left():
    page = np.indices((64, 64)).sum(axis=0) % 2 * 1000.0
    inside = resampled(page, (20, 20))[2:-2, 2:-2]
    assert abs(inside - 500).max() < 60


@given(st.tuples(sides, sides), st.tuples(sides, sides), st.integers(0, 2**32), st.integers(1, 300))
@settings(max_examples=60)
def test_masks_hold_the_class_of_most_of_the_area(shape, wanted, seed, strip):
    random = np.random.default_rng(seed)
    mask = random.choice(np.array([0, 1, 2, IGNORE], np.uint8), size=shape)
    before, grids.STRIP_PX = grids.STRIP_PX, strip
    try:
        found = resampled_mask(mask, wanted)
    finally:
        grids.STRIP_PX = before
    assert found.dtype == np.uint8
    assert set(np.unique(found)) <= set(np.unique(mask))
    areas = {code: _areas(mask == code, wanted) for code in np.unique(mask)}
    most = np.max(list(areas.values()), axis=0)
    centre = nearest(mask, wanted)
    for code, area in areas.items():
        np.testing.assert_allclose(area[found == code], most[found == code], atol=1e-6)
        tied = (centre == code) & (area > most - 1e-9)
        assert (found[tied] == code).all()


def _areas(plane, wanted):
    """How much of a plane lies in each pixel, from sums over a grid that both grids divide."""
    fine = np.kron(plane.astype(float), np.ones(wanted))
    rows, columns = plane.shape
    return fine.reshape(wanted[0], rows, wanted[1], columns).mean(axis=(1, 3)) * (
        plane.size / (wanted[0] * wanted[1])
    )


def test_what_goes_there_and_back_keeps_its_place():
    rows, columns = np.mgrid[:300, :260]
    mask = ((rows - 140) ** 2 + (columns - 120) ** 2 < 80**2).astype(np.uint8)
    back = resampled_mask(resampled_mask(mask, (131, 113)), mask.shape)
    both, either = (back & mask).sum(), (back | mask).sum()
    assert both / either > 0.98
    centres = [np.argwhere(of).mean(axis=0) for of in (mask, back)]
    np.testing.assert_allclose(*centres, atol=0.1)
