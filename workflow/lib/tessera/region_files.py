"""JSON files of regions, as annotation tools write them: one picture taken out of many.

What kind of JSON it is, is told by what it holds.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from tessera import coco, via
from tessera.readers import UnreadableFile
from tessera.regions import Picture

KINDS = ((coco.is_coco, coco), (via.is_via, via))
NAMES_SHOWN = 5


def read_json(path: str) -> Any:
    """The content of a JSON file; `UnreadableFile` if it is broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except ValueError as error:  # UnicodeDecodeError is one too
        raise UnreadableFile(f"is no JSON: {error}") from error


def picture_of(data: Any, key: str, image: str) -> Picture:
    """The picture of a JSON that belongs to a micrograph.

    Parameters
    ----------
    data : as of `read_json`
    key : str
        File name of the picture in the JSON, with or without its folders. If it is empty, the
        picture is the one called like the micrograph's file, or the only one that there is.
    image : str
        File name of the micrograph.

    Raises
    ------
    UnreadableFile
        If the JSON is of no known kind or broken, holds no such picture, or holds several.
    """
    kind = next((module for is_kind, module in KINDS if is_kind(data)), None)
    if kind is None:
        raise UnreadableFile("is neither COCO nor of the VGG Image Annotator")
    try:
        names = kind.pictures(data)
        return kind.picture(data, _place(names, key, image))
    except UnreadableFile:
        raise
    except ValueError as error:
        raise UnreadableFile(str(error)) from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise UnreadableFile(f"is broken: {type(error).__name__} {error}") from error


def _place(names: list[str], key: str, image: str) -> int:
    if not key and len(names) == 1:
        return 0
    wanted = key or image
    found = [number for number, name in enumerate(names) if name == wanted]
    if not found:
        bare = [PurePosixPath(name.replace("\\", "/")).name for name in names]
        found = [number for number, name in enumerate(bare) if name == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(names[number] for number in found)
        raise UnreadableFile(f"holds {len(found)} pictures called {wanted}: {several}")
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    raise UnreadableFile(f"holds {', '.join(names[:NAMES_SHOWN])}{more}, not {wanted}")
