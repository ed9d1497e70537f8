"""Pixel sizes: whether they can be true, and which one a study is brought to.

A micrograph's own size is in its table, from its file or from the sheet, which wins. Where a study
has a common size, all that differ from it are resampled, see `grids`; those within 1 % of it are
left as they are, because calibrations are no better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from tessera.problems import Problem

AUTO, KEEP = "auto", "keep"
SAME = 0.01
"""Sizes that differ by this share of one of them are one and the same."""

SMALLEST_NM, LARGEST_NM = 1e-3, 1e6
"""A hundredth of an atom, and a millimetre: no micrograph has smaller or larger pixels."""

ODD = 5
"""A size so many times that of its group's others is told: a power of ten is a unit mistaken."""

REMEDY = "say it in the sheet (pixel_size_nm), or resample nothing (normalise: pixel_size_nm: keep)"


def fault(pixel_size_nm: float) -> str:
    """What is wrong with a size; empty for a possible one, and for NaN, which is unknown.

    Examples
    --------
    >>> fault(2.5), fault(float("nan"))
    ('', '')
    >>> fault(5e9)
    'a pixel size of 5e+09 nm is impossible (0.001 to 1e+06 nm are taken)'
    """
    if math.isnan(pixel_size_nm) or SMALLEST_NM <= pixel_size_nm <= LARGEST_NM:
        return ""
    taken = f"{SMALLEST_NM:g} to {LARGEST_NM:g} nm are taken"
    return f"a pixel size of {pixel_size_nm:g} nm is impossible ({taken})"


def common_size(stated: float | str, sizes_nm: pd.Series) -> float | None:
    """The size that micrographs are brought to; None where each keeps its own.

    Parameters
    ----------
    stated : float or {'auto', 'keep'}
        auto: the median of those that are known, None where none is.
    sizes_nm : Series of float
        NaN where it is unknown.

    Examples
    --------
    >>> common_size("auto", pd.Series([70.0, 130.0, 180.0]))
    130.0
    >>> common_size("keep", pd.Series([70.0])), common_size(100, pd.Series([70.0]))
    (None, 100.0)
    """
    if stated == KEEP:
        return None
    if stated != AUTO:
        return float(stated)
    known = sizes_nm.dropna()
    return float(f"{known.median():.6g}") if len(known) else None


def uncalibrated(table: pd.DataFrame) -> Iterator[Problem]:
    """The rows without a size, where there is one to bring them to.

    Parameters
    ----------
    table : DataFrame
        micrograph, file, pixel_size_nm.
    """
    for row in table[table["pixel_size_nm"].isna()].itertuples():
        what = f"its pixel size is unknown, and the study has a common one; {REMEDY}"
        yield Problem(row.micrograph, row.file, what)


def is_same(pixel_size_nm: float, other_nm: float) -> bool:
    """Whether two sizes are the same but for their calibration."""
    return abs(pixel_size_nm / other_nm - 1) <= SAME


def shape_at(
    shape: tuple[int, int], pixel_size_nm: float, common_nm: float | None
) -> tuple[int, int]:
    """Shape of a micrograph at the common size; its own where there is none, or the same.

    Examples
    --------
    >>> shape_at((900, 1200), 50.0, 100.0), shape_at((900, 1200), 50.0, 50.2)
    ((450, 600), (900, 1200))
    """
    if common_nm is None or is_same(pixel_size_nm, common_nm):
        return tuple(shape)
    return tuple(max(1, round(side * pixel_size_nm / common_nm)) for side in shape)


def odd_sizes(table: pd.DataFrame) -> Iterator[tuple[str, float, float]]:
    """Micrographs whose size is `ODD` times that of its group's others, or a fraction as small.

    Parameters
    ----------
    table : DataFrame
        micrograph, group, pixel_size_nm.

    Yields
    ------
    (str, float, float)
        The micrograph, its size, and the median of its group, in nm; of two, the other's.
    """
    for _, of in table.dropna(subset="pixel_size_nm").groupby("group"):
        sizes = of["pixel_size_nm"].to_numpy(float)
        if sizes.size < 2 or sizes.max() < ODD * sizes.min():
            continue
        for at, micrograph in enumerate(of["micrograph"]):
            others = float(np.median(sizes) if sizes.size > 2 else sizes[1 - at])
            if not 1 / ODD < sizes[at] / others < ODD:
                yield micrograph, float(sizes[at]), others
