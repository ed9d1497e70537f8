"""Regions drawn as outlines, and the masks that they make.

Coordinates count pixels from the upper left corner of the picture, so that the centre of the first
pixel is (0.5, 0.5); a pixel belongs to a region if its centre lies inside, or on the outline. An
outline that crosses itself holds what a line from outside reaches over an odd number of crossings.
Regions are drawn in the order of the file, so where two overlap the later one counts; those to be
ignored come last and win.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from skimage.draw import ellipse, polygon

from tessera.classes import IGNORE, ClassTable
from tessera.instances import set_apart

BEYOND_PX = 1
"""How far an outline may reach beyond the picture: editors round."""

FAULTS_SHOWN = 5

Shape = tuple[int, int]
Where = tuple[np.ndarray, np.ndarray]
"""Rows and columns of pixels, of which some may come twice."""


@dataclass(frozen=True)
class Polygons:
    """What lies within at least one of several outlines.

    Parameters
    ----------
    outlines : sequence of (n, 2) float arrays
        Row and column of each corner.
    """

    outlines: Sequence[np.ndarray]

    def pixels(self, shape: Shape) -> Where:
        """The pixels within; `ValueError` if the picture does not hold the outline."""
        # Not as a mask of the whole picture: a thousand of those take minutes.
        parts = [np.zeros((2, 0), int)]
        for outline in self.outlines:
            if len(outline) < 3:
                raise ValueError(f"{len(outline)} corners make no area")
            beyond = (outline < -BEYOND_PX) | (outline > np.add(shape, BEYOND_PX))
            if not np.isfinite(outline).all() or beyond.any():
                row, column = outline[(beyond | ~np.isfinite(outline)).any(axis=1)][0]
                raise ValueError(
                    f"its corner at row {row:g}, column {column:g} is outside of the picture,"
                    f" {shape[0]} x {shape[1]} px"
                )
            parts.append(np.stack(polygon(*(outline.T - 0.5), shape)))
        rows, columns = np.concatenate(parts, axis=1)
        return rows, columns


@dataclass(frozen=True)
class Ellipse:
    """What lies within an ellipse; it may reach beyond the picture, but not its centre.

    Parameters
    ----------
    centre : (row, column)
    radii : (float, float)
        Along the columns and along the rows, before it is turned.
    angle : float
        Radians by which it is turned, from the columns' direction towards the rows': clockwise.
    """

    centre: tuple[float, float]
    radii: tuple[float, float]
    angle: float = 0.0

    def pixels(self, shape: Shape) -> Where:
        """The pixels within; `ValueError` if the centre is not in the picture."""
        (row, column), (along_columns, along_rows) = self.centre, self.radii
        if not (0 <= row <= shape[0] and 0 <= column <= shape[1]):
            raise ValueError(
                f"its centre at row {row:g}, column {column:g} is outside of the picture,"
                f" {shape[0]} x {shape[1]} px"
            )
        if not min(self.radii) > 0:
            raise ValueError(f"radii of {along_columns:g} and {along_rows:g} make no area")
        # scikit-image turns against the clock, within half a turn.
        turned = -((self.angle + np.pi / 2) % np.pi - np.pi / 2)
        return ellipse(row - 0.5, column - 0.5, along_rows, along_columns, shape, turned)


@dataclass(frozen=True)
class Pixels:
    """Pixels one by one.

    Parameters
    ----------
    inside : (rows, columns) bool array
    """

    inside: np.ndarray

    def pixels(self, shape: Shape) -> Where:
        """The pixels; `ValueError` if they are of another picture."""
        if self.inside.shape != tuple(shape):
            rows, columns = self.inside.shape
            raise ValueError(f"it is of {rows} x {columns} px, the picture {shape[0]} x {shape[1]}")
        return np.nonzero(self.inside)


@dataclass(frozen=True)
class Region:
    """One thing that was drawn.

    Parameters
    ----------
    place : str
        How errors name it, such as `region 3`.
    name : str
        The class, as the file says it.
    form : Polygons, Ellipse or Pixels
    """

    place: str
    name: str
    form: Polygons | Ellipse | Pixels


@dataclass(frozen=True)
class Picture:
    """What a file holds of one picture.

    Parameters
    ----------
    name : str
        Of the image, as the file says it.
    regions : sequence of Region
    shape : (rows, columns), optional
        Where the file says it.
    """

    name: str
    regions: Sequence[Region]
    shape: Shape | None = None


@dataclass(frozen=True)
class Drawing:
    """A mask made of regions.

    Parameters
    ----------
    codes : (rows, columns) uint8 array
    overlaid_px : int
        Pixels of one class, drawn over by another.
    swallowed : list of str
        Places of instances of which nothing but boundary is left.
    """

    codes: np.ndarray
    overlaid_px: int
    swallowed: list[str]


def draw(regions: Sequence[Region], shape: Shape, table: ClassTable) -> Drawing:
    """Draw regions into a mask.

    Parameters
    ----------
    regions : sequence of Region
        In the order of the file.
    shape : (rows, columns)
    table : ClassTable
        Gives names their codes, and what lies in no region its own. With `instances` that have a
        boundary, each region of that class is an instance.

    Raises
    ------
    ValueError
        With every region that has an unknown name, or does not fit into the picture.
    """
    codes = np.full(shape, table.undrawn, np.uint8)
    ids = np.zeros(shape, np.int32)
    drawn, overlaid = np.zeros(shape, bool), np.zeros(shape, bool)
    instance_code = table.instances.code if table.instances else None
    faults = []
    for number, region in sorted(enumerate(regions, 1), key=lambda of: of[1].name == table.ignore):
        try:
            code, where = table.code_of_region(region.name), region.form.pixels(shape)
        except ValueError as error:
            faults.append(f"{region.place}: {error}")
            continue
        if code != IGNORE:
            overlaid[where] |= drawn[where] & (codes[where] != code)
        codes[where], drawn[where] = code, True
        ids[where] = number if code == instance_code else 0
    if faults:
        more = len(faults) - FAULTS_SHOWN
        told = "; ".join(faults[:FAULTS_SHOWN])
        raise ValueError(f"{told}; and {more} more" if more > 0 else told)
    swallowed = set_apart(codes, ids, table.instances) if table.instances else []
    places = [regions[number - 1].place for number in swallowed]
    return Drawing(codes, int(overlaid.sum()), places)
