"""The annotation of one micrograph, of whatever kind, as a mask of class codes.

Pictures drawn in values, label maps and JSON files of regions all end the same: a code a pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tessera.classes import ClassTable
from tessera.crops import NO_CROP, Crop
from tessera.frames import is_json
from tessera.instances import encode_labels
from tessera.readers import UnreadableFile, read_annotation
from tessera.region_files import picture_of, read_json
from tessera.regions import draw
from tessera.strips import Page
from tessera.values import UndeclaredValues, encode, undeclared_px


@dataclass(frozen=True)
class Mask:
    """An annotation in class codes, and what was done to it on the way.

    Parameters
    ----------
    codes : (rows, columns) uint8 page
    moved_px : int
        Pixels of an undeclared value that count as the nearest declared one.
    overlaid_px : int
        Pixels of one class, drawn over by a later region of another.
    swallowed : list of str
        Instances of which nothing but boundary is left.
    """

    codes: Page
    moved_px: int = 0
    overlaid_px: int = 0
    swallowed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Image:
    """What an annotation has to know of its micrograph.

    Parameters
    ----------
    name : str
        Of its file.
    shape : (rows, columns)
        Of the picture in the file.
    crop : Crop
        What was cut off that picture.
    """

    name: str
    shape: tuple[int, int]
    crop: Crop = NO_CROP

    def cropped(self, annotation: Page) -> Page:
        """An annotation of the whole picture without what was cut off; any other as it is."""
        return self.crop.of(annotation) if annotation.shape[:2] == self.shape else annotation


def read_mask(
    row: Mapping[str, Any],
    table: ClassTable,
    image: Image | None = None,
    json_of: Callable[[str], Any] = read_json,
) -> Mask:
    """Read the annotation of one row of the sheet.

    Parameters
    ----------
    row : mapping
        path, key and frame of the annotation.
    table : ClassTable
    image : Image, optional
        The micrograph; needed where the annotation is a JSON, or where something was cut off.
    json_of : callable
        Content of a JSON file, by its path: keeps what it has read, where many rows share a file.

    Raises
    ------
    UnreadableFile, UndeclaredValues, ValueError
        If the file is damaged, or does not fit the classes or the micrograph.
    """
    path, key, frame = row["path"], row["key"], row["frame"]
    if is_json(path):
        if image is None:
            raise ValueError("regions are drawn on a micrograph, whose size is not known here")
        return _of_regions(json_of(path), key, image, table)
    annotation = read_annotation(path, key, frame, by_colour=table.by_colour)
    # Before anything else: what lies on a data bar stands for nothing.
    annotation = image.cropped(annotation) if image else annotation
    if table.instances is not None:
        codes, swallowed = encode_labels(annotation, table)
        return Mask(codes, swallowed=[str(number) for number in swallowed])
    try:
        codes = encode(annotation, table)
    except UndeclaredValues as error:
        coloured = read_annotation(path, key, frame, by_colour=True)
        if coloured.ndim == annotation.ndim:
            raise
        what = "these are numbers of its palette; declare colours to go by those"
        raise ValueError(f"{error}: {what}") from error
    return Mask(codes, moved_px=undeclared_px(annotation, table) if table.nearest else 0)


def _of_regions(data: Any, key: str, image: Image, table: ClassTable) -> Mask:
    picture = picture_of(data, key, image.name)
    if picture.shape not in (None, image.shape):
        said, real = (f"{rows} x {columns} px" for rows, columns in (picture.shape, image.shape))
        raise UnreadableFile(f"says that {picture.name} has {said}, the micrograph has {real}")
    drawing = draw(picture.regions, image.shape, table)
    codes = image.cropped(drawing.codes)
    return Mask(codes, overlaid_px=drawing.overlaid_px, swallowed=drawing.swallowed)
