"""What each step makes of pages: the same from strips, however high, as from whole arrays."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

from builders import in_strips, lazy, texture
from tessera.classes import IGNORE
from tessera.grids import nearest, resampled_mask
from tessera.metrics import confusion
from tessera.panels import labelled_panels, unlabelled_panels
from tessera.reduction import area_mean
from tessera.strips import LazyPage, rows_at
from tessera.surveys import structure_areas
from tessera.thresholds import BRIGHT, DARK, otsu_masks, otsu_threshold
from tessera.tiles import TileGrid, tile_table

sides = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)
heights = st.integers(1, 45)


def codes(seed, shape, n_classes=3):
    """Class codes in patches, some of them ignored."""
    draw = np.random.default_rng(seed)
    patches = draw.integers(0, n_classes, (-(-shape[0] // 3), -(-shape[1] // 3)), np.uint8)
    mask = np.kron(patches, np.ones((3, 3), np.uint8))[: shape[0], : shape[1]]
    mask[draw.random(shape) < 0.1] = IGNORE
    return mask


@given(seeds, sides, sides, sides, sides, heights)
@settings(max_examples=60)
def test_masks_are_resampled_alike(seed, rows, columns, to_rows, to_columns, height):
    mask, shape = codes(seed, (rows, columns)), (to_rows, to_columns)
    whole = resampled_mask(mask, shape), nearest(mask, shape)
    assert all(isinstance(found, np.ndarray) for found in whole)
    with in_strips():
        for found, of in zip((resampled_mask, nearest), whole, strict=True):
            page = found(lazy(mask, height), shape)
            assert isinstance(page, LazyPage)
            np.testing.assert_array_equal(np.asarray(page), of)


@given(seeds, sides, sides, heights)
@settings(max_examples=60)
def test_masks_are_counted_alike(seed, rows, columns, height):
    true, pred = codes(seed, (rows, columns)), codes(seed + 1, (rows, columns))
    pred[pred == IGNORE] = 1
    grid = TileGrid(3, 7, 4, 1.0, 0)
    counts, tiles = confusion(true, pred, 3), tile_table(true, grid)
    areas = structure_areas(true, 3)
    with in_strips():
        of = lazy(true, height), lazy(pred, 1)
        np.testing.assert_array_equal(confusion(*of, 3), counts)
        assert tile_table(of[0], grid).equals(tiles)
        for found, expected in zip(structure_areas(of[0], 3), areas, strict=True):
            assert sorted(found) == sorted(expected)


@given(seeds, st.integers(2, 40), sides, heights, st.sampled_from([1e-3, 1, 1e4]))
@settings(max_examples=60)
def test_the_threshold_is_that_of_scikit_image_on_the_whole(seed, rows, columns, height, gain):
    page = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32) * gain
    page = page.astype(np.float32)
    expected = threshold_otsu(page)
    assert otsu_threshold(page) == expected
    with in_strips():
        of = lazy(page, height)
        assert otsu_threshold(of) == expected
        masks = {name: np.asarray(mask) for name, mask in otsu_masks(of)}
    np.testing.assert_array_equal(masks[BRIGHT], page > expected)
    np.testing.assert_array_equal(masks[DARK], page <= expected)


@given(seeds, st.lists(st.integers(0, 39)), heights)
def test_rows_are_picked_alike(seed, rows, height):
    page, rows = codes(seed, (40, 7)), np.sort(np.array(rows, int))
    with in_strips():
        np.testing.assert_array_equal(rows_at(lazy(page, height), rows), page[rows])


def test_pictures_are_alike():
    page, shape = (texture(0, (301, 203)) * 50 + 300).astype(np.uint16), (301, 203)
    entropy = texture(1, shape).clip(0, 1).astype(np.float32)
    true, pred = codes(0, shape), codes(1, shape)
    pred[pred == IGNORE] = 0
    shown = {labelled_panels: (page, true, pred), unlabelled_panels: (page, pred, entropy)}
    for draw, of in shown.items():
        expected = draw(*of, 3, 100)
        with in_strips():
            assert draw(*(lazy(each, 7) for each in of), 3, 100) == expected
    with in_strips():
        np.testing.assert_array_equal(area_mean(lazy(page, 7), (20, 30)), area_mean(page, (20, 30)))
