"""DM3, DM4, SER, EMD, TVIPS and Bruker's BCF, by RosettaSciIO.

RosettaSciIO (The HyperSpy developers, doi:10.5281/zenodo.8011666) tells formats by the suffix,
looks for further files beside the one that is named, and guesses dates. So a file is shown to it
alone, under a name of the right suffix, and dates are read from what the file itself says.
"""

from __future__ import annotations

import importlib
import logging
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dask
import numpy as np
import rsciio

from tessera.frames import WHOLE
from tessera.readers.arrays import frame_of
from tessera.readers.claims import bytes_of, check_claim, check_whole
from tessera.readers.headers import check_bcf, check_ser
from tessera.readers.recordings import (
    Recording,
    UnreadableFile,
    iso_date,
    nanometres,
    number,
    plain,
    plain_text,
    positive,
)
from tessera.strips import LazyPage

SUFFIX = {"digitalmicrograph": ".dm3", "tia": ".ser", "emd": ".emd", "bruker": ".bcf"}
SUFFIX |= {"tvips": "_000.tvips"}
OPTIONS: dict[str, dict[str, Any]] = {
    "digitalmicrograph": {"lazy": True},
    "emd": {"lazy": True, "select_type": "images"},
    "bruker": {"select_type": "image"},
    "tvips": {"lazy": True},
}
CHECKS = {"tia": check_ser, "bruker": check_bcf}
NOT_PICTURED = re.compile("energy|wavelength|time", re.IGNORECASE)
"""Names of axes that no picture has."""
COMPRESSED = {"bruker", "emd"}
DM_TAGS = ("ImageList", "TagGroup0", "ImageTags")


def reader(plugin: str) -> Callable[[str, str, int], Recording]:
    """The reader of a family, by the name that RosettaSciIO has for it."""
    return partial(_read, plugin)


def _read(plugin: str, path: str, key: str, frame: int) -> Recording:
    if plugin in CHECKS:
        CHECKS[plugin](path)
    with _alone(path, SUFFIX[plugin]) as name, _quietly():
        plugin_of = importlib.import_module(f"{rsciio.__name__}.{plugin}")
        signals = plugin_of.file_reader(name, **OPTIONS.get(plugin, {}))
        pictures = [signal for signal in signals if _is_picture(signal)]
        if frame == WHOLE and not key and len(pictures) > 1:
            return Recording(np.empty((0, 0)), channels=tuple(_titles(pictures)))
        signal = _chosen(pictures, key)
        data = signal["data"]
        held = Path(path).stat().st_size
        claimed = bytes_of(data.shape[-2:], data.dtype.itemsize)
        check_claim(claimed, held, plugin in COMPRESSED)
        check_whole(claimed)
        pixels = _beside(data) if frame == WHOLE and data.ndim == 3 else frame_of(data, frame)
    found = _mapped(signal)
    axes = signal["axes"][-2:]
    return Recording(
        pixels,
        tuple(nanometres(axis.get("scale"), axis.get("units")) for axis in axes),
        "QYX"[-pixels.ndim :],
        plain_text(found.get("microscope") or ""),
        positive(found.get("beam_energy")),
        positive(found.get("magnification")),
        _date(signal),
        plain_text(_detector(signal) or ""),
        plain(signal["original_metadata"]),
    )


def _beside(data: Any) -> LazyPage:
    """All frames as one, of which only the shape is asked for: each is then read by itself."""
    return LazyPage(data.shape, data.dtype, lambda first, end: np.asarray(data[first:end]))


@contextmanager
def _alone(path: str, suffix: str) -> Iterator[str]:
    """Another name of a file, in a folder where nothing else is."""
    with tempfile.TemporaryDirectory(prefix="tessera-") as folder:
        link = Path(folder) / f"file{suffix}"
        link.symlink_to(Path(path).resolve())
        yield str(link)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without notes on optional packages, and without threads."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), dask.config.set(scheduler="synchronous"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _chosen(pictures: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """The only picture of a file, or the one of the title that is asked for."""
    if not pictures:
        raise UnreadableFile("holds no picture")
    titles = _titles(pictures)
    if not key and len(pictures) == 1:
        return pictures[0]
    if key in titles:
        return pictures[titles.index(key)]
    raise UnreadableFile(f"holds the pictures {', '.join(titles)}; name one: file::picture")


def _titles(pictures: list[dict[str, Any]]) -> list[str]:
    """What each picture is called; what is called like another is numbered."""
    titles: list[str] = []
    for picture in pictures:
        title = plain_text(picture["metadata"].get("General", {}).get("title") or "picture")
        alike = sum(known.startswith(title) for known in titles)
        titles.append(f"{title} ({alike + 1})" if title in titles else title)
    return titles


def _is_picture(signal: Mapping[str, Any]) -> bool:
    data, axes = signal["data"], signal["axes"]
    if data.dtype.kind not in "uifb" or data.ndim not in (2, 3) or len(axes) != data.ndim:
        return False
    return not any(NOT_PICTURED.search(str(axis.get("name"))) for axis in axes[-2:])


def _mapped(signal: Mapping[str, Any]) -> dict[str, Any]:
    """Microscope, beam energy and magnification, as RosettaSciIO finds them."""
    found = {"microscope": _at(signal["original_metadata"], (*DM_TAGS, "Microscope Info", "Name"))}
    for instrument in signal["metadata"].get("Acquisition_instrument", {}).values():
        found |= dict(instrument)
    for path, meaning in (signal.get("mapping") or {}).items():
        said = _at(signal["original_metadata"], path.split("."))
        if said is None or not isinstance(meaning, tuple):
            continue
        target, convert = meaning
        try:
            value = convert(said) if convert else said
        except (TypeError, ValueError, KeyError, AttributeError):
            continue
        if value:
            found[target.rpartition(".")[2]] = value
    return found


def _at(tree: Any, path: list[str] | tuple[str, ...]) -> Any:
    for name in path:
        spaced = name.replace("_", " ")
        if not isinstance(tree, Mapping) or not (name in tree or spaced in tree):
            return None
        tree = tree[name] if name in tree else tree[spaced]
    return tree


def _date(signal: Mapping[str, Any]) -> str:
    """When it was recorded, by the clock of the file alone."""
    said = signal["original_metadata"]
    bar = _at(said, (*DM_TAGS, "DataBar"))
    if isinstance(bar, Mapping):
        return iso_date(f"{bar.get('Acquisition Date', '')} {bar.get('Acquisition Time', '')}")
    seconds = number(_at(said, ("Acquisition", "AcquisitionStartDatetime", "DateTime")))
    if seconds > 0:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    return ""


def _detector(signal: Mapping[str, Any]) -> Any:
    said = signal["original_metadata"]
    paths = (("BinaryResult", "Detector"), (*DM_TAGS, "DataBar", "Device Name"))
    return next((found for found in (_at(said, path) for path in paths) if found), "")
