"""The micrograph of one row of the sheet: taken into the study, or refused with the reason.

`ingest` takes micrographs by `read_image`, and so does the check that a run begins with where bad
files are quarantined. So whatever refuses a micrograph belongs in here: both then give the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera.conditions import ALLOW, CONSTANT, Condition, Inspection, faults
from tessera.crops import Crop
from tessera.data_bars import crop_of
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
    condition : Condition
    crop : Crop
        What was cut off the picture in the file; `pixels` are without it.
    """

    recording: Recording
    pixels: Page
    pixel_size_nm: float
    pixels_sha256: str
    condition: Condition
    crop: Crop


def read_image(files: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> list[Micrograph]:
    """Read the micrograph of one row of the sheet.

    Parameters
    ----------
    files : sequence of mapping
        path, key and frame of each file that the row names: one, or one a channel;
        pixel_size_nm of the sheet, NaN where it says none.
    settings : mapping
        Of `ingest`: crop, see `data_bars.crop_of`, which is that of the first channel for all;
        limits, see `conditions.faults`; inputs, the channels of a micrograph, where it is not one
        grey picture.

    Returns
    -------
    list of Micrograph
        One a channel, of one shape and pixel size.

    Raises
    ------
    UnreadableFile
        If a file is damaged, or not what it should hold, if channels do not fit together, the pixel
        size is impossible, or pixels are past the limits.
    """
    first, channels = files[0], settings.get("inputs")
    if not channels:
        recordings = [read_micrograph(first["path"], first["key"], first["frame"])]
    elif len(files) == 1:
        recordings = read_channels(first["path"], channels, first["key"], first["frame"])
    else:
        recordings = _of_each(files, channels)
    names = channels or [""]
    _check_shapes(names, [recording.pixels.shape for recording in recordings])
    pixel_size_nm = _pixel_size(names, recordings, first["pixel_size_nm"])
    crop = crop_of(recordings[0].pixels, settings["crop"], recordings[0].scanned_rows)
    taken = [_taken(recording, pixel_size_nm, crop) for recording in recordings]
    if unusable := "; ".join(_faults(names, taken, settings["limits"])):
        raise UnreadableFile(unusable)
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


def _check_shapes(channels: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> None:
    """Refuse channels that do not lie over each other."""
    for channel, shape in zip(channels, shapes, strict=True):
        if shape != shapes[0]:
            (rows, columns), (others, across) = shapes[0], shape
            raise UnreadableFile(
                f"channels of different size: {channels[0]} is {rows} x {columns} px,"
                f" {channel} {others} x {across}"
            )


def _pixel_size(channels: Sequence[str], recordings: Sequence[Recording], stated: float) -> float:
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


def _taken(recording: Recording, pixel_size_nm: float, crop: Crop) -> Micrograph:
    pixels, sha256, inspection = native(crop.of(recording.pixels)), hashlib.sha256(), Inspection()
    # Goes through all of a large file: what is damaged further down is refused here too.
    for strip in strips(pixels):
        sha256.update(strip)
        inspection.add(strip)
    condition = inspection.condition()
    return Micrograph(recording, pixels, pixel_size_nm, sha256.hexdigest(), condition, crop)


def _faults(
    channels: Sequence[str], taken: Sequence[Micrograph], limits: Mapping[str, Any]
) -> Iterator[str]:
    """Why a micrograph cannot be used; of several channels, each fault with the channel's name."""
    if len(taken) == 1:
        yield from faults(taken[0].condition, limits)
        return
    if len({of.pixels_sha256 for of in taken}) == 1:
        yield f"{', '.join(channels)} are the same in every pixel: one grey picture"
        return
    # An element may be nowhere in a micrograph: its map is constant, and right.
    if not all(of.condition.is_constant for of in taken):
        limits = {**limits, CONSTANT: ALLOW}
    for channel, of in zip(channels, taken, strict=True):
        yield from (f"{channel}: {fault}" for fault in faults(of.condition, limits))
