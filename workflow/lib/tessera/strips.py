"""Pages larger than memory, taken a strip of rows at a time.

A page is anything with a shape, a dtype and rows that can be sliced: an array, or a `LazyPage`
whose rows are read or made when they are asked for. What is done with a page goes from strip to
strip; how high these are never changes what comes out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

STRIP_BYTES = 2**24
"""What is held of a page at once, or one row of it where that takes more."""
WHOLE_BYTES = 2**26
"""A page of at most so many bytes is read whole."""


class Page(Protocol):
    """A (rows, columns) array, or (rows, columns, channels), in memory or not."""

    shape: tuple[int, ...]
    dtype: np.dtype
    ndim: int
    size: int

    def __getitem__(self, index: Any) -> np.ndarray: ...


def is_small(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Whether a page is to be read whole."""
    return math.prod(shape) * dtype.itemsize <= WHOLE_BYTES


class LazyPage:
    """A page whose rows are read, or made, when they are asked for.

    Rows come in blocks, and the last two are kept: going through the page from top to bottom, in
    whatever steps, with a look back, makes each block once. `np.asarray` makes the whole.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns) or (rows, columns, channels).
    dtype : numpy dtype
    rows_of : callable
        Gives the rows from one to before another as an array.
    block_rows : int, optional
        Rows of a block, where they come in such; several are taken at once where they are small.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: Any,
        rows_of: Callable[[int, int], np.ndarray],
        block_rows: int = 1,
    ) -> None:
        self.shape, self.dtype = tuple(int(side) for side in shape), np.dtype(dtype)
        self.ndim, self.size = len(self.shape), math.prod(self.shape)
        self.nbytes = self.size * self.dtype.itemsize
        self.block_rows = block_rows
        self._rows_of = rows_of
        self._step = strip_rows(self, block_rows)
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        rows, *rest = index if isinstance(index, tuple) else (index,)
        if rows is Ellipsis:
            rows, *rest = (slice(None),) * (self.ndim - len(rest)) + tuple(rest)
        if not isinstance(rows, slice):
            row = range(self.shape[0])[rows]
            return self[(slice(row, row + 1), *rest)][0]
        at, stop, step = rows.indices(self.shape[0])
        if step < 1:
            raise ValueError(f"rows are read downwards, not in steps of {step}")
        parts = []
        while at < stop:
            number = at // self._step
            first, end = number * self._step, min((number + 1) * self._step, stop)
            part = self._block(number)[(slice(at - first, end - first, step), *rest)]
            # Of several a copy: a view, however few its pixels, keeps its whole block in memory.
            parts.append(part if not parts and end == stop else part.copy())
            at += -(-(end - at) // step) * step
        if not parts:
            return np.empty((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.empty(self.shape, self.dtype if dtype is None else dtype)
        for span in spans(self):
            whole[span] = self[span]
        return whole

    def _block(self, number: int) -> np.ndarray:
        # One look, one change: windows are read by another thread too.
        block = self._kept.get(number)
        if block is None:
            self._kept = {of: kept for of, kept in self._kept.items() if of == number - 1}
            first = number * self._step
            block = self._rows_of(first, min(first + self._step, self.shape[0])).view()
            block.flags.writeable = False
            self._kept = {**self._kept, number: block}
        return block


def block_rows(page: Page) -> int:
    """How many rows of a page are best taken at once: those of its blocks."""
    return getattr(page, "block_rows", 1)


def strip_rows(page: Page, multiple: int = 1) -> int:
    """How many rows of a page make a strip: a multiple of a number, of about `STRIP_BYTES`."""
    row_bytes = max(1, math.prod(page.shape[1:]) * page.dtype.itemsize)
    return max(STRIP_BYTES // row_bytes // multiple, 1) * multiple


def spans(page: Page, multiple: int = 1) -> Iterator[slice]:
    """The rows of each strip of a page, from top to bottom.

    Examples
    --------
    >>> list(spans(np.zeros((5, 2**22), np.uint8), multiple=2))
    [slice(0, 4, None), slice(4, 5, None)]
    """
    step = strip_rows(page, max(multiple, block_rows(page)))
    for top in range(0, page.shape[0], step):
        yield slice(top, min(top + step, page.shape[0]))


def strips(page: Page) -> Iterator[np.ndarray]:
    """The strips of a page, from top to bottom."""
    return (np.asarray(page[span]) for span in spans(page))


def mapped(
    page: Page,
    function: Callable[[np.ndarray], np.ndarray],
    shape: tuple[int, ...],
    dtype: Any,
) -> np.ndarray | LazyPage:
    """A page of what a function makes of each strip by itself: of an array at once, else lazily.

    Parameters
    ----------
    page : page
    function : callable
        Of a strip, each of whose rows it takes by itself.
    shape, dtype
        Of the result, which has as many rows.
    """
    if isinstance(page, np.ndarray):
        return function(page)

    def rows_of(top: int, end: int) -> np.ndarray:
        return function(np.asarray(page[top:end]))

    return LazyPage(shape, dtype, rows_of, block_rows(page))


def in_memory(page: Page) -> Page:
    """A page that is made as it is asked for: made at once, and once, if it is small."""
    return np.asarray(page) if is_small(page.shape, page.dtype) else page


def made(
    shape: tuple[int, ...],
    dtype: Any,
    strip_of: Callable[[int, int], tuple[np.ndarray, Any]],
    block_rows: int = 1,
) -> tuple[Page, list[Any]]:
    """A page, and what is said of each of its strips.

    Parameters
    ----------
    shape, dtype
    strip_of : callable
        Makes the rows from one to before another, and says something of them. A large page is
        made anew whenever its rows are asked for.
    block_rows : int
    """
    page = LazyPage(shape, dtype, lambda top, end: strip_of(top, end)[0], block_rows)
    keep, parts, said = is_small(page.shape, page.dtype), [], []
    for span in spans(page):
        part, of_part = strip_of(span.start, span.stop)
        said.append(of_part)
        parts += [part] if keep else []
    return np.concatenate(parts) if parts else page, said


def rows_at(page: Page, rows: np.ndarray) -> np.ndarray:
    """Some rows of a page, by their numbers in rising order, no more than a strip held for them.

    Examples
    --------
    >>> rows_at(np.arange(8).reshape(4, 2), np.array([0, 3, 3])).tolist()
    [[0, 1], [6, 7], [6, 7]]
    """
    if isinstance(page, np.ndarray):
        return page[rows]
    found = np.empty((len(rows), *page.shape[1:]), page.dtype)
    at = 0
    while at < len(rows):
        top = int(rows[at])
        end = at + int(np.searchsorted(rows[at:], top + strip_rows(page)))
        found[at:end] = page[top : int(rows[end - 1]) + 1][rows[at:end] - top]
        at = end
    return found


def native(page: Page) -> np.ndarray | LazyPage:
    """A page in the byte order of this machine, its rows contiguous."""
    dtype = page.dtype.newbyteorder("=")
    return mapped(page, lambda strip: np.ascontiguousarray(strip, dtype), page.shape, dtype)
