"""Zarr and OME-Zarr, in a folder or in one zip file.

What an array claims, and how it is packed, is looked at before zarr is asked: Python objects are
refused, since only unpickling could read them. A store that lacks chunks is refused too: by the
format they hold the fill value, but they may as well not have been copied.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import LocalStore, ZipStore

from tessera.folders import folder_size
from tessera.frames import WHOLE
from tessera.readers.arrays import asked, axes_of, part_of
from tessera.readers.claims import bytes_of, check_claim, check_whole
from tessera.readers.recordings import UNKNOWN, Recording, UnreadableFile, nanometres, number, plain
from tessera.strips import Page, mapped

CODECS = {"bytes", "endian", "transpose", "sharding_indexed", "crc32c", "crc32", "adler32"}
CODECS |= {"gzip", "zlib", "bz2", "lzma", "lz4", "zstd", "blosc", "shuffle", "delta", "fletcher32"}
"""How chunks may be packed: none of these makes anything but numbers of bytes."""
Get = Callable[[str], bytes | None]
Opened = Callable[[], AbstractContextManager[Any]]


def read(path: str, key: str, frame: int) -> Recording:
    """Read an array of a folder, or a frame of it without the others."""
    folder = Path(path)

    def get(name: str) -> bytes | None:
        return (folder / name).read_bytes() if (folder / name).is_file() else None

    store = LocalStore(folder, read_only=True)
    return _read(lambda: nullcontext(store), get, folder_size(folder), (key, frame))


def read_zip(path: str, key: str, frame: int) -> Recording:
    """Read an array of a store in one zip file."""
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        for member in archive.infolist():
            check_claim(member.file_size, member.compress_size, member.compress_type != 0)

        def get(name: str) -> bytes | None:
            return archive.read(name) if name in names else None

        def opened() -> closing[ZipStore]:
            return closing(ZipStore(Path(path), mode="r", read_only=True))

        return _read(opened, get, Path(path).stat().st_size, (key, frame))


def _read(opened: Opened, get: Get, held: int, wanted: tuple[str, int]) -> Recording:
    key, frame = _within(wanted[0]), wanted[1]
    node, attributes = _node(get, key)
    image = _multiscales(attributes)
    where = key
    if node is None and image:
        where = _within(f"{key}/{image['datasets'][0]['path']}")
        node, _ = _node(get, where)
    if node is None:
        raise UnreadableFile(f"holds no array {where or '(none named)'}; name it: store::array")
    _check(node, held)
    version = node["zarr_format"]
    with opened() as store:
        array = zarr.open_array(store, path=where, mode="r", zarr_format=version)
        if array.nchunks_initialized < math.prod(array.cdata_shape):
            raise UnreadableFile(
                f"has {array.nchunks_initialized} of its {math.prod(array.cdata_shape)} chunks; if"
                " the others are empty, write them too (write_empty_chunks=True)"
            )
        first = _first(array.shape, frame)
        names = _labels(attributes, image, len(first)) if frame == WHOLE else ()

        def take(index: tuple[Any, ...]) -> Any:
            with opened() as store:
                return zarr.open_array(store, path=where, mode="r", zarr_format=version)[index]

        pixels = part_of(array, first, take, array.shards or array.chunks)
        pixels = _planes(pixels) if frame == WHOLE else pixels
    said = plain({"attributes": attributes})
    return Recording(pixels, _sizes(image), axes_of(pixels.shape), metadata=said, channels=names)


def _first(shape: tuple[int, ...], frame: int) -> tuple[int, ...]:
    """Indices of the picture that is asked for, along all axes before its rows."""
    lead = next((at for at, side in enumerate(shape[:-2]) if side != 1), len(shape) - 2)
    lead = max(lead, 0)
    index = asked(shape[lead:], frame) if frame != WHOLE else ...
    first = (*(0,) * lead, *(() if index is ... else (index,)))
    while len(shape) - len(first) > 2 and shape[len(first)] == 1:  # of one channel, or one depth
        first += (0,)
    return first


def _planes(pixels: Page) -> Page:
    """Without axes of length 1 between that of the channels and the rows."""
    channels, *between, rows, columns = pixels.shape
    if not between or set(between) != {1}:
        return pixels
    shape = (channels, rows, columns)
    return mapped(pixels, lambda part: part.reshape(-1, rows, columns), shape, pixels.dtype)


def _labels(attributes: dict[str, Any], image: dict[str, Any], axis: int) -> tuple[str, ...]:
    """Names of the channels, if an axis is theirs and they have any."""
    axes = [part.get("name") if isinstance(part, dict) else part for part in image.get("axes", ())]
    if axes[axis : axis + 1] != ["c"]:
        return ()
    said = attributes.get("ome", attributes).get("omero", {}).get("channels", ())
    names = tuple(str(channel.get("label", "")) for channel in said)
    return names if all(names) else ()


def _within(key: str) -> str:
    """A key without the slashes around it, once it is sure not to lead out of the store."""
    if any(part in ("..", ".") for part in key.split("/")):
        raise UnreadableFile(f"{key} is no array of this store")
    return "/".join(filter(None, key.split("/")))


def _node(get: Get, key: str) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """What is said of an array, None if it is none; and the attributes that stand there."""
    prefix = f"{key}/" if key else ""
    text = get(f"{prefix}zarr.json")
    if text is not None:
        said = json.loads(text)
        return said if said["node_type"] == "array" else None, said.get("attributes", {})
    text, attributes = get(f"{prefix}.zarray"), get(f"{prefix}.zattrs")
    said = None if text is None else json.loads(text)
    return said, {} if attributes is None else json.loads(attributes)


def _check(node: dict[str, Any], held: int) -> None:
    """Refuse objects, unknown packing, and shapes that the store cannot hold."""
    is_new = node["zarr_format"] == 3
    name = node["data_type"] if is_new else node["dtype"]
    dtype = np.dtype(name) if isinstance(name, str) else np.dtype(object)
    if dtype.kind not in "biuf":
        raise UnreadableFile(f"its type is {name!r}: no numbers, or Python objects, are refused")
    strange = sorted(set(_codecs(node)) - CODECS)
    if strange:
        raise UnreadableFile(f"is packed by {', '.join(strange)}, which is not read")
    chunks = node["chunk_grid"]["configuration"]["chunk_shape"] if is_new else node["chunks"]
    for shape in (chunks, node["shape"] if len(node["shape"]) < 3 else node["shape"][-2:]):
        check_claim(bytes_of(shape, dtype.itemsize), held, True)
    check_whole(bytes_of(chunks, dtype.itemsize), "one of its chunks")


def _codecs(node: Any) -> Iterator[str]:
    """Names of all that the chunks of an array pass through, those within shards too."""
    if node.get("zarr_format") == 2:
        packing = [*(node.get("filters") or ()), *filter(None, [node.get("compressor")])]
        yield from (str(codec["id"]) for codec in packing)
        return
    for codec in (*node.get("codecs", ()), *node.get("index_codecs", ())):
        name = codec if isinstance(codec, str) else str(codec["name"])
        yield name.removeprefix("numcodecs.")
        if isinstance(codec, dict):
            yield from _codecs(codec.get("configuration") or {})


def _multiscales(attributes: dict[str, Any]) -> dict[str, Any]:
    """The first image of OME-Zarr's attributes; the largest of its datasets comes first."""
    images = attributes.get("ome", attributes).get("multiscales", [])
    return images[0] if images else {}


def _sizes(image: dict[str, Any]) -> tuple[float, float]:
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image.get("axes", ())]
    names = [axis.get("name") for axis in axes]
    if names[-2:] != ["y", "x"]:
        return UNKNOWN, UNKNOWN
    steps = [*image["datasets"][0].get("coordinateTransformations", ())]
    steps += image.get("coordinateTransformations", ())
    scales = [step["scale"][-2:] for step in steps if step.get("type") == "scale"]
    if not scales:
        return UNKNOWN, UNKNOWN
    sides = (math.prod(number(scale[side]) for scale in scales) for side in (0, 1))
    units = (axis.get("unit") for axis in axes[-2:])
    height, width = map(nanometres, sides, units)
    return height, width
