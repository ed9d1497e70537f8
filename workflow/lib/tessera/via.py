"""Annotations as the VGG Image Annotator keeps them: regions of many pictures in one JSON.

Read are projects and exported annotations of VIA 1 and 2 (Dutta and Zisserman, The VIA Annotation
Software for Images, Audio and Video, ACM Multimedia 2019, DOI 10.1145/3343031.3350535): polygons,
rectangles, circles and ellipses. Points and lines have no area, so they are refused. A region's
class is its attribute; where there are several, the one called `class`. VIA knows no size of a
picture.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tessera.regions import Ellipse, Picture, Polygons, Region

PROJECT = "_via_img_metadata"
CLASS = "class"


def is_via(data: Any) -> bool:
    """Whether a JSON is of this kind."""
    if not isinstance(data, dict) or not data:
        return False
    entries = data.get(PROJECT, data)
    return isinstance(entries, dict) and all(
        isinstance(entry, dict) and {"filename", "regions"} <= entry.keys()
        for entry in entries.values()
    )


def pictures(data: dict[str, Any]) -> list[str]:
    """The file name of each picture."""
    return [str(entry["filename"]) for entry in data.get(PROJECT, data).values()]


def picture(data: dict[str, Any], number: int) -> Picture:
    """One of the pictures, with its regions.

    Raises
    ------
    ValueError
        If a region has no area, or nothing says of what class it is.
    """
    entry = list(data.get(PROJECT, data).values())[number]
    regions = entry["regions"]
    # VIA 1 numbers them.
    listed = list(regions.values()) if isinstance(regions, dict) else regions
    return Picture(
        str(entry["filename"]), [_region(number, of) for number, of in enumerate(listed, 1)]
    )


def _region(number: int, region: dict[str, Any]) -> Region:
    try:
        name = _class(region["region_attributes"])
        form = _form(region["shape_attributes"])
    except ValueError as error:
        raise ValueError(f"region {number}: {error}") from error
    return Region(f"region {number}", name, form)


def _class(attributes: dict[str, Any]) -> str:
    if not attributes:
        raise ValueError("has no attribute, so nothing says of what class it is")
    if len(attributes) > 1 and CLASS not in attributes:
        raise ValueError(f"has the attributes {', '.join(attributes)}, none called `{CLASS}`")
    value = attributes[CLASS] if CLASS in attributes else next(iter(attributes.values()))
    if not isinstance(value, dict):
        return str(value).strip()
    # Of a checkbox all that are ticked.
    ticked = [name for name, is_ticked in value.items() if is_ticked]
    if len(ticked) != 1:
        raise ValueError(f"is of {len(ticked)} classes: {', '.join(ticked) or 'none is ticked'}")
    return ticked[0]


def _form(shape: dict[str, Any]) -> Polygons | Ellipse:
    kind = shape["name"]
    if kind == "polygon":
        return Polygons([np.column_stack([shape["all_points_y"], shape["all_points_x"]])])
    if kind == "rect":
        top, left = float(shape["y"]), float(shape["x"])
        bottom, right = top + shape["height"], left + shape["width"]
        return Polygons([np.array([[top, left], [top, right], [bottom, right], [bottom, left]])])
    if kind == "circle":
        return Ellipse((shape["cy"], shape["cx"]), (shape["r"], shape["r"]))
    if kind == "ellipse":
        radii = shape["rx"], shape["ry"]
        return Ellipse((shape["cy"], shape["cx"]), radii, shape.get("theta", 0.0))
    raise ValueError(f"a {kind} has no area; draw polygons, rectangles, circles or ellipses")
