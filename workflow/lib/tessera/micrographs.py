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
    """

    recording: Recording
    pixels: Page
    pixel_size_nm: float
    pixels_sha256: str


def read_image(row: Mapping[str, Any]) -> Micrograph:
    """Read the micrograph of one row of the sheet.

    Parameters
    ----------
    row : mapping
        path, key and frame of the file; pixel_size_nm of the sheet, NaN where it says none.

    Raises
    ------
    UnreadableFile
        If the file is damaged, or not one grey micrograph, or its pixel size impossible.
    """
    recording = read_micrograph(row["path"], row["key"], row["frame"])
    stated = row["pixel_size_nm"]
    pixel_size_nm = recording.pixel_size_nm if np.isnan(stated) else stated
    if impossible := fault(pixel_size_nm):
        raise UnreadableFile(impossible)
    pixels, sha256 = native(recording.pixels), hashlib.sha256()
    # Goes through all of a large file: what is damaged further down is refused here too.
    for strip in strips(pixels):
        sha256.update(strip)
    return Micrograph(recording, pixels, pixel_size_nm, sha256.hexdigest())
