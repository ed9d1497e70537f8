"""Moments of pages gone through in strips: those of numpy, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from builders import in_strips, lazy
from tessera import moments
from tessera.moments import Pixels, deviation_of, mean_of, percentiles

FINITE = {"allow_nan": False, "allow_infinity": False}
SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=40)
PAGES = st.one_of(
    arrays(np.float32, SHAPES, elements=st.floats(width=32, **FINITE)),
    arrays(np.uint8, SHAPES),
    arrays(np.int16, SHAPES),
    arrays(np.uint32, SHAPES),
    arrays(np.float64, SHAPES, elements=st.floats(-1e30, 1e30)),
)
PERCENTS = st.lists(st.floats(0, 100), min_size=1, max_size=3)


def itself(grey):
    return grey


@given(PAGES, PERCENTS, st.integers(1, 50))
def test_percentiles_are_those_of_numpy(page, percents, rows):
    with np.errstate(over="ignore"):
        expected = np.percentile(page.astype(np.float32), percents)
    with in_strips():
        found = percentiles(Pixels.of(lazy(page, rows)), percents)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (1, 8191), (3, 8192), (173, 301), (1100, 1024)])
@pytest.mark.parametrize("rows", [1, 5, 2000])
def test_mean_and_deviation_are_those_of_numpy(shape, rows):
    grey = np.random.default_rng(0).lognormal(5, 3, shape).astype(np.float32)
    with in_strips():
        pixels = Pixels.of(lazy(grey, rows))
        mean = mean_of(pixels, itself)
        assert mean == grey.mean(dtype=np.float64)
        assert deviation_of(pixels, mean, itself) == grey.std(dtype=np.float64)


@pytest.mark.parametrize("leaf", [128, 1000, 2**14])
def test_what_is_summed_at_once_changes_no_bit(leaf, monkeypatch):
    grey = np.random.default_rng(1).normal(100, 30, (211, 333)).astype(np.float32)
    monkeypatch.setattr(moments, "LEAF", leaf)
    monkeypatch.setattr(moments, "BLOCKS_AT_ONCE", 1)
    pixels = Pixels.of(grey)
    assert mean_of(pixels, itself) == grey.mean(dtype=np.float64)
    assert deviation_of(pixels, float(grey.mean(dtype=np.float64)), itself) == grey.std(dtype=float)


@given(st.lists(PAGES, min_size=1, max_size=3), PERCENTS)
def test_several_pages_count_as_one(pages, percents):
    with np.errstate(over="ignore"):
        flat = np.concatenate([page.astype(np.float32).ravel() for page in pages])
    pixels = Pixels(lambda: pages, flat.size)
    np.testing.assert_array_equal(percentiles(pixels, percents), np.percentile(flat, percents))
    assert mean_of(pixels, itself) == flat.mean(dtype=np.float64)
