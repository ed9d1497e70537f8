"""Files of the workflow: written whole or not at all, read page by page, streamed tile by tile.

A shard's micrographs are the pages of one TIFF, in the order of the sheet's ids; pages may differ
in size and dtype. What is normalised lies uncompressed, so that a page can be mapped into memory
and any region of it read alone. Predictions are written from a stream of tiles, as OME-TIFF with
calibration.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
import pandas as pd
import tifffile

TILE_PX = 256
TEXT_COLUMNS = {"use", "method", "level", "group", "fold", "micrograph", "class"}
TEXT_COLUMNS |= {"dtype", "instrument", "file", "file_sha256", "pixels_sha256", "fingerprint"}
NM_PER_CM = 1e7


@contextmanager
def written_atomically(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved into place if the block ends well, else removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as tab-separated text, without its index."""
    with written_atomically(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.12g")


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table of the workflow, or some columns of it.

    Names and digests are text, even where they look like numbers or missing values; every other
    column is a number, NaN where its cell is empty.
    """
    cells = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, usecols=columns)
    numbers = [column for column in cells if column not in TEXT_COLUMNS]
    return cells.assign(**{column: pd.to_numeric(cells[column]) for column in numbers})


def resolution(pixel_size_nm: float | None) -> dict[str, Any]:
    """TIFF resolution tags of a pixel size, as keywords of tifffile; none where it is unknown."""
    if pixel_size_nm is None or not np.isfinite(pixel_size_nm):
        return {}
    per_cm = NM_PER_CM / pixel_size_nm
    return {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}


def write_pages(
    path: str | Path,
    pages: Iterable[tuple[np.ndarray, float]],
    compressed: bool,
) -> None:
    """Write (rows, columns) arrays, each with its pixel size in nm, as the pages of one TIFF.

    Compressed pages are tiled and deflated; the others lie contiguous, for `map_page`.
    """
    layout = {"tile": (TILE_PX, TILE_PX), "compression": "zlib"} if compressed else {}
    with (
        written_atomically(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=True) as file,
    ):
        for page, pixel_size_nm in pages:
            file.write(
                page,
                photometric="minisblack",
                metadata=None,
                software="tessera",
                contiguous=False,
                **resolution(pixel_size_nm),
                **layout,
            )


def read_page(path: str | Path, page: int) -> np.ndarray:
    """The (rows, columns) array of one page."""
    with tifffile.TiffFile(path) as file:
        return file.pages[page].asarray()


def read_pages(path: str | Path) -> Iterator[np.ndarray]:
    """The (rows, columns) arrays of all pages, one at a time."""
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            yield page.asarray()


def map_page(path: str | Path, page: int) -> np.memmap:
    """One page of an uncompressed TIFF, mapped into memory, read only."""
    return tifffile.memmap(path, page=page, mode="r")


class TileSink:
    """A tiled, compressed, calibrated OME-TIFF, written as its tiles come.

    Tiles arrive in row-major order through `put`, all of one shape but the last of a row or column,
    and are encoded in a thread of their own, so that memory holds a few tiles whatever the size of
    the micrograph.

    Parameters
    ----------
    path : path
    shape : (rows, columns) or (rows, columns, classes)
    dtype : numpy dtype
    tile_px : int
        Side of a tile, a multiple of 16.
    pixel_size_nm : float
        NaN where it is unknown.
    colourmap : (classes, 3) uint8 array, optional
        Colours of the class codes of a mask.
    """

    def __init__(self, path, shape, dtype, tile_px, pixel_size_nm, colourmap=None) -> None:
        self._tiles: queue.Queue = queue.Queue(maxsize=4)
        self._ended = False
        self._error: BaseException | None = None
        settings = {
            "shape": tuple(shape),
            "dtype": dtype,
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
        self._tiles.put(None if kind is None else _Broken())
        self._writer.join()
        if kind is None and self._error is not None:
            raise self._error

    def put(self, tile: np.ndarray) -> None:
        """Hand over the next tile; wait if the writer is behind."""
        if self._error is not None:
            raise self._error
        self._tiles.put(tile)

    def _write(self, path: Path, settings: dict[str, Any]) -> None:
        try:
            with (
                written_atomically(path) as temporary,
                tifffile.TiffWriter(temporary, bigtiff=True, ome=True) as file,
            ):
                file.write(self._stream(), **settings)
                # tifffile takes as many tiles as the shape holds, no more: neither further ones nor
                # the word that the block failed after its last tile.
                if next(self._stream(), None) is not None:
                    raise ValueError(f"more tiles than shape {settings['shape']} holds")
        except BaseException as error:
            self._error = error
            self._drain()

    def _stream(self) -> Iterator[np.ndarray]:
        while not self._ended:
            tile = self._next()
            if isinstance(tile, _Broken):
                raise tile
            if tile is not None:
                yield tile

    def _next(self) -> Any:
        """A tile, or the last word: `None`, or `_Broken`."""
        tile = self._tiles.get()
        self._ended = isinstance(tile, _Broken | None)
        return tile

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
