"""Files of the workflow: written whole or not at all, read page by page.

A shard's micrographs are the pages of one TIFF, in the order of the sheet's ids; pages may differ
in size and dtype. What is normalised lies uncompressed, so that a page can be mapped into memory
and any region of it read alone; so do the masks that training reads. Files larger than memory: see
`streams`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from tessera.channels import split_column
from tessera.strips import LazyPage, Page, strips
from tessera.tiff_pages import page_of

TILE_PX = 256
TEXT_COLUMNS = {"use", "cohort", "method", "level", "group", "fold", "micrograph", "class"}
TEXT_COLUMNS |= {f"{which}{of}" for which in ("first", "second") for of in ("", "_group", "_file")}
TEXT_COLUMNS |= {"kind", "turn", "picture"}
TEXT_COLUMNS |= {"dtype", "instrument", "file", "file_sha256", "pixels_sha256", "fingerprint"}
TEXT_COLUMNS |= {"started_from", "recorded", "detector", "column", "reason"}
TEXT_COLUMNS |= {"surface", "surface_by", "surface_values"}
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


def write_text(path: str | Path, text: str) -> None:
    """Write text in UTF-8."""
    with written_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as tab-separated text, without its index."""
    with written_atomically(path) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.12g")


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table of the workflow, or some columns of it.

    Names and digests are text, even where they look like numbers or missing values, and of other
    channels too (`file.O`); every other column is a number, NaN where its cell is empty.
    """
    cells = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, usecols=columns)
    numbers = [column for column in cells if split_column(column)[0] not in TEXT_COLUMNS]
    return cells.assign(**{column: pd.to_numeric(cells[column]) for column in numbers})


def resolution(pixel_size_nm: float | None) -> dict[str, Any]:
    """TIFF resolution tags of a pixel size, as keywords of tifffile; none where it is unknown."""
    if pixel_size_nm is None or not np.isfinite(pixel_size_nm):
        return {}
    per_cm = NM_PER_CM / pixel_size_nm
    return {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}


def write_pages(
    path: str | Path,
    pages: Iterable[tuple[Page, float]],
    compressed: bool,
) -> None:
    """Write (rows, columns) pages, each with its pixel size in nm, as the pages of one TIFF.

    Compressed pages are tiled and deflated; the others lie contiguous, for `map_page`. Lazy pages
    give the same bytes as arrays, and are made as they are written.
    """
    layout = {"tile": (TILE_PX, TILE_PX), "compression": "zlib"} if compressed else {}
    with (
        written_atomically(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=True) as file,
    ):
        for page, pixel_size_nm in pages:
            parts = page
            if isinstance(page, LazyPage):
                parts = _tiles(page) if compressed else strips(page)
            file.write(
                parts,
                shape=page.shape,
                dtype=page.dtype,
                photometric="minisblack",
                metadata=None,
                software="tessera",
                contiguous=False,
                **resolution(pixel_size_nm),
                **layout,
            )


def _tiles(page: Page) -> Iterator[np.ndarray]:
    """The tiles of a page, row by row; those at the edges are smaller."""
    for top in range(0, page.shape[0], TILE_PX):
        rows = page[top : top + TILE_PX]
        for left in range(0, page.shape[1], TILE_PX):
            yield rows[:, left : left + TILE_PX]


def open_page(path: str | Path, page: int) -> Page:
    """One page, a large one lazily: its rows are read as they are asked for."""
    with tifffile.TiffFile(path) as file:
        return page_of(file.pages[page], path)


def open_pages(path: str | Path) -> Iterator[Page]:
    """All pages, the large ones lazily."""
    with tifffile.TiffFile(path) as file:
        for page in file.pages:
            yield page_of(page, path)


def map_page(path: str | Path, page: int) -> np.memmap:
    """One page of an uncompressed TIFF, mapped into memory, read only."""
    return tifffile.memmap(path, page=page, mode="r")


def map_pages(path: str | Path, pages: Iterable[int]) -> list[np.ndarray]:
    """Pages of an uncompressed TIFF, mapped into memory, read only.

    All are views of one map: each map keeps a file open, and a process may open a thousand or so.
    """
    whole = np.memmap(path, np.uint8, mode="r")
    with tifffile.TiffFile(path) as file:
        return [_view(whole, file.pages[int(page)], file.byteorder) for page in pages]


def _view(whole: np.ndarray, page: tifffile.TiffPage, byte_order: str) -> np.ndarray:
    if not page.is_memmappable:
        raise ValueError(f"page {page.index} is compressed or cut into pieces: it cannot be mapped")
    dtype, first = page.dtype.newbyteorder(byte_order), page.dataoffsets[0]
    return whole[first : first + page.nbytes].view(dtype).reshape(page.shape)
