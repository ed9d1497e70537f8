"""The micrograph of one row of the sheet: taken into the study, or refused with the reason.

`ingest` takes micrographs by `read_image`, and so does the check that a run begins with where bad
files are quarantined. So whatever refuses a micrograph belongs in here: both then give the reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tessera.conditions import Condition, Inspection, faults
from tessera.crops import Crop, crop_of
from tessera.pixel_sizes import fault
from tessera.readers import Recording, UnreadableFile, read_micrograph
from tessera.strips import Page, native, strips


@dataclass(frozen=True)
class Micrograph:
    """A micrograph as the study takes it.

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


def read_image(row: Mapping[str, Any], settings: Mapping[str, Any]) -> Micrograph:
    """Read the micrograph of one row of the sheet.

    Parameters
    ----------
    row : mapping
        path, key and frame of the file; pixel_size_nm of the sheet, NaN where it says none.
    settings : mapping
        Of `ingest`: crop, see `crops.crop_of`; limits, see `conditions.faults`.

    Raises
    ------
    UnreadableFile
        If the file is damaged, or not one grey micrograph, or its pixel size impossible, or its
        pixels past the limits.
    """
    recording = read_micrograph(row["path"], row["key"], row["frame"])
    stated = row["pixel_size_nm"]
    pixel_size_nm = recording.pixel_size_nm if np.isnan(stated) else stated
    if impossible := fault(pixel_size_nm):
        raise UnreadableFile(impossible)
    crop = crop_of(recording.pixels, settings["crop"], recording.scanned_rows)
    pixels, sha256, inspection = native(crop.of(recording.pixels)), hashlib.sha256(), Inspection()
    # Goes through all of a large file: what is damaged further down is refused here too.
    for strip in strips(pixels):
        sha256.update(strip)
        inspection.add(strip)
    condition = inspection.condition()
    if unusable := "; ".join(faults(condition, settings["limits"])):
        raise UnreadableFile(unusable)
    return Micrograph(recording, pixels, pixel_size_nm, sha256.hexdigest(), condition, crop)
