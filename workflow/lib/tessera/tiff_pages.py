"""Pages of TIFF files, of which the large ones are read as their rows are asked for.

Uncompressed pages are read where they lie, others strip by strip or tile by tile, by tifffile.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tifffile

from tessera.strips import LazyPage, is_small

JPEG = {6, 7, 33007, 34892}


def page_of(page: tifffile.TiffPage, path: str | Path) -> np.ndarray | LazyPage:
    """The pixels of a page of an open file: a small one whole, a large one lazily.

    Lazily only where each strip or tile holds all channels: a large page whose colours lie apart,
    or of several depths, is read whole.
    """
    if is_small(page.shape, page.dtype) or _is_apart(page):
        return page.asarray()
    if page.is_final:
        dtype = page.dtype.newbyteorder(page.parent.byteorder)
        return rows_in_file(path, page.shape, dtype, page.dataoffsets[0])
    number = page.index

    def rows_of(top: int, end: int) -> np.ndarray:
        with tifffile.TiffFile(path, is_ome=False) as file:
            return _decoded(file.pages[number].aspage(), top, end)

    return LazyPage(page.shape, page.dtype, rows_of, min(page.chunks[0], page.imagelength))


def at_once(page: tifffile.TiffPage) -> tuple[int, str]:
    """Bytes of the largest piece that a page can only be read in, and what it is."""
    if _is_apart(page):
        return page.nbytes, "a picture whose colours or depths lie apart"
    if page.is_final:
        return 0, "a row"
    sides = (min(page.chunks[0], page.imagelength), *page.chunks[1:])
    return math.prod(sides) * page.dtype.itemsize, "one of its strips or tiles"


def _is_apart(page: tifffile.TiffPage) -> bool:
    planes, depth, *_ = page.shaped
    return planes > 1 or depth > 1


def rows_in_file(
    path: str | Path, shape: tuple[int, ...], dtype: np.dtype, offset: int
) -> LazyPage:
    """A page whose rows lie one after the other in a file, from a byte on."""
    row = math.prod(shape[1:])

    def rows_of(top: int, end: int) -> np.ndarray:
        first = offset + top * row * dtype.itemsize
        found = np.fromfile(path, dtype, (end - top) * row, offset=first)
        if found.size != (end - top) * row:
            raise OSError(f"{path}: ends before row {end} of {shape[0]}")
        return found.reshape(end - top, *shape[1:])

    return LazyPage(shape, dtype, rows_of)


def _decoded(page: tifffile.TiffPage, top: int, end: int) -> np.ndarray:
    """Rows of a page, from the strips or tiles that they lie in."""
    _, _, _, width, samples = page.shaped
    found = np.empty((end - top, width, samples), page.dtype)
    height = page.chunks[0]
    across = math.prod(page.chunked[1:])
    wanted = range(top // height * across, -(-end // height) * across)
    tables = {}
    if page.compression in JPEG:
        tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}

    def place(segment: tuple[bytes | None, int]) -> None:
        pixels, (_, _, row, column, _), shape = page.decode(*segment, **tables, _fullsize=False)
        pixels = pixels[0, : page.imagelength - row, : width - column]
        first, last = max(row, top), min(row + len(pixels), end)
        part = pixels[first - row : last - row]
        found[first - top : last - top, column : column + shape[2]] = part

    segments = page.parent.filehandle.read_segments(
        [page.dataoffsets[number] for number in wanted],
        [page.databytecounts[number] for number in wanted],
        indices=wanted,
        flat=False,
    )
    with ThreadPoolExecutor(max(1, page.maxworkers)) as executor:
        for group in segments:
            list(executor.map(place, group))
    return found.reshape(end - top, *page.shape[1:])
