"""The micrograph of one row of the sheet: taken into the study, or refused with the reason.

`ingest` takes micrographs by `read_image`, and so does the check that a run begins with where bad
files are quarantined. So whatever refuses a micrograph belongs in here: both then give the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera.pixel_sizes import fault
from tessera.readers import Recording, UnreadableFile, read_channels, read_micrograph
from tessera.readers.recordings import SQUARE
from tessera.strips import Page, native, strips


@dataclass(frozen=True)
class Micrograph:
    """A micrograph as the study takes it, or one channel of it.

    Parameters
    ----------
    recording : Recording
        As the file has it.
    pixels : (rows, columns) page
        In this machine's order of bytes; of a large file read again as rows are asked for.
    pixel_size_nm : float
        The sheet's, or else the file's own; NaN where neither says it.
    pixels_sha256 : str
    """

    recording: Recording
    pixels: Page
    pixel_size_nm: float
    pixels_sha256: str


def read_image(
    files: Sequence[Mapping[str, Any]], channels: Sequence[str] | None = None
) -> list[Micrograph]:
    """Read the micrograph of one row of the sheet.

    Parameters
    ----------
    files : sequence of mapping
        path, key and frame of each file that the row names: one, or one a channel;
        pixel_size_nm of the sheet, NaN where it says none.
    channels : sequence of str, optional
        That the micrograph has; by default it is one grey picture.

    Returns
    -------
    list of Micrograph
        One a channel, of one shape and pixel size.

    Raises
    ------
    UnreadableFile
        If a file is damaged, or not what it should hold, if channels do not fit together, or the
        pixel size is impossible.
    """
    first = files[0]
    if not channels:
        recordings = [read_micrograph(first["path"], first["key"], first["frame"])]
    elif len(files) == 1:
        recordings = read_channels(first["path"], channels, first["key"], first["frame"])
    else:
        recordings = _of_each(files, channels)
    pixel_size_nm = _pixel_size(recordings, channels or ("",), first["pixel_size_nm"])
    shapes = [recording.pixels.shape for recording in recordings]
    if unlike := next((at for at, shape in enumerate(shapes) if shape != shapes[0]), None):
        (rows, columns), (others, across) = shapes[0], shapes[unlike]
        raise UnreadableFile(
            f"channels of different size: {channels[0]} is {rows} x {columns} px,"
            f" {channels[unlike]} {others} x {across}"
        )
    taken = [_taken(recording, pixel_size_nm) for recording in recordings]
    if len(taken) > 1 and len({of.pixels_sha256 for of in taken}) == 1:
        raise UnreadableFile(f"{', '.join(channels)} are all the same: one grey picture")
    return taken


def _of_each(files: Sequence[Mapping[str, Any]], channels: Sequence[str]) -> list[Recording]:
    """The recordings in a file of each channel, or an error of all that cannot be read."""
    found, problems = [], []
    for channel, file in zip(channels, files, strict=True):
        try:
            found.append(read_micrograph(file["path"], file["key"], file["frame"]))
        except UnreadableFile as error:
            problems.append(f"{channel} ({file['path']}) {error}")
    if problems:
        raise UnreadableFile("; ".join(problems))
    return found


def _pixel_size(recordings: Sequence[Recording], channels: Sequence[str], stated: float) -> float:
    """The sheet's, or the one of all channels whose files say it."""
    if np.isnan(stated):
        sizes = [recording.pixel_size_nm for recording in recordings]
        known = [(size, of) for size, of in zip(sizes, channels, strict=True) if size == size]
        stated, first = known[0] if known else (np.nan, "")
        for size, channel in known:
            if abs(size - stated) > SQUARE * stated:
                raise UnreadableFile(
                    f"pixels are {stated:g} nm in {first} and {size:g} nm in {channel}; resample"
                    " it, or state one pixel_size_nm in the sheet"
                )
    if impossible := fault(stated):
        raise UnreadableFile(impossible)
    return stated


def _taken(recording: Recording, pixel_size_nm: float) -> Micrograph:
    pixels, sha256 = native(recording.pixels), hashlib.sha256()
    # Goes through all of a large file: what is damaged further down is refused here too.
    for strip in strips(pixels):
        sha256.update(strip)
    return Micrograph(recording, pixels, pixel_size_nm, sha256.hexdigest())
