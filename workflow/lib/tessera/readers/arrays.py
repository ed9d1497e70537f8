"""NPY files and what else is one array: a frame of a stack, mapped where the file allows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from tessera.frames import NO_FRAME, WHOLE
from tessera.readers.claims import bytes_of
from tessera.readers.recordings import Recording, UnreadableFile
from tessera.strips import LazyPage, Page, is_small

LONGEST_HEADER = 65_536
MOST_CHANNELS = 4


Take = Callable[[Any], Any]
Chunk = tuple[int, ...]


class Stack(Protocol):
    """What has a shape, and gives a frame when it is indexed: an array, or one on disk."""

    shape: tuple[int, ...]
    dtype: np.dtype
    ndim: int

    def __getitem__(self, index: Any) -> Any: ...


def frame_of(stack: Stack, frame: int, take: Take | None = None, chunk: Chunk = ()) -> Page:
    """One frame of a stack, or the whole of what is none.

    Parameters
    ----------
    stack : array, or one on disk
    frame : int
    take : callable, optional
        Gives what an index takes from the stack, also once that is closed: a large frame is read
        by it as its rows are asked for.
    chunk : tuple of int, optional
        Shape of what the stack can only be read in.

    Raises
    ------
    UnreadableFile
        If there is no such frame.
    """
    index = asked(stack.shape, frame)
    return part_of(stack, () if index is ... else (index,), take, chunk)


def part_of(stack: Stack, first: tuple[int, ...], take: Take | None, chunk: Chunk) -> Page:
    """What lies at some first indices of a stack; otherwise as `frame_of`."""
    shape = stack.shape[len(first) :]
    if take is None or is_small(shape, stack.dtype):
        return np.asarray(stack[(*first, ...)])
    rows = chunk[len(first)] if chunk else 1
    return LazyPage(
        shape, stack.dtype, lambda top, end: np.array(take((*first, slice(top, end)))), rows
    )


def asked(shape: tuple[int, ...], frame: int) -> Any:
    """The index of a frame in an array of a shape: of everything where no frame is asked for.

    Raises
    ------
    UnreadableFile
        If there is no such frame, or if everything is a stack: that is not read to be refused.
    """
    if frame == WHOLE:
        if len(shape) > 3:
            raise UnreadableFile(f"shape {tuple(shape)} is more than the channels of one picture")
        return ...
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

    def mapped() -> np.ndarray:
        return np.load(path, mmap_mode="r", allow_pickle=False)

    # Mapped anew for each strip: all that was touched of a map counts as memory until it is let go.
    pixels = frame_of(mapped(), frame, lambda index: mapped()[index])
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
