"""Global thresholds: the baseline that a network of two classes has to beat."""

from __future__ import annotations

import numpy as np
from skimage.filters import threshold_otsu

BRIGHT, DARK = "otsu-bright", "otsu-dark"


def otsu_masks(page: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The two masks of Otsu's threshold: class 1 where the page is brighter, and where darker.

    Parameters
    ----------
    page : (rows, columns) float array

    Returns
    -------
    list of (method, (rows, columns) uint8 array)
        A constant page has no brighter part.

    Notes
    -----
    Otsu, A Threshold Selection Method from Gray-Level Histograms, 1979, DOI
    10.1109/TSMC.1979.4310076. Which side is the object depends on the study; the summary keeps the
    side that does better, which favours the baseline.
    """
    bright = page > threshold_otsu(np.asarray(page))
    return [(BRIGHT, bright.astype(np.uint8)), (DARK, (~bright).astype(np.uint8))]
