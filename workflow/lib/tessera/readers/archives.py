"""NPZ and zipped Zarr: archives whose parts are checked before any is unfolded."""

from __future__ import annotations

import zipfile

import numpy as np

from tessera.folders import MARKS
from tessera.readers.arrays import axes_of, frame_of, header_of
from tessera.readers.claims import bytes_of, check_claim, check_whole
from tessera.readers.recordings import Recording, UnreadableFile


def read(path: str, key: str, frame: int) -> Recording:
    """Read an array of an NPZ, or of a Zarr store in one file."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.rpartition("/")[2] in MARKS for name in names):
            from tessera.readers import zarr_stores

            return zarr_stores.read_zip(path, key, frame)
        held = [name.removesuffix(".npy") for name in names]
        if key not in held:
            raise UnreadableFile(f"holds {', '.join(held)}, not {key or 'a named array'}")
        member = archive.getinfo(names[held.index(key)])
        check_claim(member.file_size, member.compress_size, member.compress_type != 0)
        check_whole(member.file_size, f"{key}, of an NPZ,")
        with archive.open(member) as file:
            shape, _, dtype = header_of(file)
            if file.tell() + bytes_of(shape, dtype.itemsize) != member.file_size:
                raise UnreadableFile(f"{key} is not as long as its header says")
        # The checksum of the part is held against it when its last byte is read.
        with archive.open(member) as file:
            pixels = frame_of(np.lib.format.read_array(file, allow_pickle=False), frame)
            if file.read(1):
                raise UnreadableFile(f"{key} is longer than its header says")
    return Recording(pixels, axes=axes_of(pixels.shape))
