"""Contrast-limited adaptive histogram equalisation (CLAHE) of pages larger than memory.

The grey levels are those of `skimage.exposure.equalize_adapthist`, before it stretches them from 0
to 1: the page is cut into regions, the histogram of each gives a mapping of grey levels, and a
pixel is mapped by those of the four regions around it. Histograms become mappings by scikit-image's
own code.
After Zuiderveld, Contrast Limited Adaptive Histogram Equalization, Graphics Gems IV, 1994.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.exposure._adapthist import NR_OF_GRAY, clip_histogram, map_histogram

from tessera.strips import LazyPage, Page, strip_rows

BINS = 256
BIN_LEVELS = 1 + NR_OF_GRAY // BINS
BRIGHTEST = NR_OF_GRAY - 1
SMALLEST = 0.01
"""The least side of a region, in sides of the page: their mappings would fill the memory."""


@dataclass(frozen=True)
class Equalisation:
    """What maps the grey levels of a page.

    Parameters
    ----------
    low, high : float
        Grey levels are clipped here.
    kernel : (rows, columns)
        Of a region.
    maps : (n, m, BINS) int array
        Of each region, what its grey levels become: 0 to `BRIGHTEST`.
    """

    low: float
    high: float
    kernel: tuple[int, int]
    maps: np.ndarray

    def equalised(self, page: Page) -> LazyPage:
        """The page with its grey levels mapped, whole numbers from 0 to `BRIGHTEST` in float32."""
        columns = _regions_around(np.arange(page.shape[1]), self.kernel[1], self.maps.shape[1])

        def rows_of(top: int, end: int) -> np.ndarray:
            bins = _bins(page[top:end], self.low, self.high)
            rows = _regions_around(np.arange(top, end), self.kernel[0], self.maps.shape[0])
            found = np.zeros(bins.shape, np.float32)
            for region, weight in rows:
                for beside, share in columns:
                    mapped = self.maps[region[:, None], beside, bins]
                    found += (mapped * (share * weight[:, None])).astype(np.float32)
            return np.floor(found, out=found)

        return LazyPage(page.shape, np.float32, rows_of, _rows_at_once(page))


def equalisation(
    page: Page, kernel: tuple[int, int], clip_limit: float, low: float, high: float
) -> Equalisation:
    """What equalises a page.

    Parameters
    ----------
    page : (rows, columns) page
    kernel : (rows, columns)
        Of a region, at least `SMALLEST` of the page and at most all of it.
    clip_limit : float
        Share of a region's pixels that a bin of its histogram may hold; more is spread over all
        bins. 0 for no limit.
    low, high : float
        Grey levels are clipped here; low < high.

    Raises
    ------
    ValueError
        If the regions are too small.
    """
    for side, of in zip(page.shape, kernel, strict=True):
        if of < int(SMALLEST * side):
            what = f"regions of {of} px are below {SMALLEST:.0%} of a side of {side} px"
            raise ValueError(f"{what} (normalise: clahe)")
    pixels = int(np.prod(kernel))
    limit = max(1, int(clip_limit * pixels)) if clip_limit > 0 else pixels
    counts = _histograms(page, kernel, low, high)
    clipped = np.apply_along_axis(clip_histogram, -1, counts, clip_limit=limit)
    return Equalisation(low, high, kernel, map_histogram(clipped, 0, BRIGHTEST, pixels))


def _histograms(page: Page, kernel: tuple[int, int], low: float, high: float) -> np.ndarray:
    """(n, m, BINS) counts of each region; the last are filled with the page's mirror image."""
    number = [-(-side // of) for side, of in zip(page.shape, kernel, strict=True)]
    rows, columns = (
        np.pad(np.arange(side), (0, n * of - side), mode="reflect")
        for side, n, of in zip(page.shape, number, kernel, strict=True)
    )
    first_bin = np.repeat(np.arange(number[1]) * BINS, kernel[1])
    counts = np.zeros((number[0], number[1] * BINS), int)
    step = _rows_at_once(page)
    for region, of_region in enumerate(counts):
        wanted = rows[region * kernel[0] : (region + 1) * kernel[0]]
        for start in range(0, kernel[0], step):
            some = wanted[start : start + step]
            strip = page[some.min() : some.max() + 1][some - some.min()]
            bins = _bins(strip, low, high)[:, columns] + first_bin
            of_region += np.bincount(bins.ravel(), minlength=of_region.size)
    return counts.reshape(*number, BINS)


def _rows_at_once(page: Page) -> int:
    """Less than a strip: each of several numbers a pixel takes eight bytes."""
    return max(1, strip_rows(page) // 8)


def _bins(strip: np.ndarray, low: float, high: float) -> np.ndarray:
    grey = np.clip(np.asarray(strip, np.float64), low, high)
    return np.round((grey - low) / (high - low) * BRIGHTEST).astype(int) // BIN_LEVELS


def _regions_around(places: np.ndarray, kernel: int, number: int) -> list[tuple]:
    """The regions before and after each place along an axis, and the weight of each."""
    place = places + kernel // 2
    region, share = place // kernel, place % kernel / kernel
    return [
        (np.clip(region - 1, 0, number - 1), 1 - share),
        (np.clip(region, 0, number - 1), share),
    ]
