"""Regions drawn as outlines, and the masks that they make.

Coordinates count pixels from the upper left corner of the picture, so that the centre of the first
pixel is (0.5, 0.5); a pixel belongs to a region if its centre lies inside, or on the outline. An
outline that crosses itself holds what a line from outside reaches over an odd number of crossings.
Regions are drawn in the order of the file, so where two overlap the later one counts; those to be
ignored come last and win.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from skimage.draw import ellipse, polygon
from skimage.measure import points_in_poly

from tessera.classes import IGNORE, ClassTable
from tessera.instances import Fates, set_apart, swallowed
from tessera.joining import spread
from tessera.runs import Runs, Where, runs_of
from tessera.strips import Page, made

BEYOND_PX = 1
"""How far an outline may reach beyond the picture: editors round."""

FAULTS_SHOWN = 5

PIECE_PX = 2**21
"""Of a large region, how many pixels are looked at at once."""

Shape = tuple[int, int]


@dataclass(frozen=True)
class Polygons:
    """What lies within at least one of several outlines.

    Parameters
    ----------
    outlines : sequence of (n, 2) float arrays
        Row and column of each corner.
    """

    outlines: Sequence[np.ndarray]

    def pieces(self, shape: Shape) -> Iterator[Where]:
        """The pixels within; `ValueError` if the picture does not hold the outline."""
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
            yield from within(outline - 0.5, shape)


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

    def pieces(self, shape: Shape) -> Iterator[Where]:
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
        yield ellipse(row - 0.5, column - 0.5, along_rows, along_columns, shape, turned)


@dataclass(frozen=True)
class Pixels:
    """Pixels one by one, as run lengths down one column after the other.

    Parameters
    ----------
    shape : (rows, columns)
    counts : (runs,) int array
        How many pixels are outside, inside, outside ...; all together those of the shape.
    """

    shape: Shape
    counts: np.ndarray

    def pieces(self, shape: Shape) -> Iterator[Where]:
        """The pixels; `ValueError` if they are of another picture."""
        if tuple(self.shape) != tuple(shape):
            rows, columns = self.shape
            raise ValueError(f"it is of {rows} x {columns} px, the picture {shape[0]} x {shape[1]}")
        ends = np.cumsum(self.counts)
        last = ends[1::2][-1] if len(ends) > 1 else 0
        # Whole columns at a time, as many as make a piece.
        step = shape[0] * max(1, PIECE_PX // shape[0])
        for start in range(ends[0] // shape[0] * shape[0], last, step):
            cut = np.clip(ends, start, start + step)
            lengths = np.diff(cut, prepend=start)[1::2]
            which, along = spread(lengths)
            columns, rows = np.divmod((cut[0::2][: lengths.size])[which] + along, shape[0])
            yield rows, columns


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
    codes : (rows, columns) uint8 page
    overlaid_px : int
        Pixels of one class, drawn over by another.
    swallowed : list of str
        Places of instances of which nothing but boundary is left.
    """

    codes: Page
    overlaid_px: int
    swallowed: list[str]


def within(outline: np.ndarray, shape: Shape) -> Iterator[Where]:
    """The pixels whose centres lie in an outline, (n, 2) rows and columns, or on it.

    Of a large one a few rows at a time, by the same test as scikit-image makes it of all.
    """
    low, high = np.floor(outline.min(axis=0)), np.ceil(outline.max(axis=0)) + 1
    (top, left), (end, right) = np.clip([low, high], 0, shape).astype(int)
    # Not as a mask of the whole picture: a thousand of those take minutes.
    if (end - top) * (right - left) <= PIECE_PX:
        yield polygon(*outline.T, shape)
        return
    step = max(1, PIECE_PX // (right - left))
    for first in range(top, end, step):
        rows, columns = np.mgrid[first : min(first + step, end), left:right].reshape(2, -1)
        inside = points_in_poly(np.column_stack([columns, rows]), outline[:, ::-1])
        yield rows[inside], columns[inside]


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
    faults, found = [], []
    for number, region in sorted(enumerate(regions, 1), key=lambda of: of[1].name == table.ignore):
        try:
            code = table.code_of_region(region.name)
            found.append((number, code, runs_of(region.form.pieces(shape))))
        except ValueError as error:
            faults.append(f"{region.place}: {error}")
    if faults:
        more = len(faults) - FAULTS_SHOWN
        told = "; ".join(faults[:FAULTS_SHOWN])
        raise ValueError(f"{told}; and {more} more" if more > 0 else told)
    codes, said = made(shape, np.uint8, partial(_strip, found, shape, table))
    overlaid, fates = zip(*said, strict=True)
    places = [regions[number - 1].place for number in swallowed(fates)]
    return Drawing(codes, sum(overlaid), places)


def _strip(
    regions: Sequence[tuple[int, int, Runs]], shape: Shape, table: ClassTable, top: int, end: int
) -> tuple[np.ndarray, tuple[int, Fates]]:
    """Codes of a strip of rows, how many pixels are overlaid there, and what instances are left.

    Drawn is a row more on both sides, which says what the instances of the strip touch.
    """
    above, below = max(top - 1, 0), min(end + 1, shape[0])
    size = (below - above) * shape[1]
    codes, ids = np.full(size, table.undrawn, np.uint8), np.zeros(size, np.int32)
    drawn, overlaid = np.zeros(size, bool), np.zeros(size, bool)
    instance_code = table.instances.code if table.instances else None
    for number, code, runs in regions:
        first, last = runs.span
        if first >= below or last <= above:
            continue
        where = runs.places(above, below, shape[1])
        if code != IGNORE:
            overlaid[where] |= drawn[where] & (codes[where] != code)
        codes[where], drawn[where] = code, True
        ids[where] = number if code == instance_code else 0
    codes, ids, overlaid = (of.reshape(-1, shape[1]) for of in (codes, ids, overlaid))
    strip = slice(top - above, end - above)
    fates = set_apart(codes, ids, table.instances, strip)
    return codes[strip], (int(overlaid[strip].sum()), fates)
