"""Normalisation: mean 0, deviation 1, whatever the detector's gain and offset."""

import numpy as np
import pytest

from builders import texture
from tessera.intensity import normalised

PERCENTILES = (0.5, 99.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.int16, np.float32, np.float64])
def test_mean_0_and_deviation_1(dtype):
    page = normalised((100 + 30 * texture(0)).astype(dtype), *PERCENTILES)
    assert page.dtype == np.float32
    assert page.mean(dtype=float) == pytest.approx(0, abs=1e-5)
    assert page.std(dtype=float) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("gain", "offset"), [(1, 100), (257, 0), (0.01, -3), (1e6, 1e6)])
def test_gain_and_offset_do_not_matter(gain, offset):
    page = texture(1)
    expected = normalised(page, *PERCENTILES)
    np.testing.assert_allclose(normalised(gain * page + offset, *PERCENTILES), expected, atol=1e-4)


def test_the_full_range_of_a_dtype_does_not_overflow():
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = (ramp - 32767.5) / ramp.std()
    np.testing.assert_allclose(normalised(ramp, 0, 100), expected, atol=1e-5)


def test_hot_pixels_are_clipped():
    page = texture(2)
    hot = page.copy()
    hot[::50, ::50] = 1e6
    cold = hot < 1e6
    found, expected = normalised(hot, 1, 99), normalised(page, 1, 99)
    np.testing.assert_allclose(found[cold], expected[cold], atol=0.05)


@pytest.mark.parametrize("level", [0, 0.1, 65535, -1e20])
def test_a_constant_page_becomes_0(level):
    assert not normalised(np.full((33, 71), level), *PERCENTILES).any()


def test_the_page_itself_is_left_as_it_was():
    page = texture(3).astype(np.float32)
    before = page.copy()
    normalised(page, *PERCENTILES)
    np.testing.assert_array_equal(page, before)


def test_pixels_that_are_no_numbers_are_counted():
    page = texture(4)
    page[3, :5] = np.nan
    page[4, 0] = np.inf
    with pytest.raises(ValueError, match=r"^6 pixels"):
        normalised(page, *PERCENTILES)
