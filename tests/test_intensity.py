"""Normalisation: one scale whatever the detector's gain and offset, in strips, and back again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from builders import config, in_strips, lazy, texture
from tessera.intensity import grey_levels, normalised, range_of
from tessera.steps import stated

SHAPE = (70, 90)
FLAT = {"surface": "none", "by": "subtract", "degree": 2, "sigma_share": 0.25, "sigma_nm": None}
FLATTENED = [
    FLAT,
    FLAT | {"surface": "polynomial"},
    FLAT | {"surface": "gaussian", "by": "divide"},
    FLAT | {"surface": "gaussian", "sigma_nm": 50.0},
]
METHODS = ["z-score", "clahe", "none"]


def settings(**keys):
    """What the config says to `normalise`, some keys changed."""
    return stated(config(normalise=keys), "normalise")


def brought(page, **keys):
    return np.asarray(normalised(page, settings(**keys), 2.0)[0])


def percentiles(low, high):
    return {"low_percentile": low, "high_percentile": high}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.int16, np.float32, np.float64])
@pytest.mark.parametrize("method", ["z-score", "clahe"])
def test_mean_0_and_deviation_1(dtype, method):
    page = brought((100 + 30 * texture(0)).astype(dtype), method=method)
    assert page.dtype == np.float32
    assert page.mean(dtype=float) == pytest.approx(0, abs=1e-5)
    assert page.std(dtype=float) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_a_z_score_is_that_of_numpy_bit_for_bit(dtype):
    page = (100 + 30 * texture(1, (301, 173))).astype(dtype)
    grey = page.astype(np.float32)
    low, high = np.percentile(grey, [0.5, 99.5])
    np.clip(grey, low, high, out=grey)
    mean, deviation = grey.mean(dtype=np.float64), grey.std(dtype=np.float64)
    expected = (grey - np.float32(mean)) / np.float32(deviation)
    found, record = normalised(page, settings())
    np.testing.assert_array_equal(found, expected)
    assert record == {"low": low, "high": high, "mean": mean, "deviation": deviation}


@pytest.mark.parametrize(("gain", "offset"), [(1, 100), (257, 0), (0.01, -3), (1e6, 1e6)])
def test_gain_and_offset_do_not_matter(gain, offset):
    page = texture(1)
    np.testing.assert_allclose(brought(gain * page + offset), brought(page), atol=1e-4)


def test_the_full_range_of_a_dtype_does_not_overflow():
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = (ramp - 32767.5) / ramp.std()
    np.testing.assert_allclose(brought(ramp, **percentiles(0, 100)), expected, atol=1e-5)
    np.testing.assert_allclose(brought(ramp, method="none"), expected, atol=1e-4)


def test_hot_pixels_are_clipped():
    page = texture(2)
    hot = page.copy()
    hot[::50, ::50] = 1e6
    cold = hot < 1e6
    found, expected = brought(hot, **percentiles(1, 99)), brought(page, **percentiles(1, 99))
    np.testing.assert_allclose(found[cold], expected[cold], atol=0.05)


@pytest.mark.parametrize("level", [0, 0.1, 65535, -1e20])
@pytest.mark.parametrize("method", ["z-score", "clahe"])
def test_a_constant_page_becomes_0(level, method):
    assert not brought(np.full((33, 71), level), method=method).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("flatten", FLATTENED[:2])
def test_the_page_itself_is_left_as_it_was(method, flatten):
    page = texture(3).astype(np.float32)
    before = page.copy()
    brought(page, method=method, flatten=flatten)
    np.testing.assert_array_equal(page, before)


def test_grey_levels_of_floats_stay_and_those_of_integers_depend_on_their_range_alone():
    page = texture(4).astype(np.float32)
    np.testing.assert_array_equal(brought(page, method="none"), page)
    bright, dark = np.uint8([[200, 201]]), np.uint8([[0, 255]])
    np.testing.assert_allclose(brought(dark, method="none"), [[-(3**0.5), 3**0.5]], rtol=1e-6)
    np.testing.assert_allclose(brought(bright, method="none"), [[0.985, 0.998]], atol=1e-3)
    twelve_bits = brought(np.uint16([[0, 4095, 9000]]), method="none", levels=[0, 4095])
    np.testing.assert_allclose(twelve_bits, [[-(3**0.5), 3**0.5, 3**0.5]], rtol=1e-6)
    assert range_of(np.dtype("int16")).mean == -0.5


@examples(max_examples=30)
@given(
    st.sampled_from(METHODS),
    st.sampled_from(FLATTENED),
    st.sampled_from(["uint8", "uint16", "float32"]),
    st.integers(1, 80),
    st.integers(0, 3),
)
def test_strips_change_no_bit(method, flatten, dtype, rows, seed):
    page, keys = (
        (100 + 30 * texture(seed, SHAPE)).astype(dtype),
        settings(method=method, flatten=flatten),
    )
    expected, record = normalised(page, keys, 2.0)
    expected = np.asarray(expected)
    with in_strips():
        found, of_strips = normalised(lazy(page, rows), keys, 2.0)
        assert of_strips == record
        np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("method", ["z-score", "none"])
@pytest.mark.parametrize("flatten", FLATTENED)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_grey_levels_come_back(method, flatten, dtype):
    page = np.clip(100 + 30 * texture(5, SHAPE), 0, 127).astype(dtype)
    page[0, :9], page[-1, :9] = 0, 255  # of 8 bits: beyond, once they are flattened
    keys = settings(method=method, flatten=flatten, **percentiles(0, 100))
    found, record = normalised(page, keys, 2.0)
    np.testing.assert_array_equal(np.round(np.asarray(grey_levels(found, record))), page)


def test_what_was_equalised_does_not_come_back():
    found, record = normalised(texture(6, SHAPE), settings(method="clahe"))
    with pytest.raises(ValueError, match="cannot be undone"):
        grey_levels(found, record)


def test_lengths_in_nm_need_a_pixel_size():
    page = texture(7, SHAPE)
    in_nm = {"kernel_share": 0.125, "kernel_nm": 40.0, "clip_limit": 0.01}
    keys = settings(method="clahe", clahe=in_nm)
    assert normalised(page, keys, 2.0)[1]["kernel_rows"] == 20
    for unknown in (keys, settings(flatten=FLATTENED[3])):
        with pytest.raises(ValueError, match="its pixel size is unknown"):
            normalised(page, unknown)
