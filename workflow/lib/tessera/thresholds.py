"""Global thresholds: the baseline that a network of two classes has to beat."""

from __future__ import annotations

from functools import partial

import numpy as np
from skimage.filters import threshold_otsu

from tessera.strips import Page, mapped, strips

BRIGHT, DARK = "otsu-bright", "otsu-dark"
BINS = 256


def otsu_masks(page: Page) -> list[tuple[str, Page]]:
    """The two masks of Otsu's threshold: class 1 where the page is brighter, and where darker.

    Parameters
    ----------
    page : (rows, columns) float page

    Returns
    -------
    list of (method, (rows, columns) uint8 page)
        A constant page has no brighter part.

    Notes
    -----
    Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979, DOI
    10.1109/TSMC.1979.4310076. Which side is the object depends on the study; the summary keeps the
    side that does better, which favours the baseline.
    """
    threshold = otsu_threshold(page)
    sides = {BRIGHT: np.greater, DARK: np.less_equal}
    return [
        (name, mapped(page, partial(_side, is_of=is_of, threshold=threshold), page.shape, np.uint8))
        for name, is_of in sides.items()
    ]


def _side(strip: np.ndarray, is_of: np.ufunc, threshold: float) -> np.ndarray:
    return is_of(strip, threshold).astype(np.uint8)


def otsu_threshold(page: Page) -> float:
    """scikit-image's threshold, from the histogram of strips: the same bins hold as many pixels."""
    ends = [(strip.min(), strip.max()) for strip in strips(page)]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if low == high:
        return low
    counts, edges = 0, None
    for strip in strips(page):
        of_strip, edges = np.histogram(strip, BINS, (low, high))
        counts = counts + of_strip
    return threshold_otsu(hist=(counts, (edges[:-1] + edges[1:]) / 2))
