"""Pixel sizes: which one is common, and which cannot be true."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.pixel_sizes import ODD, common_size, fault, odd_sizes, shape_at, uncalibrated


def table(sizes_nm, groups=None):
    known = {"micrograph": [f"m{i}" for i in range(len(sizes_nm))], "pixel_size_nm": sizes_nm}
    return pd.DataFrame(known | {"group": groups or "g", "file": "raw.tif"})


def test_the_common_size_is_stated_or_the_median_of_what_is_known():
    sizes = pd.Series([70.0, np.nan, 180.0, 130.0])
    assert common_size("auto", sizes) == 130.0
    assert common_size("keep", sizes) is None
    assert common_size(5, sizes) == 5.0
    assert common_size("auto", pd.Series([np.nan])) is None


@pytest.mark.parametrize("size_nm", [1e-4, 1e7, np.inf, -1.0, 0.0])
def test_impossible_sizes_are_told(size_nm):
    assert f"a pixel size of {size_nm:g} nm is impossible" in fault(size_nm)


@given(st.floats(0.01, 1e5), st.integers(1, 10_000), st.floats(0.2, 5))
def test_a_page_keeps_its_extent(common_nm, side, factor):
    """But for a fraction of a pixel, and pixels but for the 1 % of a calibration."""
    found = shape_at((side, side), factor * common_nm, common_nm)[0]
    share = found / (side * factor)
    assert found == 1 or abs(share - 1) <= 0.0101 or abs(found - side * factor) <= 0.5 + 1e-6


def test_sizes_within_a_calibration_are_left_alone():
    assert shape_at((1000, 10), 1.0099, 1.0) == (1000, 10)
    assert shape_at((1000, 10), 1.02, 1.0) == (1020, 10)
    assert shape_at((1000, 10), np.nan, None) == (1000, 10)
    assert shape_at((1000, 1), 0.001, 1.0) == (1, 1)


def test_unknown_sizes_are_told_by_name_with_both_remedies():
    (problem,) = uncalibrated(table([2.0, np.nan]))
    assert (problem.micrograph, problem.path) == ("m1", "raw.tif")
    for remedy in ("say it in the sheet (pixel_size_nm)", "normalise: pixel_size_nm: keep"):
        assert remedy in problem.what


def test_a_unit_mistaken_is_told_and_another_magnification_is_not():
    assert list(odd_sizes(table([2.0, 2000.0, 2.0, np.nan]))) == [("m1", 2000.0, 2.0)]
    assert list(odd_sizes(table([2.0, 2.0 / ODD, 2.0, 2.0]))) == [("m1", 2.0 / ODD, 2.0)]
    assert list(odd_sizes(table([2.0, 4.0, 8.0]))) == []
    assert list(odd_sizes(table([2.0, 2000.0], ["a", "b"]))) == []
    # Of two nobody knows which.
    assert [name for name, *_ in odd_sizes(table([2.0, 20.0]))] == ["m0", "m1"]
