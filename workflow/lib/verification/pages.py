"""Pages of the results, some rows at a time: a micrograph may be larger than memory."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import tifffile

from verification.records import Unreadable

TILE_PX = 256
"""Tiles of the results are as high as this, or divide it."""
BAND_PX = 4_000_000


class Page:
    """A page of a TIFF in the results, in one piece or in tiles.

    Parameters
    ----------
    folder : path
    path : str
        Below the folder.
    number : int
    """

    def __init__(self, folder: Path, path: str, number: int) -> None:
        self._file, self._path, self._number = folder / path, path, number
        try:
            with tifffile.TiffFile(self._file) as file:
                self.shape: tuple[int, int] = file.pages[number].shape
        except Exception as error:  # damaged bytes make a decoder raise nearly anything
            raise Unreadable(path, f"cannot be read: {error}") from error

    def rows(self, top: int, end: int) -> np.ndarray:
        """The rows from one to before another.

        Raises
        ------
        Unreadable
        """
        try:
            with tifffile.TiffFile(self._file) as file:
                page = file.pages[self._number]
                if page.is_memmappable:
                    # Let go at once: what was touched of a map counts as memory.
                    mapped = np.memmap(self._file, page.dtype, "r", page.dataoffsets[0], page.shape)
                    return np.array(mapped[top:end])
                return _decoded(page, top, end)
        except Exception as error:
            raise Unreadable(self._path, f"cannot be read: {error}") from error


def n_pages(folder: Path, path: str) -> int:
    """How many pages a TIFF has; `Unreadable` if nobody can tell."""
    try:
        with tifffile.TiffFile(folder / path) as file:
            return len(file.pages)
    except Exception as error:  # as above
        raise Unreadable(path, f"cannot be read: {error}") from error


def band_rows(width: int) -> int:
    """How many rows of a page make a band: whole tiles."""
    return max(1, BAND_PX // width // TILE_PX) * TILE_PX


def _decoded(page: tifffile.TiffPage, top: int, end: int) -> np.ndarray:
    found = np.empty((end - top, page.imagewidth), page.dtype)
    high, wide = page.chunks[:2]
    across = math.ceil(page.imagewidth / wide)
    for number in range(top // high * across, math.ceil(end / high) * across):
        row, column = number // across * high, number % across * wide
        page.parent.filehandle.seek(page.dataoffsets[number])
        packed = page.parent.filehandle.read(page.databytecounts[number])
        tile = page.decode(packed, number)[0].reshape(-1, wide)
        first, last = max(row, top), min(row + high, end)
        part = tile[first - row : last - row, : page.imagewidth - column]
        found[first - top : last - top, column : column + wide] = part
    return found
