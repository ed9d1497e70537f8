"""Headers that RosettaSciIO takes at their word: looked at before it does.

A SER file says how many pictures it has and how large each is; a BCF file is a file system whose
folders could lie within each other without end.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from tessera.readers.claims import bytes_of, check_claim
from tessera.readers.recordings import UnreadableFile

SER_PICTURES = 0x4122
SER_BYTES = {1: 1, 2: 2, 3: 4, 4: 1, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 16}
"""Bytes a pixel, by the type in the header of a picture."""
SER_WIDE = 528
"""Addresses take eight bytes in versions after this."""
BCF_ITEM, BCF_LINK, BCF_DATA = 0x200, 0x118, 0x138
"""Bytes of an item; within a block, where the next one is named, and where its content begins."""
NO_PARENT = -1


def check_ser(path: str) -> None:
    """Refuse a SER file that claims more pictures, or larger ones, than it can hold.

    Raises
    ------
    UnreadableFile
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        version, content, _, _, valid = struct.unpack("<HIIII", file.read(22)[4:])
        if content != SER_PICTURES:
            raise UnreadableFile("holds spectra, no pictures")
        form = struct.Struct("<Q" if version > SER_WIDE else "<I")
        (table,) = form.unpack(file.read(form.size))
        if valid == 0 or table + valid * form.size > size:
            raise UnreadableFile(f"its header claims {valid:,} pictures, more than it can hold")
        file.seek(table)
        for (start,) in list(form.iter_unpack(file.read(valid * form.size))):
            file.seek(start + 40)  # the calibration comes first
            kind, columns, rows = struct.unpack("<hII", file.read(10))
            held = size - start - 50
            check_claim(bytes_of((rows, columns), SER_BYTES.get(kind, 1)), held, False)


def check_bcf(path: str) -> None:
    """Refuse a BCF file whose folders have no end, or that claims longer files than it can hold.

    Raises
    ------
    UnreadableFile
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as file:
        file.seek(0x128)
        (block,) = struct.unpack("<I", file.read(4))
        file.seek(0x140)
        first, count = struct.unpack("<II", file.read(8))
        if block < BCF_ITEM + 32 or count * BCF_ITEM > size:
            raise UnreadableFile(f"its header claims {count:,} files in blocks of {block:,} bytes")
        items = _bcf_items(file, block, first, count)
    parents = []
    for item in items:
        length, parent = struct.unpack_from("<4xQ28xi", item)
        check_claim(length, size, False)
        if not NO_PARENT <= parent < count:
            raise UnreadableFile("one of its files is in no folder")
        parents.append(parent)
    for start in range(count):
        at, steps = start, 0
        while at != NO_PARENT:
            at, steps = parents[at], steps + 1
            if steps > count:
                raise UnreadableFile("its folders lie within each other without end")


def _bcf_items(file: BinaryIO, block: int, first: int, count: int) -> list[bytes]:
    """The list of files and folders, which may go on from block to block."""
    at_once = count if count * BCF_ITEM <= block - 32 else (block - 32) // BCF_ITEM
    items: list[bytes] = []
    while len(items) < count:
        file.seek(block * first + BCF_LINK)
        (first,) = struct.unpack("<I", file.read(4))
        file.seek(BCF_DATA - BCF_LINK - 4, 1)
        data = file.read(min(at_once, count - len(items)) * BCF_ITEM)
        if not data or len(data) % BCF_ITEM:
            raise UnreadableFile("its list of files is cut off")
        items += (data[at : at + BCF_ITEM] for at in range(0, len(data), BCF_ITEM))
    return items
