"""Thresholds: Otsu's two sides."""

import numpy as np
from skimage.filters import threshold_otsu

from builders import texture
from tessera.thresholds import BRIGHT, DARK, otsu_masks


def test_two_levels_are_told_apart_exactly():
    truth = np.zeros((40, 50), np.uint8)
    truth[10:30, 5:20] = 1
    page = np.random.default_rng(0).normal(truth * 30.0, 1).astype(np.float32)
    masks = dict(otsu_masks(page))
    np.testing.assert_array_equal(masks[BRIGHT], truth)
    np.testing.assert_array_equal(masks[DARK], 1 - truth)


def test_the_threshold_is_that_of_scikit_image():
    page = texture(0)
    bright = dict(otsu_masks(page))[BRIGHT]
    np.testing.assert_array_equal(bright, page > threshold_otsu(page))
    assert bright.dtype == np.uint8


def test_a_constant_page_has_no_brighter_part():
    masks = dict(otsu_masks(np.full((4, 5), 3, np.float32)))
    assert not masks[BRIGHT].any()
    assert masks[DARK].all()
