"""Intensities of a micrograph brought to a common scale, from nothing but the micrograph itself."""

from __future__ import annotations

import numpy as np


def normalised(page: np.ndarray, low_percentile: float, high_percentile: float) -> np.ndarray:
    """Clip to two percentiles, then subtract the mean and divide by the standard deviation.

    Parameters
    ----------
    page : (rows, columns) array
        Grey levels of any dtype.
    low_percentile, high_percentile : float
        In percent, 0 <= low < high <= 100.

    Returns
    -------
    (rows, columns) float32 array
        Mean 0 and standard deviation 1; all 0 where the page is constant.

    Raises
    ------
    ValueError
        If a pixel is not finite.
    """
    grey = page.astype(np.float32)
    bad = int(grey.size - np.isfinite(grey).sum())
    if bad:
        raise ValueError(f"{bad} pixels are not finite")
    low, high = np.percentile(grey, [low_percentile, high_percentile])
    np.clip(grey, low, high, out=grey)
    # float32 sums over a large page lose digits; the statistics are taken in float64.
    mean, deviation = grey.mean(dtype=np.float64), grey.std(dtype=np.float64)
    grey -= np.float32(mean)
    return grey / np.float32(deviation) if deviation > 0 else np.zeros_like(grey)
