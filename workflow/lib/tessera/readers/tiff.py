"""TIFF, BigTIFF and OME-TIFF, a page at a time, by tifffile.

Pages are told by their place in the file: series are told by metadata, which is often wrong. A page
is read only if each of its strips or tiles lies in the file; tifffile would fill what is missing
with zeros. What the tags of microscopes mean is in `tiff_tags`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tifffile

from tessera.frames import NO_FRAME, WHOLE
from tessera.readers.arrays import frame_of
from tessera.readers.claims import bytes_of, check_claim, check_whole
from tessera.readers.recordings import Palette, Recording, UnreadableFile, plain
from tessera.readers.tiff_tags import known
from tessera.strips import LazyPage, Page, mapped
from tessera.tiff_pages import at_once, page_of

UNCOMPRESSED = 1
LAYOUT = {"StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts", "JPEGTables"}
LAYOUT |= {"ColorMap", "IJMetadataByteCounts", "SubIFDs"}
"""Tags that say where the pixels are, and nothing of the micrograph."""


def read(path: str, key: str, frame: int) -> Recording:
    """Read the only page of a TIFF, or the one that is the frame."""
    with tifffile.TiffFile(path, is_ome=False) as file:
        n_pages = len(file.pages)
        if n_pages == 0:
            raise UnreadableFile("holds no page")
        if frame == WHOLE and n_pages > 1:
            return _beside(path, file)
        if frame == NO_FRAME and n_pages > 1:
            raise UnreadableFile(f"holds {n_pages} pages; say which ones (frames)")
        first = file.pages.first
        if n_pages == 1 and first.imagedepth > 1:
            page, pixels = first, frame_of(_pixels(first, file), frame)
        elif frame < n_pages:
            page = file.pages[max(frame, 0)].aspage()
            pixels = _pixels(page, file)
        else:
            raise UnreadableFile(f"there is no frame {frame}: pages in all: {n_pages}")
        palette = _palette(page, pixels)
        pixels = pixels if palette is None else _coloured(page, pixels)
        return Recording(
            pixels,
            axes="YX" if pixels.ndim == 2 else "YXS",
            metadata=plain(_said(page)),
            palette=palette,
            black=_black(page),
            **{name: value for name, value in known(file, page).items() if name != "channels"},
        )


def _beside(path: str, file: tifffile.TiffFile) -> Recording:
    """All pages as one, each to be read by itself."""
    first, n_pages = file.pages.first, len(file.pages)

    def pages(start: int, end: int) -> np.ndarray:
        return np.stack([np.asarray(read(path, "", page).pixels) for page in range(start, end)])

    names = known(file, first).get("channels", ())
    names = names if len(names) == n_pages else ()
    shape = (n_pages, *first.shape)
    return Recording(LazyPage(shape, first.dtype, pages), axes="QYX", channels=names)


def _palette(page: tifffile.TiffPage, pixels: Page) -> Palette | None:
    if page.colormap is None or page.photometric != tifffile.PHOTOMETRIC.PALETTE:
        return None
    # Of 16 bits, the upper eight: some writers repeat them below, some leave those zero.
    return Palette(pixels, (page.colormap >> 8).T.astype(np.uint8))


def _coloured(page: tifffile.TiffPage, numbers: Page) -> Page:
    """The colours of a picture with a palette, of as many bits as its numbers."""
    colours = page.colormap.T if numbers.dtype.itemsize > 1 else (page.colormap >> 8).T
    colours = colours.astype(np.uint16 if numbers.dtype.itemsize > 1 else np.uint8)
    shape = (*numbers.shape, colours.shape[1])
    return mapped(numbers, lambda strip: colours[strip], shape, colours.dtype)


def _black(page: tifffile.TiffPage) -> int | None:
    """What black is where 0 is white: the largest number, or of signed ones and floats none is."""
    if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE or page.dtype is None:
        return None
    largest = {"u": 2**page.bitspersample - 1, "i": -1}
    return largest.get(page.dtype.kind, 0)


def _said(page: tifffile.TiffPage) -> dict[str, Any]:
    """The tags of a page by name, but for those of its layout."""
    return {tag.name: tag.value for tag in page.tags if tag.name not in LAYOUT}


def _pixels(page: tifffile.TiffPage, file: tifffile.TiffFile) -> Page:
    _check_segments(page, file.filehandle.size)
    pixels = page_of(page, file.filehandle.path)
    # Samples that lie apart, a plane each.
    return np.moveaxis(pixels, 0, 2) if page.axes == "SYX" else pixels


def _check_segments(page: tifffile.TiffPage, size: int) -> None:
    """Refuse a page of which a strip or tile is missing, or lies outside the file."""
    if page.dtype is None or page.ndim > 4:
        raise UnreadableFile(f"pixels of {page.bitspersample} bits a sample are not read")
    offsets, lengths = page.dataoffsets, page.databytecounts
    claimed = bytes_of(page.shaped, page.dtype.itemsize)
    packed = page.dtype.itemsize * 8 != page.bitspersample
    compressed = page.compression != UNCOMPRESSED or packed or page.is_subsampled
    check_claim(claimed, min(sum(lengths), size), compressed)
    if not compressed:
        _check_strips(page, claimed)
    check_whole(*at_once(page))
    # tifffile makes one of the strips of a contiguous page.
    needed = 1 if page.is_contiguous else math.prod(page.chunked)
    if len(offsets) != len(lengths) or len(offsets) < needed:
        raise UnreadableFile(f"has {len(offsets)} of its {needed} strips or tiles")
    for number, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        if number < needed and not (offset > 0 and length > 0 and offset + length <= size):
            raise UnreadableFile(f"strip or tile {number + 1} of {needed} is not in the file")


def _check_strips(page: tifffile.TiffPage, claimed: int) -> None:
    """Refuse a page whose strips are longer than its sides: a side is not what it was."""
    stated = page.tags.get("StripByteCounts")  # tifffile's own numbers are made to fit
    if stated is None:
        return
    held, rows = int(np.sum(stated.value)), page.imagelength
    # Some makers fill up the last strip, as Olympus does.
    filled = (
        -(-rows // page.rowsperstrip) * page.rowsperstrip if page.rowsperstrip <= rows else rows
    )
    if held not in (claimed, claimed // rows * filled):
        raise UnreadableFile(f"its header says {claimed:,} bytes of pixels, its strips {held:,}")
