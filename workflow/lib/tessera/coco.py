"""Annotations as COCO keeps them: outlines and run lengths of many pictures in one JSON.

`pictures` lists what a file holds, `picture` takes one out of it. After Lin et al., Microsoft COCO:
Common Objects in Context, ECCV 2014, DOI 10.1007/978-3-319-10602-1_48. Run lengths are decoded
here: the library that goes with it fills what a cut text leaves open with whatever is in memory.
`iscrowd` says how a region is stored, and is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tessera.regions import Picture, Pixels, Polygons, Region

NEEDED = ("images", "annotations", "categories")


def is_coco(data: Any) -> bool:
    """Whether a JSON is of this kind."""
    return isinstance(data, dict) and {"images", "annotations"} <= data.keys()


def pictures(data: dict[str, Any]) -> list[str]:
    """The file name of each picture."""
    missing = [name for name in NEEDED if not isinstance(data.get(name), list)]
    if missing:
        raise ValueError(f"COCO without the list {', '.join(missing)}")
    return [str(image["file_name"]) for image in data["images"]]


def picture(data: dict[str, Any], number: int) -> Picture:
    """One of the pictures, with its regions.

    Raises
    ------
    ValueError
        If a region has no outline, or a category that the file does not list.
    """
    image = data["images"][number]
    size = image.get("height"), image.get("width")
    names = {category["id"]: str(category["name"]) for category in data["categories"]}
    regions = list(_regions(data["annotations"], image["id"], names))
    return Picture(str(image["file_name"]), regions, None if None in size else size)


def _regions(
    annotations: list[dict[str, Any]], image: int | str, names: dict[int, str]
) -> Iterator[Region]:
    for number, annotation in enumerate(annotations, 1):
        if annotation["image_id"] != image:
            continue
        place = f"annotation {annotation.get('id', number)}"
        if annotation["category_id"] not in names:
            raise ValueError(f"{place}: the file lists no category {annotation['category_id']}")
        try:
            form = _form(annotation.get("segmentation"))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        yield Region(place, names[annotation["category_id"]], form)


def _form(segmentation: Any) -> Polygons | Pixels:
    if not segmentation:
        raise ValueError("has no segmentation, at most a box; a box is no outline")
    if isinstance(segmentation, dict):
        return _decoded(segmentation)
    if any(len(flat) % 2 for flat in segmentation):
        raise ValueError("an outline with an odd number of coordinates")
    # x, y: columns before rows.
    return Polygons([np.array(flat, float).reshape(-1, 2)[:, ::-1] for flat in segmentation])


def _decoded(encoded: dict[str, Any]) -> Pixels:
    """Run lengths, column by column, the first of them outside."""
    (rows, columns), counts = encoded["size"], encoded["counts"]
    counts = np.array(_counts(counts) if isinstance(counts, str) else counts)
    if counts.dtype.kind not in "iu" or counts.min() < 0 or counts.sum() != rows * columns:
        raise ValueError(f"run lengths that do not make up {rows} x {columns} px")
    return Pixels((rows, columns), counts)


def _counts(text: str) -> list[int]:
    """Run lengths from their compressed form.

    Five bits a character, the lowest first; the sixth says that more follow, the fifth of the last
    that the number is negative. From the fourth on, it is the difference from the last but one.
    """
    counts: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"run lengths with the character {character!r}")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    if shift:
        raise ValueError("run lengths that end within a number")
    return counts
