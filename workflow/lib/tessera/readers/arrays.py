"""NPY files and what else is one array: a frame of a stack, mapped where the file allows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from tessera.frames import NO_FRAME
from tessera.readers.claims import bytes_of
from tessera.readers.recordings import Recording, UnreadableFile

LONGEST_HEADER = 65_536
MOST_CHANNELS = 4


class Stack(Protocol):
    """What has a shape, and gives a frame when it is indexed: an array, or one on disk."""

    shape: tuple[int, ...]
    ndim: int

    def __getitem__(self, index: Any) -> Any: ...


def frame_of(stack: Stack, frame: int) -> np.ndarray:
    """One frame of a stack, or the whole of what is none.

    Raises
    ------
    UnreadableFile
        If there is no such frame.
    """
    return np.asarray(stack[asked(stack.shape, frame)])


def asked(shape: tuple[int, ...], frame: int) -> Any:
    """The index of a frame in an array of a shape: of everything where no frame is asked for.

    Raises
    ------
    UnreadableFile
        If there is no such frame, or if everything is a stack: that is not read to be refused.
    """
    if frame == NO_FRAME:
        if len(shape) > 3 or (len(shape) == 3 and shape[-1] > MOST_CHANNELS):
            raise UnreadableFile(f"shape {tuple(shape)} is a stack, not one picture (frames)")
        return ...
    if len(shape) < 3 or not 0 <= frame < shape[0]:
        raise UnreadableFile(f"there is no frame {frame} in an array of shape {tuple(shape)}")
    return frame


def axes_of(shape: tuple[int, ...]) -> str:
    """Letters of the axes of an array that is a picture, or holds one label a frame."""
    if len(shape) == 3 and shape[-1] <= MOST_CHANNELS:
        return "YXS"
    return "Q" * (len(shape) - 2) + "YX" if len(shape) > 1 else "Q" * len(shape)


def read_npy(path: str, key: str, frame: int) -> Recording:
    """Read an array, or a frame of it without the others. Nothing is ever unpickled."""
    with Path(path).open("rb") as file:
        shape, _, dtype = header_of(file)
        held = Path(path).stat().st_size - file.tell()
    if held != (claimed := bytes_of(shape, dtype.itemsize)):
        raise UnreadableFile(f"its header says {claimed:,} bytes of pixels, the file has {held:,}")
    pixels = frame_of(np.load(path, mmap_mode="r", allow_pickle=False), frame)
    return Recording(pixels, axes=axes_of(pixels.shape))


def header_of(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and dtype of an array in NPY format; the file is left where its bytes begin.

    Raises
    ------
    UnreadableFile
        If it holds objects, which only unpickling could read.
    """
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0}
    read = readers.get(version, np.lib.format.read_array_header_2_0)
    shape, fortran, dtype = read(file, max_header_size=LONGEST_HEADER)
    if dtype.hasobject:
        raise UnreadableFile("holds Python objects, which would have to be unpickled: refused")
    return shape, fortran, dtype
