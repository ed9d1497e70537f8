"""Local equalisation in strips: the grey levels of scikit-image."""

import numpy as np
import pytest
from skimage.exposure import equalize_adapthist

from builders import in_strips, lazy, texture
from tessera.equalisation import BRIGHTEST, equalisation


def page_of(shape, dtype=np.uint16):
    return np.round(2000 + 500 * texture(0, shape)).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "kernel"),
    [((96, 128), (12, 16)), ((67, 101), (8, 12)), ((40, 31), (40, 31)), ((30, 90), (7, 50))],
)
@pytest.mark.parametrize("clip_limit", [0, 0.01, 0.05, 1])
def test_grey_levels_are_those_of_scikit_image(shape, kernel, clip_limit):
    page = page_of(shape)
    low, high = float(page.min()), float(page.max())
    found = np.asarray(equalisation(page, kernel, clip_limit, low, high).equalised(page))
    expected = equalize_adapthist(page, kernel, clip_limit)
    stretched = (found - found.min()) / np.ptp(found)
    np.testing.assert_allclose(stretched, expected, atol=1e-6)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= BRIGHTEST


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_strips_change_no_bit(rows):
    page = page_of((97, 61))
    whole = equalisation(page, (12, 8), 0.02, 900, 3000)
    expected = np.asarray(whole.equalised(page))
    with in_strips():
        part = equalisation(lazy(page, rows), (12, 8), 0.02, 900, 3000)
        np.testing.assert_array_equal(part.maps, whole.maps)
        np.testing.assert_array_equal(np.asarray(part.equalised(lazy(page, rows))), expected)


def test_regions_that_are_too_many_are_refused():
    with pytest.raises(ValueError, match="regions of 2 px are below 1%"):
        equalisation(page_of((300, 400)), (2, 100), 0.01, 0, 1)
