"""Grids: micrographs and masks resampled to another number of pixels, and predictions back again.

Both grids cover the same area, edge to edge. Grey levels and probabilities are weighted means under
a triangle, as wide as two pixels of the coarser grid: linear between pixels where a grid gets
finer, and nothing finer than the new grid is left where it gets coarser. A pixel depends on those
around it alone, and is the same bit for bit however large a part is made at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tessera.strips import LazyPage, Page, in_memory, rows_at

if TYPE_CHECKING:
    from scipy.sparse import csr_array

STRIP_PX = 256
"""Rows made at once: memory holds the page, the result, and a few strips."""


@dataclass(frozen=True)
class Axis:
    """Rows or columns of a grid, and of the one that it is resampled to.

    Parameters
    ----------
    size, wanted : int
    """

    size: int
    wanted: int

    def read(self, span: slice) -> slice:
        """What a span of the wanted pixels is made from."""
        index, weight = self._taps(span)
        used = index[weight > 0]
        return slice(int(used.min()), int(used.max()) + 1)

    def made(self, values: np.ndarray, span: slice, axis: int) -> np.ndarray:
        """A span of the wanted pixels along an axis.

        Parameters
        ----------
        values : float32 array
            Along the axis what `read` names, and no more.
        span : slice
        axis : {-1, -2}
        """
        index, weight = self._taps(span)
        index = np.clip(index - self.read(span).start, 0, values.shape[axis] - 1)
        found = None
        for tap in range(index.shape[1]):
            share = weight[:, tap] if axis == -1 else weight[:, tap, None]
            part = np.take(values, index[:, tap], axis) * share
            found = part if found is None else np.add(found, part, out=found)
        return found

    def _taps(self, span: slice) -> tuple[np.ndarray, np.ndarray]:
        """(wanted, taps): which pixels each is made from, and their weights."""
        step = self.size / self.wanted
        reach = max(1.0, step)
        centre = (np.arange(span.start, span.stop) + 0.5) * step - 0.5
        first = np.floor(centre - reach).astype(int) + 1
        index = first[:, None] + np.arange(int(np.ceil(2 * reach)))
        weight = np.maximum(0, 1 - np.abs(index - centre[:, None]) / reach)
        weight[(index < 0) | (index >= self.size)] = 0
        return index, (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def resampled(page: Page, shape: tuple[int, int]) -> Page:
    """A page of grey levels on a grid of another shape.

    Parameters
    ----------
    page : (rows, columns) page
    shape : (rows, columns)

    Returns
    -------
    (rows, columns) float32 page
        The page itself, in its own dtype, where it has this shape. A large one is made as its rows
        are asked for.
    """
    if page.shape == tuple(shape):
        return page
    down, across = axes(page.shape, shape)

    def rows_of(top: int, end: int) -> np.ndarray:
        found = np.empty((end - top, shape[1]), np.float32)
        for first in range(top, end, STRIP_PX):
            span = slice(first, min(first + STRIP_PX, end))
            strip = np.asarray(page[down.read(span)], np.float32)
            made = across.made(down.made(strip, span, -2), slice(0, shape[1]), -1)
            found[span.start - top : span.stop - top] = made
        return found

    return in_memory(LazyPage(shape, np.float32, rows_of))


def axes(shape: tuple[int, int], wanted: tuple[int, int]) -> tuple[Axis, Axis]:
    """Rows and columns of a grid, to be resampled to another."""
    return tuple(Axis(size, to) for size, to in zip(shape, wanted, strict=True))


def resampled_mask(mask: Page, shape: tuple[int, int]) -> Page:
    """Class codes on a grid of another shape: of each pixel the class that fills most of its area.

    Of several that fill as much it is the one at the pixel's centre, or else the lowest code.
    Ignored pixels are a class like the others here.

    Parameters
    ----------
    mask : (rows, columns) uint8 page
    shape : (rows, columns)

    Returns
    -------
    (rows, columns) uint8 page
        A large one is made as its rows are asked for.

    Examples
    --------
    >>> resampled_mask(np.array([[1, 1, 0, 2], [1, 0, 0, 2]], np.uint8), (1, 2))
    array([[1, 2]], dtype=uint8)
    """
    if mask.shape == tuple(shape):
        return mask
    # Here and not above: predicting would load scipy's sparse matrices into its memory for nothing.
    from tessera.reduction import shares

    down, across = (shares(np.arange(n + 1), to) for n, to in zip(mask.shape, shape, strict=True))
    at_rows, at_columns = _centres(mask.shape, shape)

    def rows_of(top: int, end: int) -> np.ndarray:
        found = np.empty((end - top, shape[1]), mask.dtype)
        step = max(1, STRIP_PX * shape[0] // max(shape[0], mask.shape[0]))
        for first in range(top, end, step):
            last = min(first + step, end)
            rows = down[first:last]
            read = slice(rows.indices.min(), rows.indices.max() + 1)
            strip = mask[read]
            middle = strip[np.ix_(at_rows[first:last] - read.start, at_columns)]
            found[first - top : last - top] = _fullest(strip, middle, rows[:, read], across)
        return found

    return in_memory(LazyPage(shape, mask.dtype, rows_of))


def _fullest(
    strip: np.ndarray, middle: np.ndarray, down: csr_array, across: csr_array
) -> np.ndarray:
    """The code that fills most of each pixel, from the shares of pixels in it."""
    most, best = np.zeros(middle.shape), np.zeros(middle.shape, strip.dtype)
    for code in np.flatnonzero(np.bincount(strip.ravel())):
        area = (across @ (down @ (strip == code).astype(float)).T).T
        area += TIE * (middle == code)
        wins = area > most + TIE / 4
        most[wins], best[wins] = area[wins], code
    return best


TIE = 1e-6
"""In pixels: far above the rounding of an area, far below one."""


def nearest(page: Page, shape: tuple[int, int]) -> Page:
    """A page on a grid of another shape: of each pixel the value at its centre.

    Of a lazy page it is lazy too.

    Examples
    --------
    >>> nearest(np.array([[1, 2, 3, 4]]), (1, 2))
    array([[2, 4]])
    """
    rows, columns = _centres(page.shape, shape)
    if isinstance(page, np.ndarray):
        return page[np.ix_(rows, columns)]
    return LazyPage(shape, page.dtype, lambda top, end: rows_at(page, rows[top:end])[:, columns])


def _centres(shape: tuple[int, int], wanted: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of a grid at the centres of the pixels of another."""
    rows, columns = (
        (2 * np.arange(to) + 1) * n // (2 * to) for n, to in zip(shape, wanted, strict=True)
    )
    return rows, columns
