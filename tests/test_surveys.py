"""Surveys: sizes, shares and structures of micrographs that are known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import disk

from tessera.classes import IGNORE
from tessera.surveys import Pieces, sampled, structure_areas, survey, typical_diameter
from tessera.tiles import TileGrid, tile_table, used_for_training

CLASSES = ["background", "disc"]


def discs(radius, number=4, side=512):
    mask = np.zeros((side, side), np.uint8)
    for at in range(number):
        mask[disk((60 + 100 * at, 200), radius)] = 1
    return mask


def surveyed(masks, classes=CLASSES, pixel_size_nm=2.0):
    rows = [
        {"rows": mask.shape[0], "columns": mask.shape[1], "dtype": "uint8"}
        | {f"{name}_px": (mask == code).sum() for code, name in enumerate(classes)}
        for mask in masks
    ]
    table = pd.DataFrame(rows).assign(pixel_size_nm=pixel_size_nm)
    return survey(table, table, classes, ((mask.astype(float), mask) for mask in masks))


def test_discs_have_their_diameter_and_share():
    mask = discs(20)
    found = surveyed([mask, mask])
    assert found.structure_px == pytest.approx(40, abs=1)
    assert [known.share for known in found.classes] == [
        pytest.approx(1 - mask.mean()),
        pytest.approx(mask.mean()),
    ]
    assert found.classes[0].structure_px is None
    assert found.short_side_px == 512
    assert found.pixel_size_nm == 2.0


def test_unknown_pixel_sizes_and_absent_classes():
    found = surveyed([np.zeros((40, 60), np.uint8)], pixel_size_nm=np.nan)
    assert found.pixel_size_nm is None
    assert found.structure_px is None
    assert found.as_record()["pixel_sizes_nm"] is None
    assert found.short_side_px == 40


def test_specks_are_no_structures_and_large_ones_decide():
    assert structure_areas(np.eye(3, dtype=np.uint8), 2)[1].size == 0
    assert typical_diameter(np.array([4, 4, 4, 400])) == pytest.approx(np.sqrt(1600 / np.pi), 0.01)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.floats(0.1, 0.9),
    st.integers(1, 9),
)  # fmt: skip
@settings(max_examples=200)
def test_structures_are_those_of_the_whole_mask_however_it_is_cut(seed, rows, columns, share, cut):
    draw = np.random.default_rng(seed)
    mask = np.where(draw.random((rows, columns)) < share, draw.integers(1, 3, (rows, columns)), 0)
    pieces = Pieces()
    for top in range(0, rows, cut):
        pieces.add(mask[top : top + cut] == 1)
    labels, _ = ndimage.label(mask == 1)
    assert sorted(pieces.areas()) == sorted(np.bincount(labels.ravel())[1:])


@pytest.mark.parametrize("background_share", [0.0, 0.25, 1.0])
def test_tiles_used_are_about_those_of_the_tile_step(background_share):
    mask = discs(30)
    mask[400:] = IGNORE
    grid = TileGrid(2, 128, 128, background_share, 0)
    exact = used_for_training(tile_table(mask, grid), grid).sum()
    assert surveyed([mask]).tiles_used(128, 128, background_share) == pytest.approx(exact, abs=1)


def test_the_sample_is_spread_over_all():
    assert sampled(1) == [0]
    assert sampled(24) == list(range(24))
    assert len(set(sampled(25))) == 24


def test_sizes_are_counted_in_the_pixels_that_networks_see():
    """The same discs at two pixel sizes, brought to one of them."""
    coarse, fine = discs(20), np.kron(discs(20), np.ones((2, 2), np.uint8))
    rows = [
        {"rows": len(mask), "columns": len(mask), "dtype": "uint8", "pixel_size_nm": size_nm}
        | {"background_px": (mask == 0).sum(), "disc_px": (mask == 1).sum()}
        for mask, size_nm in ((coarse, 4.0), (fine, 2.0))
    ]
    sample = [(mask.astype(float), mask) for mask in (coarse, fine)]
    table = pd.DataFrame(rows)
    found = survey(table, table, CLASSES, sample, 4.0)
    assert found.shapes == [(512, 512), (512, 512)]
    assert found.grid_nm == 4.0
    assert found.structure_px == pytest.approx(40, abs=1)
    assert found.background_blocks == surveyed([coarse]).background_blocks
    kept = survey(table, table, CLASSES, sample, "keep")
    assert kept.shapes == [(512, 512), (1024, 1024)]
    assert kept.grid_nm is None
    assert kept.structure_px == pytest.approx(80, abs=2)
