"""Regions as runs: the pixels that lie next to each other in a row, by their first and their last.

Regions of a large micrograph take little memory so, and any strip of them can be drawn by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tessera.joining import spread

Where = tuple[np.ndarray, np.ndarray]
"""Rows and columns of pixels, of which some may come twice."""


@dataclass(frozen=True)
class Runs:
    """Runs of pixels, in the order of their rows.

    Parameters
    ----------
    rows, firsts, lengths : (runs,) int arrays
        Row, first column, and how many pixels.
    """

    rows: np.ndarray
    firsts: np.ndarray
    lengths: np.ndarray

    @property
    def span(self) -> tuple[int, int]:
        """The first row, and the one after the last."""
        return (int(self.rows[0]), int(self.rows[-1]) + 1) if self.rows.size else (0, 0)

    def places(self, top: int, end: int, width: int) -> np.ndarray:
        """Where the pixels lie in a strip of rows, counted row by row; some may come twice."""
        part = slice(*np.searchsorted(self.rows, (top, end)))
        which, along = spread(self.lengths[part])
        starts = (self.rows[part].astype(np.int64) - top) * width + self.firsts[part]
        return starts[which] + along


def runs_of(pieces: Iterable[Where]) -> Runs:
    """The runs of pixels that come in pieces, in any order.

    Examples
    --------
    >>> found = runs_of([(np.array([1, 0, 1]), np.array([4, 2, 3]))])
    >>> found.rows.tolist(), found.firsts.tolist(), found.lengths.tolist()
    ([0, 1], [2, 3], [1, 2])
    """
    parts = [(np.zeros(0, np.int32),) * 3, *map(_runs, pieces)]
    rows, firsts, lengths = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(rows, kind="stable")
    return Runs(rows[order], firsts[order], lengths[order])


def _runs(where: Where) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.lexsort(where[::-1])
    rows, columns = (of[order].astype(np.int32) for of in where)
    if not rows.size:
        return rows, columns, rows
    new = np.append(True, (np.diff(rows) != 0) | (np.diff(columns) > 1))
    lasts = columns[np.append(new[1:], True)]
    return rows[new], columns[new], lasts - columns[new] + 1
