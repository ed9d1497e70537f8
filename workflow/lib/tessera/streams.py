"""Images larger than memory: read window by window, written part by part.

What is read lies uncompressed in one page; what is written is an OME-TIFF, tiled, compressed and
calibrated. Memory holds the windows and parts at work, whatever the size of the image.
"""

from __future__ import annotations

import math
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import imagecodecs
import numpy as np
import tifffile

from tessera.files import map_page, map_pages, resolution, written_atomically
from tessera.strips import is_small

TILE_PX = 128
"""Side of a tile of what is written: the finest step in which parts can follow the memory."""

DEFLATE_LEVEL = 1
QUEUED_A_WORKER = 4


class StreamedPage:
    """A page of an uncompressed TIFF, of which windows are read as they are asked for.

    Unlike a map, of which all that was ever touched counts as memory of the process until it is
    let go, nothing but the window itself is held.

    Parameters
    ----------
    path : path
    page : int
    n_pages : int
        How many pages from there on, of one shape, are read as one of so many inputs.
    descriptor : int, optional
        Of the file, where it is open already.

    Examples
    --------
    `page[..., 100:356, 0:256]` is an array of (256, 256), or of (inputs, 256, 256).
    """

    def __init__(
        self, path: str | Path, page: int, n_pages: int = 1, descriptor: int | None = None
    ) -> None:
        mapped = [map_page(path, number) for number in range(page, page + n_pages)]
        first = mapped[0]
        self.shape = first.shape if n_pages == 1 else (n_pages, *first.shape)
        self.dtype, self.ndim, self._name = first.dtype, len(self.shape), str(path)
        # A page may itself hold several planes, one after the other.
        plane_bytes = math.prod(first.shape[-2:]) * first.dtype.itemsize
        planes = range(math.prod(first.shape[:-2]))
        self._offsets = [of.offset + plane * plane_bytes for of in mapped for plane in planes]
        self._descriptor = os.open(path, os.O_RDONLY) if descriptor is None else descriptor

    def __enter__(self) -> StreamedPage:
        return self

    def __exit__(self, kind, error, trace) -> None:
        os.close(self._descriptor)

    def __getitem__(self, window: tuple[Any, ...]) -> np.ndarray:
        *_, rows, columns = window
        (top, bottom, _), (left, right, _) = (
            span.indices(size) for span, size in zip((rows, columns), self.shape[-2:], strict=True)
        )
        *inputs, _, width = self.shape
        found = np.empty((*inputs, bottom - top, right - left), self.dtype)
        planes = found.reshape(-1, *found.shape[-2:])
        for offset, plane in zip(self._offsets, planes, strict=True):
            for row, line in enumerate(plane, top):
                self._read(line, offset + (row * width + left) * self.dtype.itemsize)
        return found

    def _read(self, line: np.ndarray, offset: int) -> None:
        wanted = memoryview(line).cast("B")
        while wanted:
            n_bytes = os.preadv(self._descriptor, [wanted], offset)
            if not n_bytes:
                raise OSError(f"{self._name}: ends before byte {offset + len(wanted)}")
            wanted, offset = wanted[n_bytes:], offset + n_bytes


def windowed_pages(path: str | Path, pages: Sequence[int]) -> list[np.ndarray | StreamedPage]:
    """Pages of an uncompressed TIFF whose windows are read for as long as the process lives.

    Small ones are mapped into memory; large ones are not, since windows all over them would sooner
    or later hold the whole. The file is opened once for those, and once for these.
    """
    mapped = map_pages(path, pages)
    large = [not is_small(page.shape, page.dtype) for page in mapped]
    if not any(large):
        return mapped
    descriptor = os.open(path, os.O_RDONLY)
    return [
        StreamedPage(path, int(number), descriptor=descriptor) if is_large else page
        for number, page, is_large in zip(pages, mapped, large, strict=True)
    ]


