"""MRC, mapped into memory, by mrcfile.

The size of a voxel is in the header; the extended header that FEI's and Thermo Fisher's microscopes
write holds, a frame each, the rest.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
from mrcfile import utils
from mrcfile.dtypes import HEADER_DTYPE

from tessera.readers.arrays import frame_of
from tessera.readers.claims import bytes_of, check_claim
from tessera.readers.recordings import (
    Recording,
    UnreadableFile,
    nanometres,
    plain,
    plain_text,
    positive,
)

ITEM_BYTES = {0: 1, 1: 2, 2: 4, 3: 4, 4: 8, 6: 2, 12: 2}
HEADER_BYTES = 1024
NAMED_FIELDS = (b"FEI1", b"FEI2")
"""Types of extended header whose fields have names."""
DAY_ZERO = datetime(1899, 12, 30)
"""Where the days of a date in an extended header are counted from, as in a spreadsheet."""


def read(path: str, key: str, frame: int) -> Recording:
    """Read a micrograph, or one frame of a stack."""
    with Path(path).open("rb") as file:
        _check(_header(file.read(HEADER_BYTES)), Path(path).stat().st_size)
    with mrcfile.mmap(path, mode="r") as file:
        pixels = frame_of(file.data, frame, partial(_taken, path))
        voxel = file.voxel_size
        more = _of_frame(file, frame)
        fields = {name: file.header[name] for name in file.header.dtype.names}
    sizes = (nanometres(voxel.y, "Å"), nanometres(voxel.x, "Å"))
    return Recording(
        pixels,
        sizes,
        "Q" * (pixels.ndim - 2) + "YX",
        plain_text(more.get("Microscope type", "")),
        positive(more.get("HT"), 1e-3),
        positive(more.get("Magnification")),
        _date(more.get("Timestamp")),
        plain_text(more.get("Camera name", "")),
        plain({"header": fields, **({"extended header": more} if more else {})}),
    )


def _taken(path: str, index: Any) -> np.ndarray:
    with mrcfile.mmap(path, mode="r") as file:
        return np.array(file.data[index])


def _header(head: bytes) -> np.ndarray:
    header = np.frombuffer(head, HEADER_DTYPE, 1)[0]
    order = utils.byte_order_from_machine_stamp(header["machst"])
    return np.frombuffer(head, HEADER_DTYPE.newbyteorder(order), 1)[0]


def _check(header: np.ndarray, size: int) -> None:
    """What mrcfile lets pass: a file of another length than it says, axes in another order."""
    shape = [int(header[name]) for name in ("nz", "ny", "nx")]
    mode = int(header["mode"])
    if mode not in ITEM_BYTES:
        raise UnreadableFile(f"pixels of mode {mode} are not read")
    held = size - HEADER_BYTES - int(header["nsymbt"])
    claimed = bytes_of(shape, ITEM_BYTES[mode])
    check_claim(claimed, held, False)
    if held > claimed:
        raise UnreadableFile(f"its header says {claimed:,} bytes of pixels, the file has {held:,}")
    order = [int(header[name]) for name in ("mapc", "mapr", "maps")]
    if order not in ([1, 2, 3], [0, 0, 0]):
        raise UnreadableFile(f"its axes are in the order {order}, not columns, rows, sections")


def _of_frame(file: mrcfile.mrcmemmap.MrcMemmap, frame: int) -> dict[str, Any]:
    """What the extended header says of a frame, if it is one that names its fields."""
    if bytes(file.header.exttyp) not in NAMED_FIELDS or file.extended_header.size == 0:
        return {}
    found = file.indexed_extended_header
    if found is None:  # it is not what it says it is
        return {}
    row = found[min(max(frame, 0), len(found) - 1)]
    return {name: row[name] for name in found.dtype.names}


def _date(days: Any) -> str:
    passed = positive(days)
    if not 20_000 < passed < 100_000:
        return ""
    return (DAY_ZERO + timedelta(seconds=round(passed * 86_400))).isoformat()
