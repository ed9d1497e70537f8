"""The data bar that microscopes draw below a micrograph, found by its rows.

A bar is of two grey levels, that of its ground and that of its writing, and begins with a sharp
edge from one side to the other. What has no writing is none: an empty region, a scan that was
stopped; nor is what begins gradually: vacuum, a saturated corner. Only the rows of the bar and a
few above are looked at, so that of a micrograph without one little is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from tessera.crops import NO_CROP, Crop
from tessera.strips import Page, strip_rows

AUTO = "auto"
TALLEST, LOWEST_PX = 0.25, 8
"""A bar is at most this share of the picture's height, and has at least so many rows."""
PLAIN, CLEAN = 0.8, 0.98
"""Share of a row that has the two levels of the bar: of any row, and of one next to its edge."""
BESIDE = 0.75
"""Share of the rows above its edge that may have them: those of an image that is black in part."""
GAP_PX = 4
"""Rows of a logo, or of a line of many greys, that may interrupt a bar."""
SUDDEN = 0.2
"""By how much more of the rows right above may have them than of those further up."""
EDGE_PX = 3
INKED, INK_PX, OF_ONE_INK = (0.005, 0.6), 5, 0.25
"""Share of a row that is writing; rows of writing; share of all writing that is of one level."""
JPEG_NOISE, JPEG_CONTRAST = 6, 128
"""Grey levels of 8 bits by which a level may differ after JPEG, looked for if nothing is found; and
by which ground and writing then differ at least: smooth micrographs are of few levels too."""


def crop_of(page: Page, setting: str | Mapping[str, int] | None, scanned_rows: int = 0) -> Crop:
    """What is to be cut off a picture.

    Parameters
    ----------
    page : page
    setting : None, `auto`, or mapping
        Nothing; a data bar at the bottom if there is one; pixels by side.
    scanned_rows : int
        Height of what was scanned, as far as the file states it; 0 where it does not.
    """
    if setting is None:
        return NO_CROP
    if setting == AUTO:
        return Crop(bottom=page.shape[0] - scanned_rows if scanned_rows else bar_px(page))
    return Crop(**setting)


def bar_px(page: Page) -> int:
    """The rows of the data bar at the bottom of a picture; 0 where there is none.

    Parameters
    ----------
    page : (rows, columns) page
    """
    found = _bar(page, 0)
    return found or (_bar(page, JPEG_NOISE) if page.dtype == np.uint8 else 0)


def _bar(page: Page, tolerance: int) -> int:
    rows = page.shape[0]
    highest = rows - int(rows * TALLEST)
    top = _first_row(_flat_rows(page, highest, tolerance), rows)
    if rows - top < LOWEST_PX or top <= EDGE_PX:
        return 0
    # An image that is black in most of its pixels goes on like a bar: the writing is looked for
    # from below.
    height, tried = LOWEST_PX, set()
    while height < 2 * (rows - top):
        levels = _two_levels(page, max(rows - height, top), tolerance)
        if levels and levels not in tried:
            tried.add(levels)
            if found := _of_levels(page, top, levels, tolerance):
                return found if found <= rows - highest else 0
        height *= 2
    return 0


def _of_levels(page: Page, flat: int, levels: tuple[float, float], tolerance: int) -> int:
    """Rows of the bar of a ground and a writing, from a row on or below it; 0 where it is none."""
    rows, lower = page.shape[0], max(flat - 6 * EDGE_PX, 0)
    ground, ink = (
        np.concatenate([_near(strip, of, tolerance) for strip in _strips(page, lower)])
        for of in levels
    )
    both = ground + ink
    top = _first_row(((lower + i, share >= PLAIN) for i, share in _upwards(both)), rows)
    written = 1 - ground[top - lower :]
    is_written = np.count_nonzero((written > INKED[0]) & (written < INKED[1])) >= INK_PX
    is_clean = (both[top - lower :][:2] >= CLEAN).any()
    above = top - _drawn_above(page, top)
    beside = both[: above - lower][-4 * EDGE_PX :]
    is_sharp = beside.size == 4 * EDGE_PX and (
        beside[-EDGE_PX:].mean() <= BESIDE
        and beside[-EDGE_PX:].max() <= beside[:-EDGE_PX].mean() + SUDDEN
    )
    is_bar = is_written and is_clean and is_sharp and rows - top >= LOWEST_PX
    return rows - above if is_bar else 0


def _flat_rows(page: Page, highest: int, tolerance: int) -> Iterator[tuple[int, bool]]:
    """Rows from below, and whether one grey level fills more than half of each."""
    # In blocks, as long as it goes on: most micrographs end with none.
    for top in range(page.shape[0] - LOWEST_PX, highest - LOWEST_PX, -LOWEST_PX):
        strip = np.asarray(page[max(top, 0) : top + LOWEST_PX])
        middle = strip.shape[1] // 2
        # What fills more than half is in the middle of all that is there.
        level = np.partition(strip, middle, axis=1)[:, middle]
        flat = _near(strip, level[:, None], tolerance) > 0.5
        yield from ((max(top, 0) + i, bool(is_flat)) for i, is_flat in _upwards(flat))


def _upwards(values: np.ndarray) -> Iterator[tuple[int, float]]:
    return zip(range(len(values) - 1, -1, -1), values[::-1].tolist(), strict=True)


def _first_row(rows: Iterator[tuple[int, bool]], end: int) -> int:
    """The highest row that rows from below reach, where those that fail are few at a time."""
    top = end
    for row, holds in rows:
        if holds:
            top = row
        elif top - row > GAP_PX:
            break
    return top


def _two_levels(page: Page, top: int, tolerance: int) -> tuple[float, float] | None:
    """The commonest level of the rows below `top`, and that of all else in them if it is one."""
    counted: Counter[float] = Counter()
    for strip in _strips(page, top):
        levels, pixels = np.unique(strip, return_counts=True)
        counted.update(dict(zip(levels.tolist(), pixels.tolist(), strict=True)))
    (ground, _), *others = sorted(counted.items(), key=lambda of: (-of[1], of[0]))
    writing = [(level, pixels) for level, pixels in others if abs(level - ground) > tolerance]
    if not writing:
        return None
    ink = writing[0][0]
    of_ink = sum(pixels for level, pixels in writing if abs(level - ink) <= tolerance)
    is_one = of_ink >= OF_ONE_INK * sum(pixels for _, pixels in writing)
    is_one &= not tolerance or abs(ink - ground) >= JPEG_CONTRAST
    return (ground, ink) if is_one else None


def _near(strip: np.ndarray, level: float | np.ndarray, tolerance: int) -> np.ndarray:
    """Share of each row that has a level, within the tolerance."""
    if not tolerance:
        return (strip == level).mean(axis=1)
    return (np.abs(strip.astype(np.int16) - np.asarray(level, np.int16)) <= tolerance).mean(axis=1)


def _drawn_above(page: Page, top: int) -> int:
    """Rows right above that were drawn: one grey level, or a run from one to another."""
    above = np.asarray(page[max(top - GAP_PX, 0) : top])
    left, right = above[:, :-1], above[:, 1:]
    drawn = (left <= right).all(axis=1) | (left >= right).all(axis=1)
    return int(np.cumprod(drawn[::-1]).sum())


def _strips(page: Page, top: int) -> Iterator[np.ndarray]:
    step = strip_rows(page)
    for first in range(top, page.shape[0], step):
        yield np.asarray(page[first : first + step])
