"""Tiles: they cover every micrograph, and say rightly what they hold."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.classes import IGNORE
from tessera.tiles import TileGrid, origins, share_names, tile_table, used_for_training


def grid(n_classes=2, size_px=128, stride_px=128, background_share=1.0, seed=0):
    return TileGrid(n_classes, size_px, stride_px, background_share, seed)


def test_a_micrograph_of_1920_by_1792_is_15_by_14_tiles_of_128():
    tiles = [tile_table(np.zeros((1920, 1792), np.uint8), grid())] * 15
    assert tiles[0]["row"].nunique() == 15
    assert tiles[0]["column"].nunique() == 14
    assert len(pd.concat(tiles)) == 3_150


lengths = st.integers(1, 60)


@given(lengths, lengths, lengths)
def test_tiles_cover_an_axis_and_stay_inside(length_px, size_px, stride_px):
    first = origins(length_px, size_px, min(stride_px, size_px))
    hits = np.zeros(length_px, int)
    for start in first:
        hits[start : start + size_px] += 1
    assert hits.min() >= 1
    assert first[0] == 0
    assert first[-1] + size_px <= max(length_px, size_px)
    assert (np.diff(first) > 0).all()


@given(st.integers(0, 2**32), lengths, lengths, st.integers(1, 20), st.integers(1, 20))
@settings(max_examples=30)
def test_shares_are_those_of_the_pixels_not_ignored(seed, height, width, size_px, stride_px):
    codes = np.array([0, 1, 2, IGNORE], np.uint8)
    mask = np.random.default_rng(seed).choice(codes, (height, width))
    for tile in tile_table(mask, grid(3, size_px, stride_px)).to_dict("records"):
        window = mask[tile["row"] :, tile["column"] :][:size_px, :size_px]
        annotated = window[window != IGNORE]
        expected = [np.mean(annotated == code) if annotated.size else 0 for code in range(3)]
        assert [tile[name] for name in share_names(3)] == pytest.approx(expected)


def test_tiles_without_an_annotated_pixel_are_not_used():
    mask = np.full((64, 32), IGNORE, np.uint8)
    mask[0, 0] = 1
    tiles = tile_table(mask, grid(2, 32, 32))
    assert used_for_training(tiles, grid()).tolist() == [True, False]


def shares(n_objects, n_background):
    """A table of tiles that hold half an object each, then of tiles that hold none."""
    objects = np.array([0.5] * n_objects + [1.0] * n_background)
    return pd.DataFrame({"share_0": objects, "share_1": 1 - objects})


@given(st.integers(1, 30), st.integers(0, 60), st.floats(0, 0.95))
def test_background_is_at_most_its_share(n_objects, n_background, share):
    used = used_for_training(shares(n_objects, n_background), grid(background_share=share))
    assert used[:n_objects].all()
    n_kept = used[n_objects:].sum()
    assert n_kept <= share * used.sum() + 1e-9
    # As many as the share allows: one more would be too many, up to the rounding of the share.
    assert n_kept == n_background or n_kept + 1 > share * (used.sum() + 1) - 1e-9


def test_a_share_of_1_uses_all():
    assert used_for_training(shares(1, 50), grid(background_share=1)).all()


def test_one_tile_is_kept_where_there_is_nothing_but_background():
    assert used_for_training(shares(0, 50), grid(background_share=0.25)).sum() == 1


def test_the_draw_is_that_of_the_seed():
    first, again, other = (
        used_for_training(shares(5, 50), grid(background_share=0.5, seed=seed)).tolist()
        for seed in (3, 3, 4)
    )
    assert first == again != other
