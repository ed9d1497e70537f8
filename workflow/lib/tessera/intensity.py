"""Grey levels of micrographs brought to a common scale, and back.

First the illumination is taken out, if that is asked for, then the grey levels are brought to a
scale: mean 0 and standard deviation 1 between two percentiles, the same after a local equalisation,
or no more than the range of their type to that of the networks. A page is gone through strip by
strip, however large it is, and so is what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tessera.illumination import Surface, gaussian, polynomial
from tessera.methods import CLAHE, DTYPE, GAUSSIAN, NONE, POLYNOMIAL
from tessera.moments import Pixels, deviation_of, mean_of, percentiles
from tessera.strips import Page, in_memory, mapped

DEVIATION_OF_RANGE = 12**-0.5
"""Standard deviation of grey levels that fill a range of 1 evenly."""


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


def scale_of(pixels: Pixels, low_percentile: float, high_percentile: float) -> Scale:
    """The scale of pixels: two of their percentiles, and mean and deviation between them.

    Parameters
    ----------
    pixels : Pixels
    low_percentile, high_percentile : float
        In percent, 0 <= low < high <= 100.
    """
    low, high = percentiles(pixels, [low_percentile, high_percentile]).tolist()

    def clipped(grey: np.ndarray) -> np.ndarray:
        return np.clip(grey, low, high, out=grey)

    mean = mean_of(pixels, clipped)
    return Scale(low, high, mean, deviation_of(pixels, mean, clipped))


def range_of(dtype: np.dtype, levels: str | Sequence[float] = DTYPE) -> Scale:
    """The scale of a range of grey levels, whatever a page holds of them: mean 0, deviation 1.

    As it would be of a page that fills the range evenly.

    Parameters
    ----------
    dtype : numpy dtype
        Of the grey levels as they were recorded.
    levels : 'dtype' or (low, high)
        dtype: the range of the type; floats have none, and stay as they are. Nothing is clipped
        then: without its illumination a page may reach beyond.

    Examples
    --------
    >>> range_of(np.dtype("uint8"))
    Scale(low=-inf, high=inf, mean=127.5, deviation=73.61215932167728)
    """
    if levels != DTYPE:
        low, high = map(float, levels)
        return Scale(low, high, (low + high) / 2, (high - low) * DEVIATION_OF_RANGE)
    if dtype.kind == "f":
        return Scale(-np.inf, np.inf, 0.0, 1.0)
    low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return Scale(-np.inf, np.inf, (low + high) / 2, (high - low) * DEVIATION_OF_RANGE)


def scaled(page: Page, scale: Scale) -> Page:
    """Clip a page, then subtract the mean and divide by the standard deviation.

    Parameters
    ----------
    page : (rows, columns) page
        Grey levels of any dtype.
    scale : Scale

    Returns
    -------
    (rows, columns) float32 page
        All 0 where the deviation is.
    """

    def of(strip: np.ndarray) -> np.ndarray:
        grey = strip.astype(np.float32)
        np.clip(grey, scale.low, scale.high, out=grey)
        grey -= np.float32(scale.mean)
        return grey / np.float32(scale.deviation) if scale.deviation > 0 else np.zeros_like(grey)

    return mapped(page, of, page.shape, np.float32)


def flattened(
    page: Page, settings: Mapping[str, Any], pixel_size_nm: float
) -> tuple[Page, Surface | None]:
    """A page without its illumination, and this; the page itself where it is to stay.

    Parameters
    ----------
    page : (rows, columns) page
    settings : mapping
        Of `normalise`. `flatten`, if it is there: surface, by, and degree, sigma_share or sigma_nm.
    pixel_size_nm : float
        Of the page; NaN where it is unknown.

    Raises
    ------
    ValueError
        If sigma is too small, or in nm and the pixel size unknown.
    """
    flatten = settings.get("flatten")
    if flatten is None:
        return page, None
    if flatten["surface"] == POLYNOMIAL:
        surface = polynomial(page, flatten["degree"], flatten["by"])
    elif flatten["surface"] == GAUSSIAN:
        sigma_px = _length_px(flatten, "sigma", min(page.shape), pixel_size_nm)
        surface = gaussian(page, sigma_px, flatten["by"])
    return in_memory(surface.taken_out(page)), surface


def normalised(
    page: Page,
    settings: Mapping[str, Any],
    pixel_size_nm: float = np.nan,
    dtype: np.dtype | None = None,
    of_group: Scale | None = None,
) -> tuple[Page, dict[str, Any]]:
    """A page as the networks see it, and what was done to it.

    Parameters
    ----------
    page : (rows, columns) page
        Of finite numbers.
    settings : mapping
        Of `normalise`: method, low_percentile and high_percentile, or levels; flatten; clahe.
    pixel_size_nm : float
        Of the page; NaN where it is unknown.
    dtype : numpy dtype, optional
        Of the grey levels as they were recorded, where it is not the page's.
    of_group : Scale, optional
        Used in place of the page's own.

    Returns
    -------
    (rows, columns) float32 page
    dict
        Cells of a table: those of the `Scale`, regions and limit of the equalisation, the
        `Surface`. `grey_levels` undoes by them what can be undone.

    Raises
    ------
    ValueError
        If a length in the settings does not fit the page.
    """
    dtype = page.dtype if dtype is None else dtype
    page, surface = flattened(page, settings, pixel_size_nm)
    of_surface = {} if surface is None else surface.as_record()
    if settings["method"] == CLAHE:
        page, record = _equalised(page, settings, pixel_size_nm)
        return page, {**record, **of_surface}
    scale = of_group
    if settings["method"] == NONE:
        scale = range_of(dtype, settings["levels"])
    elif scale is None:
        scale = scale_of(Pixels.of(page), settings["low_percentile"], settings["high_percentile"])
    return scaled(page, scale), {**asdict(scale), **of_surface}


def _equalised(
    page: Page, settings: Mapping[str, Any], pixel_size_nm: float
) -> tuple[Page, dict[str, Any]]:
    # Here and not above: the other methods would load scikit-image for nothing.
    from tessera.equalisation import equalisation

    clahe, ends = settings["clahe"], (settings["low_percentile"], settings["high_percentile"])
    lengths = (_length_px(clahe, "kernel", side, pixel_size_nm) for side in page.shape)
    kernel = tuple(min(max(int(of), 1), side) for of, side in zip(lengths, page.shape, strict=True))
    low, high = percentiles(Pixels.of(page), ends).tolist()
    scale = Scale(low, high, 0.0, 0.0)
    if low < high:
        found = equalisation(page, kernel, clahe["clip_limit"], low, high)
        page = in_memory(found.equalised(page))
        scale = replace(scale_of(Pixels.of(page), 0, 100), low=low, high=high)
        result = scaled(page, replace(scale, low=-np.inf, high=np.inf))
    else:
        result = scaled(page, scale)
    regions = {"kernel_rows": kernel[0], "kernel_columns": kernel[1]}
    return result, {**asdict(scale), **regions, "clip_limit": clahe["clip_limit"]}


def _length_px(said: Mapping[str, Any], name: str, side: int, pixel_size_nm: float) -> float:
    """A length in pixels, stated in nm or as a share of a side."""
    if f"{name}_nm" not in said:
        return said[f"{name}_share"] * side
    if not np.isfinite(pixel_size_nm):
        raise ValueError(f"its pixel size is unknown, so {name}_nm says nothing; use {name}_share")
    return said[f"{name}_nm"] / pixel_size_nm


def grey_levels(page: Page, record: Mapping[str, Any]) -> Page:
    """The inverse of `normalised`, but for what was clipped.

    Parameters
    ----------
    page : (rows, columns) float32 page
        Normalised.
    record : mapping
        What `normalised` says of it, or its row in the table.

    Raises
    ------
    ValueError
        If the page was equalised: several grey levels have become one.
    """
    if "kernel_rows" in record:
        what = "was equalised (CLAHE), which cannot be undone"
        raise ValueError(f"{what}; its grey levels are in results/micrographs")

    def of(strip: np.ndarray) -> np.ndarray:
        return (np.float64(strip) * record["deviation"] + record["mean"]).astype(np.float32)

    grey = mapped(page, of, page.shape, np.float32)
    return Surface.of_record(record).put_back(grey) if "surface" in record else grey