class TileSink:
    """A tiled, compressed, calibrated OME-TIFF, written as its parts come, in any order.

    Parts lie on the grid of tiles. Their tiles are compressed by threads and written in the order
    in which they came, so that the same parts make the same bytes; where each lies in the file is
    set right at the end. Memory holds a few tiles, whatever the size of the micrograph.

    Parameters
    ----------
    path : path
    shape : (rows, columns) or (rows, columns, classes)
    dtype : numpy dtype
    pixel_size_nm : float
        NaN where it is unknown.
    colourmap : (classes, 3) uint8 array, optional
        Colours of the class codes of a mask.
    workers : int
        Threads that compress.
    tile_px : int
        Side of a tile, a multiple of 16.
    """

    def __init__(
        self, path, shape, dtype, pixel_size_nm, colourmap=None, workers=1, tile_px=TILE_PX
    ) -> None:
        self._shape, self._dtype, self._tile_px = tuple(shape), np.dtype(dtype), tile_px
        self._grid = tuple(-(-size // tile_px) for size in shape[:2])
        self._order: list[int] = []
        self._placed = bytearray(self._grid[0] * self._grid[1])
        self._encoders = ThreadPoolExecutor(workers, thread_name_prefix="tiles")
        # A part is taken whole, so that its memory is free once the next but one is taken.
        self._encoded: queue.Queue = queue.Queue(maxsize=QUEUED_A_WORKER * workers)
        self._ended = False
        self._error: BaseException | None = None
        settings = {
            "shape": self._shape,
            "dtype": self._dtype,
            "tile": (tile_px, tile_px),
            "compression": "zlib",
            "photometric": "minisblack",
            "software": "tessera",
            "metadata": _ome(Path(path).name, shape, pixel_size_nm),
            **resolution(pixel_size_nm),
        }
        if len(shape) == 3:
            settings |= {
                "planarconfig": "contig",
                "extrasamples": ("unspecified",) * (shape[2] - 1),
            }
        if colourmap is not None:
            settings |= {"photometric": "palette", "colormap": _tiff_colourmap(colourmap)}
        self._writer = threading.Thread(target=self._write, args=(Path(path), settings))

    def __enter__(self) -> TileSink:
        self._writer.start()
        return self

    def __exit__(self, kind, error, trace) -> None:
        self._encoded.put(None if kind is None else _Broken())
        self._writer.join()
        self._encoders.shutdown(cancel_futures=True)
        if kind is None and self._error is not None:
            raise self._error

    def put(self, part: np.ndarray, row: int, column: int) -> None:
        """Hand over a part whose first pixel is (row, column); wait if the encoders are behind.

        Raises
        ------
        ValueError
            If the part is off the grid of tiles, reaches beyond the image, ends within it but
            within a tile, or covers a tile that came before.
        """
        side_px = self._tile_px
        for size, first, length in zip(self._shape, (row, column), part.shape, strict=False):
            last = first + length
            if first % side_px or last > size or (last % side_px and last < size):
                raise ValueError(
                    f"tiles of {side_px} px: a part of {part.shape} at {(row, column)} "
                    f"does not fit into {self._shape}"
                )
        for top in range(0, part.shape[0], side_px):
            for left in range(0, part.shape[1], side_px):
                tile = part[top : top + side_px, left : left + side_px]
                self._put_tile(tile, (row + top) // side_px, (column + left) // side_px)

    def _put_tile(self, tile: np.ndarray, down: int, across: int) -> None:
        if self._error is not None:
            raise self._error
        index = down * self._grid[1] + across
        if self._placed[index]:
            raise ValueError(f"tile {(down, across)} of {self._shape} came before")
        self._placed[index] = True
        self._order.append(index)
        self._encoded.put(self._encoders.submit(self._encode, tile))

    def _encode(self, tile: np.ndarray) -> bytes:
        missing = [(0, self._tile_px - length) for length in tile.shape[:2]]
        if any(after for _, after in missing):
            tile = np.pad(tile, missing + [(0, 0)] * (tile.ndim - 2))
        # A zlib stream like any other, from libdeflate: a third of the time of zlib at its
        # fastest, and smaller.
        return imagecodecs.deflate_encode(
            np.ascontiguousarray(tile, self._dtype), level=DEFLATE_LEVEL
        )

    def _write(self, path: Path, settings: dict[str, Any]) -> None:
        try:
            with written_atomically(path) as temporary:
                with tifffile.TiffWriter(temporary, bigtiff=True, ome=True) as file:
                    file.write(self._stream(), **settings)
                    # tifffile takes as many tiles as the shape holds, and not the word that the
                    # block failed after its last tile.
                    next(self._stream(), None)
                self._put_in_place(temporary)
        except BaseException as error:
            self._error = error
            self._drain()

    def _put_in_place(self, path: Path) -> None:
        """Where each tile lies, and how long it is, in the order of the grid."""
        if len(self._order) < 2:
            return
        arrival = np.argsort(self._order)
        with tifffile.TiffFile(path, mode="r+b") as file:
            tags = file.pages[0].tags
            for name in ("TileOffsets", "TileByteCounts"):
                tags[name].overwrite(np.array(tags[name].value)[arrival].tolist())

    def _stream(self) -> Iterator[bytes]:
        while not self._ended:
            encoded = self._next()
            if isinstance(encoded, _Broken):
                raise encoded
            if encoded is not None:
                yield encoded.result()

    def _next(self) -> Any:
        """A tile to come, or the last word: `None`, or `_Broken`."""
        encoded = self._encoded.get()
        self._ended = isinstance(encoded, _Broken | None)
        return encoded

    def _drain(self) -> None:
        """Take what still comes, so that whoever puts is not left waiting."""
        while not self._ended:
            self._next()


class _Broken(Exception):
    """The block that fed the sink failed: give up the file."""


def _ome(name: str, shape: Sequence[int], pixel_size_nm: float) -> dict[str, Any]:
    # The UUID that tifffile would draw differs from run to run; one made of the name does not.
    axes = {"axes": "YXS" if len(shape) == 3 else "YX", "UUID": str(uuid5(NAMESPACE_URL, name))}
    if not np.isfinite(pixel_size_nm):
        return axes
    size = {f"PhysicalSize{axis}": float(pixel_size_nm) for axis in "XY"}
    return axes | size | {f"PhysicalSize{axis}Unit": "nm" for axis in "XY"}


def _tiff_colourmap(colours: np.ndarray) -> np.ndarray:
    """(3, 256) uint16 TIFF colour map of a few 8-bit colours."""
    table = np.zeros((256, 3), np.uint16)
    table[: len(colours)] = colours.astype(np.uint16) * 257
    return table.T
