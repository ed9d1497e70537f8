"""Cores: parts that tile a micrograph, each with the window from which a network predicts it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Core:
    """A part of a micrograph, and the window it is predicted from.

    Parameters
    ----------
    rows, columns : slice
        Where the core is written, in pixels of the micrograph.
    read_rows, read_columns : slice
        The window, in pixels of the micrograph extended to a multiple of the stride.
    """

    rows: slice
    columns: slice
    read_rows: slice
    read_columns: slice

    @property
    def read_shape(self) -> tuple[int, int]:
        """Size of the window."""
        return _length(self.read_rows), _length(self.read_columns)

    @property
    def within(self) -> tuple[slice, slice]:
        """Where the core is in its window."""
        pairs = ((self.rows, self.read_rows), (self.columns, self.read_columns))
        rows, columns = (
            slice(span.start - read.start, span.stop - read.start) for span, read in pairs
        )
        return rows, columns


def cores(height: int, width: int, core_px: int, halo_px: int, stride: int) -> Iterator[Core]:
    """Yield the cores of a micrograph in row-major order; each pixel is in exactly one.

    Raises
    ------
    ValueError
        If the micrograph is empty, or `core_px` or `halo_px` is not a multiple of the stride.
    """
    if height < 1 or width < 1:
        raise ValueError(f"a micrograph of {height} x {width} px has no core")
    if stride < 1 or core_px < 1 or core_px % stride or halo_px < 0 or halo_px % stride:
        raise ValueError(
            f"core_px {core_px} and halo_px {halo_px} must be multiples of the stride, {stride}"
        )
    across = list(_spans(width, core_px, halo_px, stride))
    return (
        Core(rows, columns, read_rows, read_columns)
        for rows, read_rows in _spans(height, core_px, halo_px, stride)
        for columns, read_columns in across
    )


def covering(
    rows: slice, columns: slice, shape: tuple[int, int], halo_px: int, stride: int
) -> Core:
    """Return a core of any place and size in a micrograph of `shape`, with its window."""
    spans = (rows, columns)
    read = (_reading(*of, halo_px, stride) for of in zip(spans, shape, strict=True))
    return Core(rows, columns, *read)


def _reading(span: slice, size: int, halo_px: int, stride: int) -> slice:
    start, stop = span.start // stride * stride, extended(span.stop, stride)
    return slice(max(start - halo_px, 0), min(stop + halo_px, extended(size, stride)))


def _spans(size: int, core_px: int, halo_px: int, stride: int) -> Iterator[tuple[slice, slice]]:
    """Yield write and read slices along one axis."""
    for start in range(0, size, core_px):
        span = slice(start, min(start + core_px, size))
        yield span, _reading(span, size, halo_px, stride)


def extended(size: int, stride: int) -> int:
    """The next multiple of the stride, from `size` upwards."""
    return -(-size // stride) * stride


def cut(page: np.ndarray, parts: Iterable[Core]) -> Iterator[tuple[Core, np.ndarray]]:
    """Yield each core with its window (..., rows, columns) of a page (..., h, w).

    Where the window reaches beyond the page (by less than a stride, below and to the right),
    it repeats the edge of the page. The page may be a memory map: only windows are read.
    """
    return ((core, window(page, core)) for core in parts)


def window(page: np.ndarray, core: Core) -> np.ndarray:
    """The window of one core, as `cut` gives it."""
    read = np.asarray(page[..., core.read_rows, core.read_columns])
    beyond = [(0, n - m) for n, m in zip(core.read_shape, read.shape[-2:], strict=True)]
    if not any(after for _, after in beyond):
        return read
    return np.pad(read, [(0, 0)] * (read.ndim - 2) + beyond, mode="edge")


def stitch(parts: Iterable[tuple[Core, np.ndarray]], height: int, width: int) -> np.ndarray:
    """Assemble cores (..., rows, columns) into an array (..., height, width) in memory.

    The inverse of `cut`, of whose windows the cores are taken. Raises ValueError if the parts do
    not fill the micrograph.

    Examples
    --------
    >>> page = np.arange(15).reshape(3, 5)
    >>> windows = cut(page, cores(3, 5, core_px=2, halo_px=2, stride=2))
    >>> bool((stitch(((core, w[core.within]) for core, w in windows), 3, 5) == page).all())
    True
    """
    whole, written_px = None, 0
    for core, part in parts:
        if whole is None:
            whole = np.empty((*part.shape[:-2], height, width), part.dtype)
        whole[..., core.rows, core.columns] = part
        written_px += _length(core.rows) * _length(core.columns)
    if whole is None or written_px != height * width:
        raise ValueError(f"stitch: {written_px} px written of {height} x {width}")
    return whole


def _length(span: slice) -> int:
    return span.stop - span.start
