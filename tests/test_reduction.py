"""Smaller micrographs: means of areas, as scikit-image has them."""

import numpy as np
import pytest
from skimage.transform import resize_local_mean

from tessera.reduction import area_mean


@pytest.mark.parametrize("side", [60, 61, 96, 250])
def test_area_mean_keeps_the_mean_and_the_place(side):
    rows = np.repeat(np.arange(side, dtype=float)[:, None], side, axis=1)
    small = area_mean(rows, (48, 48))
    middles = (np.arange(48) + 0.5) * side / 48 - 0.5
    np.testing.assert_allclose(small, np.repeat(middles[:, None], 48, axis=1), atol=0.5)
    assert small.mean() == pytest.approx(rows.mean())


def test_area_mean_is_the_local_mean_of_scikit_image():
    page = np.random.default_rng(0).normal(size=(90, 70))
    np.testing.assert_allclose(
        area_mean(page, (40, 31)), resize_local_mean(page, (40, 31)), atol=1e-5
    )
