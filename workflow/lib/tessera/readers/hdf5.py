"""HDF5: a dataset by its name, or an image of an EMD file (NCEM's or Velox's).

Only what the file itself holds is read: no link to another file is followed. A dataset whose chunks
are not all there is refused, since HDF5 fills the rest with zeros.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tessera.frames import NO_FRAME, WHOLE
from tessera.readers.arrays import axes_of, frame_of
from tessera.readers.claims import bytes_of, check_claim, check_whole
from tessera.readers.recordings import UNKNOWN, Recording, UnreadableFile, nanometres, plain

NAMED = 20
"""How many datasets are named to whoever has not said which."""
SIZES_UM = "element_size_um"
"""Where Fiji and ilastik keep the sides of a voxel: depth, height, width."""


def read(path: str, key: str, frame: int) -> Recording:
    """Read a dataset, or a frame of it without the others."""
    with h5py.File(path, "r") as container:
        link = container.get(key, getlink=True) if key else None
        if isinstance(link, h5py.ExternalLink):
            raise UnreadableFile(f"{key} is a link to another file, which is not followed")
        found = container.get(key) if key else None
        if isinstance(found, h5py.Dataset):
            _check(found, path, frame)
            pixels = frame_of(_texts(found), frame, partial(_taken, path, key), found.chunks or ())
            sizes = _sizes(found.attrs.get(SIZES_UM))
            said = plain({**found.file.attrs, **found.attrs})
            return Recording(pixels, sizes, axes_of(pixels.shape), metadata=said)
        names = _datasets(container, path)
        if not _is_emd(container):
            held = ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")
            asked_for = f"the dataset {key or '(none named)'}"
            raise UnreadableFile(f"holds {held or 'nothing'}, not {asked_for}")
    from tessera.readers import rosetta

    return rosetta.reader("emd")(path, key, frame)


def _taken(path: str, key: str, index: Any) -> np.ndarray:
    with h5py.File(path, "r") as container:
        return container[key][index]


def _texts(dataset: h5py.Dataset) -> h5py.Dataset | np.ndarray:
    """Labels as text; what else is no number could be anything."""
    if not dataset.dtype.hasobject:
        return dataset
    if h5py.check_string_dtype(dataset.dtype) is None:
        raise UnreadableFile(f"{dataset.name} holds no numbers and no texts")
    return np.asarray(dataset.asstr()[...], str)


def _datasets(container: h5py.File, path: str) -> list[str]:
    """Names of all datasets, each of them checked where the file is to be read as a whole."""
    is_emd, names = _is_emd(container), []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            names.append(name)
            if is_emd and item.size:
                _check(item, path, NO_FRAME)

    container.visititems(visit)
    return names


def _is_emd(container: h5py.File) -> bool:
    """Whether it says of itself that it is an EMD file, of NCEM's layout or of Velox's."""
    if "Version" in container and isinstance(container["Version"], h5py.Dataset):
        return True
    groups = (item for item in container.values() if isinstance(item, h5py.Group))
    versions = ("version_major", "emd_group_type")
    return any(name in part.attrs for part in (container, *groups) for name in versions)


def _check(dataset: h5py.Dataset, path: str, frame: int) -> None:
    """Refuse a dataset that is elsewhere, not whole, or claims more than the file can hold."""
    if dataset.is_virtual or dataset.external or Path(dataset.file.filename) != Path(path):
        raise UnreadableFile(f"{dataset.name} lies in another file, which is not followed")
    if dataset.dtype.hasobject or dataset.shape is None:  # texts have no fixed size
        return
    held, item = dataset.id.get_storage_size(), dataset.dtype.itemsize
    held = min(held, Path(path).stat().st_size)
    if dataset.chunks is None:
        check_claim(bytes_of(dataset.shape, item), held, False)
        return
    shape = dataset.shape if frame in (NO_FRAME, WHOLE) else dataset.shape[1:]
    check_claim(bytes_of(shape, item), held, True)
    check_claim(bytes_of(dataset.chunks, item), held, True)
    check_whole(bytes_of(dataset.chunks, item), f"a chunk of {dataset.name}")
    sides = zip(dataset.shape, dataset.chunks, strict=True)
    n_chunks = math.prod(-(-length // chunk) for length, chunk in sides)
    stored = dataset.id.get_num_chunks()
    if stored != n_chunks:
        raise UnreadableFile(f"{dataset.name} has {stored} of its {n_chunks} chunks")


def _sizes(sides_um: Any) -> tuple[float, float]:
    if sides_um is None or len(sides_um) < 2:
        return UNKNOWN, UNKNOWN
    return nanometres(sides_um[-2], "µm"), nanometres(sides_um[-1], "µm")
