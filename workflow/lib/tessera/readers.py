"""Micrographs and annotations as the user's files hold them.

The format is told by a file's first bytes, never by its name. A reader gives the pixels as they are
in the file, grey where grey was stored as colour, with the pixel size and the instrument where the
file states them.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import h5py
import imagecodecs
import imageio.v3 as imageio
import mrcfile
import numpy as np
import tifffile
from PIL import Image

from tessera.frames import NO_FRAME

NM_PER = {"nm": 1.0, "um": 1e3, "µm": 1e3, "μm": 1e3, "micron": 1e3, "mm": 1e6, "cm": 1e7, "m": 1e9}
NM_PER |= {"pm": 1e-3, "Å": 0.1, "angstrom": 0.1}
CENTIMETRE = 3
PNG_BIT_DEPTH = 24
"""Where the header of a PNG states the bits a channel."""


class UnreadableFile(ValueError):
    """The file is not what the sheet says it is."""


class Palette(NamedTuple):
    """A picture with a palette: (rows, columns) numbers, and the (n, 3) 8-bit colour of each."""

    numbers: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Recording:
    """What a file holds.

    Parameters
    ----------
    pixels : (rows, columns) or (rows, columns, channels) array, or a stack of them along axis 0
    pixel_size_nm : float
        NaN where the file states none.
    instrument : str
        Empty where the file states none.
    palette : Palette, optional
        Where the file has one: a TIFF's pixels are its numbers, other pictures' its colours.
    """

    pixels: np.ndarray
    pixel_size_nm: float = float("nan")
    instrument: str = ""
    palette: Palette | None = None


def read_micrograph(path: str, key: str = "", frame: int = NO_FRAME) -> Recording:
    """Read one grey micrograph.

    Parameters
    ----------
    path : str
    key : str
        Name of the array inside an .npz or HDF5 container.
    frame : int
        Which frame of a stack; `NO_FRAME` where the file is no stack.

    Returns
    -------
    Recording
        With pixels of shape (rows, columns), in the file's dtype.

    Raises
    ------
    UnreadableFile
        If the file is damaged, of an unknown format, or not one grey micrograph.
    """
    recording = _read(path, key, frame)
    pixels = recording.pixels
    if pixels.dtype.kind not in "uif":
        raise UnreadableFile(f"pixels of type {pixels.dtype} are no grey levels")
    if pixels.size == 0:
        raise UnreadableFile(f"shape {pixels.shape} holds no pixels")
    return Recording(_grey(pixels), recording.pixel_size_nm, recording.instrument)


def read_annotation(
    path: str, key: str = "", frame: int = NO_FRAME, by_colour: bool = True
) -> np.ndarray:
    """Read one mask as it was drawn: (rows, columns), or with grey + alpha, RGB or RGBA channels.

    Of a picture with a palette the colours, or else their numbers.

    Raises
    ------
    UnreadableFile
        If the file is damaged or of an unknown format.
    """
    recording = _read(path, key, frame)
    pixels = recording.pixels
    if recording.palette is not None:
        numbers, colours = recording.palette
        pixels = colours[numbers] if by_colour else numbers
    if pixels.dtype == bool:
        return pixels.astype(np.uint8)
    if pixels.dtype.kind == "f":
        # ImageJ has no integers of 32 bits.
        broken = int((~np.isfinite(pixels) | (pixels != np.trunc(pixels))).sum())
        if broken:
            raise UnreadableFile(f"a {pixels.dtype} mask: {broken} px are no whole numbers")
        return pixels.astype(np.int64)
    if pixels.dtype.kind not in "ui":
        raise UnreadableFile(f"a mask of type {pixels.dtype} holds no class values")
    return pixels


def read_labels(path: str, key: str) -> list[str]:
    """Read one label a frame from a container, as text.

    Raises
    ------
    UnreadableFile
        If the file is damaged or of an unknown format, or does not hold one label a frame.
    """
    labels = _read(path, key, NO_FRAME).pixels
    if labels.ndim != 1:
        raise UnreadableFile(f"labels of shape {labels.shape} are not one a frame")
    return [label.decode() if isinstance(label, bytes) else str(label) for label in labels.tolist()]


def _read(path: str, key: str, frame: int) -> Recording:
    with Path(path).open("rb") as file:
        head = file.read(256)
    reader = next((read for test, read in READERS if test(head)), None)
    if reader is None:
        raise UnreadableFile(f"no known format begins with the bytes {head[:8]!r}")
    try:
        return reader(path, key, frame)
    except UnreadableFile:
        raise
    except Exception as error:
        raise UnreadableFile(f"cannot be read: {error}") from error


def _grey(pixels: np.ndarray) -> np.ndarray:
    """Pixels without alpha, and without the copies of grey stored as red, green and blue."""
    if pixels.ndim == 2:
        return pixels
    if pixels.ndim != 3 or pixels.shape[2] > 4:
        raise UnreadableFile(
            f"shape {pixels.shape} is not one grey micrograph; is it a stack? (frames)"
        )
    colours = pixels[..., : 3 if pixels.shape[2] >= 3 else 1]
    differ = int((colours != colours[..., :1]).any(axis=2).sum())
    if differ:
        raise UnreadableFile(f"a colour image: red, green and blue differ in {differ} pixels")
    return colours[..., 0]


def _frame_of(stack: np.ndarray | h5py.Dataset, frame: int) -> np.ndarray:
    if frame == NO_FRAME:
        return np.asarray(stack)
    if stack.ndim < 3 or frame >= stack.shape[0]:
        raise UnreadableFile(f"there is no frame {frame} in an array of shape {stack.shape}")
    return np.asarray(stack[frame])


def _tiff(path: str, key: str, frame: int) -> Recording:
    with tifffile.TiffFile(path) as file:
        first, n_pages = file.pages[0], len(file.pages)
        if frame == NO_FRAME and n_pages > 1:
            raise UnreadableFile(f"holds {n_pages} pages; say which ones (frames)")
        if n_pages == 1 and first.imagedepth > 1:
            pixels = _frame_of(first.asarray(), frame)
        elif frame < n_pages:
            # The page, not the series: series are told by metadata, which is often wrong.
            pixels = file.pages[max(frame, 0)].asarray()
        else:
            raise UnreadableFile(f"there is no frame {frame}: pages in all: {n_pages}")
        size_nm = _tiff_pixel_size_nm(file)
        return Recording(
            pixels,
            size_nm if size_nm > 0 else np.nan,
            _tiff_instrument(first),
            _tiff_palette(file.pages[max(frame, 0) if n_pages > 1 else 0], pixels),
        )


def _tiff_palette(page: tifffile.TiffPage, pixels: np.ndarray) -> Palette | None:
    if page.colormap is None or page.photometric != tifffile.PHOTOMETRIC.PALETTE:
        return None
    # Of 16 bits, the upper eight: some writers repeat them below, some leave those zero.
    return Palette(pixels, (page.colormap >> 8).T.astype(np.uint8))


def _tiff_pixel_size_nm(file: tifffile.TiffFile) -> float:
    """Calibration from OME, FEI, ImageJ, or the resolution tags where they count per centimetre.

    ASSUME a resolution per inch is for printing: 72, 96 or 300 dpi say nothing of the specimen.
    """
    if file.ome_metadata:
        pixels = ElementTree.fromstring(file.ome_metadata).find(".//{*}Pixels")
        size = None if pixels is None else pixels.get("PhysicalSizeX")
        unit = pixels.get("PhysicalSizeXUnit", "µm") if size else ""
        return float(size) * NM_PER[unit] if unit in NM_PER else np.nan
    if file.fei_metadata and (width := file.fei_metadata.get("Scan", {}).get("PixelWidth")):
        return float(width) * NM_PER["m"]
    tags = file.pages[0].tags
    if "XResolution" not in tags:
        return np.nan
    pixels, units = tags["XResolution"].value
    if pixels == 0:
        return np.nan
    unit = str((file.imagej_metadata or {}).get("unit", ""))
    unit = unit.replace(r"\u00B5", "µ").replace(r"\u00C5", "Å")  # as ImageJ writes them
    if unit in NM_PER:
        return units / pixels * NM_PER[unit]
    per_centimetre = "ResolutionUnit" in tags and tags["ResolutionUnit"].value == CENTIMETRE
    return units / pixels * NM_PER["cm"] if per_centimetre else np.nan


def _tiff_instrument(page: tifffile.TiffPage) -> str:
    named = (page.tags[name].value for name in ("Make", "Model") if name in page.tags)
    return " ".join(str(name).strip() for name in named)


def _image(path: str, key: str, frame: int) -> Recording:
    pixels = imageio.imread(path, plugin="pillow", index=0 if frame == NO_FRAME else frame)
    with Image.open(path) as picture:
        if picture.mode != "P" or frame > 0:
            return Recording(pixels)
        numbers = np.asarray(picture)
        # Files may leave out the end of a palette.
        colours = np.zeros((256, 3), np.uint8)
        stated = np.array(picture.getpalette("RGB"), np.uint8).reshape(-1, 3)
        colours[: len(stated)] = stated
    return Recording(pixels, palette=Palette(numbers, colours))


def _png(path: str, key: str, frame: int) -> Recording:
    data = Path(path).read_bytes()
    # Pillow cuts 16-bit colours to 8 bits.
    if data[PNG_BIT_DEPTH] == 16 and frame < 1:
        return Recording(imagecodecs.png_decode(data))
    return _image(path, key, frame)


def _npy(path: str, key: str, frame: int) -> Recording:
    return Recording(_frame_of(np.load(path, mmap_mode="r", allow_pickle=False), frame))


def _npz(path: str, key: str, frame: int) -> Recording:
    with np.load(path, allow_pickle=False) as container:
        if key not in container:
            raise UnreadableFile(
                f"holds {', '.join(container.files)}, not {key or 'a named array'}"
            )
        return Recording(_frame_of(container[key], frame))


def _hdf5(path: str, key: str, frame: int) -> Recording:
    with h5py.File(path, "r") as container:
        if not key or key not in container or not isinstance(container[key], h5py.Dataset):
            raise UnreadableFile(
                f"holds {', '.join(container)}, not the dataset {key or '(none named)'}"
            )
        return Recording(_frame_of(container[key], frame))


def _mrc(path: str, key: str, frame: int) -> Recording:
    with mrcfile.mmap(path, mode="r") as file:
        size_nm = float(file.voxel_size.x) * NM_PER["angstrom"]
        return Recording(_frame_of(file.data, frame), size_nm if size_nm > 0 else np.nan)


def _starts(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


READERS: list[tuple[Callable[[bytes], bool], Callable[[str, str, int], Recording]]] = [
    (_starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    (_starts(b"\x89PNG"), _png),
    (_starts(b"\xff\xd8\xff", b"BM"), _image),
    (_starts(b"\x93NUMPY"), _npy),
    (_starts(b"PK\x03\x04"), _npz),
    (_starts(b"\x89HDF"), _hdf5),
    (lambda head: bool(re.match(rb"MAP[ \0]", head[208:212])), _mrc),
]
"""How to tell each format from the first bytes of a file, and how to read it."""
