"""Intensities of a micrograph brought to a common scale, from nothing but the micrograph itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scale:
    """What brings grey levels to mean 0 and standard deviation 1.

    Parameters
    ----------
    low, high : float
        Grey levels are clipped here.
    mean, deviation : float
        Of what is clipped.
    """

    low: float
    high: float
    mean: float
    deviation: float


def scale_of(page: np.ndarray, low_percentile: float, high_percentile: float) -> Scale:
    """The scale of a page: two of its percentiles, and mean and deviation between them.

    Parameters
    ----------
    page : (rows, columns) array
        Grey levels of any dtype.
    low_percentile, high_percentile : float
        In percent, 0 <= low < high <= 100.
    """
    grey = page.astype(np.float32)
    low, high = np.percentile(grey, [low_percentile, high_percentile])
    np.clip(grey, low, high, out=grey)
    # float32 sums over a large page lose digits; the statistics are taken in float64.
    mean, deviation = grey.mean(dtype=np.float64), grey.std(dtype=np.float64)
    return Scale(*map(float, (low, high, mean, deviation)))


def scaled(page: np.ndarray, scale: Scale) -> np.ndarray:
    """Clip a page, then subtract the mean and divide by the standard deviation.

    Parameters
    ----------
    page : (rows, columns) array
        Grey levels of any dtype.
    scale : Scale

    Returns
    -------
    (rows, columns) float32 array
        All 0 where the deviation is.
    """
    grey = page.astype(np.float32)
    np.clip(grey, scale.low, scale.high, out=grey)
    grey -= np.float32(scale.mean)
    return grey / np.float32(scale.deviation) if scale.deviation > 0 else np.zeros_like(grey)


def normalised(page: np.ndarray, low_percentile: float, high_percentile: float) -> np.ndarray:
    """A page on its own scale: mean 0 and standard deviation 1, all 0 where it is constant.

    Parameters are those of `scale_of`. Raises ValueError if a pixel is not finite.
    """
    check_finite(page)
    return scaled(page, scale_of(page, low_percentile, high_percentile))


def check_finite(page: np.ndarray) -> None:
    """Raise ValueError, with their number, if pixels are not finite."""
    if page.dtype.kind != "f":
        return
    bad = int(page.size - np.isfinite(page).sum())
    if bad:
        raise ValueError(f"{bad} pixels are not finite")
