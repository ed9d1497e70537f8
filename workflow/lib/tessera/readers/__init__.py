"""Micrographs and annotations as the user's files hold them.

The format is told by a file's first bytes, or by what lies in a folder, never by its name. A reader
gives the pixels as they are in the file, grey where grey was stored as colour, with what the file
states of how they were recorded; what cannot be read whole is refused with the reason. Each family
of formats has a module, imported when it is needed: `FORMATS` says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tessera.folders import is_store
from tessera.frames import NO_FRAME
from tessera.readers.colours import brighter_up, grey
from tessera.readers.recordings import Recording, UnreadableFile, one_line
from tessera.strips import LazyPage, Page, mapped, strips

__all__ = ["Recording", "UnreadableFile", "read_annotation", "read_channels", "read_labels"]
__all__ += ["read_micrograph"]

HEAD_BYTES = 4096
WIDEST = 8
"""Bytes of the widest number that is read; what is wider is no number of a microscope."""

Reader = Callable[[str, str, int], Recording]


@dataclass(frozen=True)
class Format:
    """How to tell a family of formats, and how to read it.

    Parameters
    ----------
    name : str
    tells : callable
        Whether the first bytes of a file are of this family.
    load : callable
        Gives the reader: imports what it needs only then.
    apart : bool
        Whether a damaged file may hang its library, so that it is read in a process of its own.
    """

    name: str
    tells: Callable[[bytes], bool]
    load: Callable[[], Reader]
    apart: bool = False


def read_micrograph(path: str, key: str = "", frame: int = NO_FRAME) -> Recording:
    """Read one grey micrograph.

    Parameters
    ----------
    path : str
        Of a file, or of a folder that is a Zarr store.
    key : str
        Name of the array inside a container, or of one of several images.
    frame : int
        Which frame of a stack; `NO_FRAME` where the file is no stack.

    Returns
    -------
    Recording
        With pixels of shape (rows, columns), in the file's dtype, the larger the brighter; of a
        large file they are read as they are asked for, and raise `UnreadableFile` then.

    Raises
    ------
    UnreadableFile
        If the file is damaged, of an unknown format, or not one grey micrograph.
    """
    return _grey_levels(_read(path, key, frame))


def read_channels(
    path: str, channels: Sequence[str], key: str = "", frame: int = NO_FRAME
) -> list[Recording]:
    """Read the channels of one micrograph in one file, each as `read_micrograph` gives one.

    Raises
    ------
    UnreadableFile
        If the file is damaged, of an unknown format, or does not hold these channels.
    """
    from tessera.readers.planes import channels_of

    found = channels_of(partial(_read, path), key, frame, channels)
    return [_grey_levels(recording) for recording in found]


def _grey_levels(recording: Recording) -> Recording:
    """A recording of grey levels, (rows, columns); `UnreadableFile` if it holds anything else."""
    pixels = recording.pixels
    if pixels.dtype.kind not in "uif":
        raise UnreadableFile(f"pixels of type {pixels.dtype} are no grey levels")
    if pixels.dtype.itemsize > WIDEST:
        raise UnreadableFile(f"pixels of type {pixels.dtype} are of more than 64 bits")
    if pixels.size == 0:
        raise UnreadableFile(f"shape {pixels.shape} holds no pixels")
    if recording.axes.startswith("Q"):
        raise UnreadableFile(f"shape {pixels.shape} is a stack, not one grey micrograph (frames)")
    named = {name: one_line(getattr(recording, name)) for name in ("instrument", "detector")}
    levels = brighter_up(grey(pixels), recording.black)
    return replace(recording, pixels=levels, axes="YX", **named)


def read_annotation(
    path: str, key: str = "", frame: int = NO_FRAME, by_colour: bool = True
) -> Page:
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
        pixels, colours = recording.palette
        if by_colour:
            shape = (*pixels.shape, colours.shape[1])
            pixels = mapped(pixels, lambda numbers: colours[numbers], shape, colours.dtype)
    if pixels.dtype == bool:
        return mapped(pixels, lambda strip: strip.astype(np.uint8), pixels.shape, np.uint8)
    if pixels.dtype.kind == "f":
        # ImageJ has no integers of 32 bits.
        broken = sum(
            int((~np.isfinite(strip) | (strip != np.trunc(strip))).sum())
            for strip in strips(pixels)
        )
        if broken:
            raise UnreadableFile(f"a {pixels.dtype} mask: {broken} px are no whole numbers")
        return mapped(pixels, lambda strip: strip.astype(np.int64), pixels.shape, np.int64)
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


def format_of(path: str | Path) -> Format:
    """The family of formats that a file or a folder is of.

    Raises
    ------
    UnreadableFile
        If no family knows it.
    """
    path = Path(path)
    if path.is_dir():
        if not is_store(path):
            raise UnreadableFile("a folder that is no Zarr store")
        return STORE
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    found = next((known for known in FORMATS if known.tells(head)), None)
    if found is None:
        raise UnreadableFile(f"no known format begins with the bytes {head[:8]!r}")
    return found


def _read(path: str, key: str, frame: int) -> Recording:
    if format_of(path).apart:
        from tessera.readers import apart

        return apart.reader().read(path, key, frame)
    return read_here(path, key, frame)


def read_here(path: str, key: str, frame: int) -> Recording:
    """Read a file in this process, whatever it is.

    Raises
    ------
    UnreadableFile
        If it cannot be read.
    """
    known = format_of(path)
    with _refusing(known):
        recording = known.load()(path, key, frame)
    palette = recording.palette
    if palette is not None:
        palette = palette._replace(numbers=_guarded(palette.numbers, known))
    return replace(recording, pixels=_guarded(recording.pixels, known), palette=palette)


def _guarded(pixels: Page, known: Format) -> Page:
    """Pixels that are refused clearly where they cannot be read, also further down."""
    if not isinstance(pixels, LazyPage):
        return pixels

    def rows_of(top: int, end: int) -> np.ndarray:
        with _refusing(known):
            return pixels[top:end]

    return LazyPage(pixels.shape, pixels.dtype, rows_of, pixels.block_rows)


@contextmanager
def _refusing(known: Format) -> Iterator[None]:
    """Whatever goes wrong in reading means that the file cannot be read."""
    try:
        yield
    except UnreadableFile:
        raise
    except ModuleNotFoundError as error:
        raise UnreadableFile(_how_to_install(known, error)) from error
    except Exception as error:
        what = str(error) or type(error).__name__
        raise UnreadableFile(f"cannot be read: {what}") from error


def _how_to_install(known: Format, error: ModuleNotFoundError) -> str:
    # RosettaSciIO names what it lacks in its message alone.
    name = error.name or next(iter(re.findall(r"'([\w.]+)'", str(error))), "")
    package = PACKAGES.get(name.partition(".")[0], name.partition(".")[0])
    return f"{known.name} needs the package {package}: python -m pip install {package}"


PACKAGES = {"rsciio": "rosettasciio", "skimage": "scikit-image", "PIL": "pillow"}
"""Packages that are called otherwise than their module."""


def _tiff() -> Reader:
    from tessera.readers import tiff

    return tiff.read


def _png() -> Reader:
    from tessera.readers import images

    return images.read_png


def _image() -> Reader:
    from tessera.readers import images

    return images.read


def _npy() -> Reader:
    from tessera.readers import arrays

    return arrays.read_npy


def _zip() -> Reader:
    from tessera.readers import archives

    return archives.read


def _hdf5() -> Reader:
    from tessera.readers import hdf5

    return hdf5.read


def _zarr() -> Reader:
    from tessera.readers import zarr_stores

    return zarr_stores.read


def _mrc() -> Reader:
    from tessera.readers import mrc

    return mrc.read


def _rosetta(plugin: str) -> Callable[[], Reader]:
    def load() -> Reader:
        from tessera.readers import rosetta

        return rosetta.reader(plugin)

    return load


def _starts(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics)


FORMATS = [
    Format("TIFF", _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff),
    Format("PNG", _starts(b"\x89PNG"), _png),
    Format("JPEG", _starts(b"\xff\xd8\xff"), _image),
    Format("BMP", _starts(b"BM"), _image),
    Format("NPY", _starts(b"\x93NUMPY"), _npy),
    Format("NPZ or zipped Zarr", _starts(b"PK\x03\x04"), _zip),
    Format("HDF5 or EMD", _starts(b"\x89HDF"), _hdf5, apart=True),
    Format("DM3 or DM4", _starts(b"\0\0\0\x03", b"\0\0\0\x04"), _rosetta("digitalmicrograph")),
    Format("SER", _starts(b"II\x97\x01"), _rosetta("tia")),
    Format("Bruker BCF", _starts(b"AAMVHFSS"), _rosetta("bruker")),
    Format("MRC", lambda head: bool(re.match(rb"MAP[ \0]", head[208:212])), _mrc),
    Format("TVIPS", lambda head: head[:8] == b"\0\x01\0\0\x02\0\0\0", _rosetta("tvips")),
]
"""Families of files, by their first bytes; the first that fits reads it."""

STORE = Format("Zarr", lambda head: False, _zarr)
"""What a folder is, if it is anything."""
