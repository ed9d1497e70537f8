"""What a cohort holds: sizes, grey levels, shares of classes and the size of their structures.

Shares and sizes are of all micrographs; what needs pixels is looked at in a sample of them, drawn
evenly from the list, so that a survey takes seconds and is the same each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tessera.classes import IGNORE
from tessera.pixel_sizes import AUTO, common_size, is_same, shape_at
from tessera.strips import Page, strips
from tessera.tiles import origins

SAMPLE = 24
BLOCK_PX = 128  # about a tile: what share of these is background alone, or not annotated
SMALLEST_STRUCTURE_PX = 4  # in area: specks of an annotator's brush
PERCENTILES = (0.5, 50, 99.5)


@dataclass(frozen=True)
class ClassFound:
    """Share of a class among annotated pixels, and the typical diameter of its structures.

    Half of the area of a class is in connected structures of this equivalent diameter or more;
    None for the background, and where there is none.
    """

    name: str
    share: float
    structure_px: float | None


@dataclass(frozen=True)
class Survey:
    """What a cohort holds.

    Parameters
    ----------
    shapes : sequence of (rows, columns)
        One a micrograph, as networks will see it.
    pixel_size_nm : float or None
        Median of those that are known.
    pixel_sizes_nm : (smallest, largest) or None
    grid_nm : float or None
        The size of pixels that shapes and structures are counted in: what all are brought to, or
        have anyway. None where each keeps its own.
    dtypes : sequence of str
    grey_levels : sequence of float
        At `PERCENTILES`, medians over the micrographs of the sample.
    classes : sequence of ClassFound
        The background first.
    background_blocks, empty_blocks : float
        Share of blocks that show background alone, and of those without an annotated pixel.
    """

    shapes: Sequence[tuple[int, int]]
    pixel_size_nm: float | None
    pixel_sizes_nm: tuple[float, float] | None
    grid_nm: float | None
    dtypes: Sequence[str]
    grey_levels: Sequence[float]
    classes: Sequence[ClassFound]
    background_blocks: float
    empty_blocks: float

    @property
    def short_side_px(self) -> int:
        """The shorter side of the typical micrograph."""
        return int(np.median([min(shape) for shape in self.shapes]))

    @property
    def structure_px(self) -> float | None:
        """The largest of the classes' typical diameters, the background left out."""
        known = [found.structure_px for found in self.classes[1:] if found.structure_px]
        return max(known, default=None)

    def tiles_used(self, size_px: int, stride_px: int, background_share: float) -> float:
        """About how many tiles training draws from, see `tiles.used_for_training`."""
        counts = [
            origins(rows, size_px, stride_px).size * origins(columns, size_px, stride_px).size
            for rows, columns in self.shapes
        ]
        tiles = sum(counts)
        background = tiles * self.background_blocks
        other = tiles * (1 - self.background_blocks - self.empty_blocks)
        if background_share < 1:
            background = min(background, other * background_share / (1 - background_share))
        return other + background

    def as_record(self) -> dict[str, Any]:
        """For the plan's file: plain values, rounded."""
        sides = np.sort([sorted(shape) for shape in self.shapes], axis=0)
        classes = {
            found.name: {
                "share": _rounded(found.share),
                "structure_px": _rounded(found.structure_px, 3),
            }
            for found in self.classes
        }
        return {
            "micrographs": len(self.shapes),
            "smallest_px": [int(side) for side in sides[0]],
            "typical_px": [int(side) for side in np.median(sides, axis=0)],
            "largest_px": [int(side) for side in sides[-1]],
            "pixel_size_nm": self.pixel_size_nm,
            "pixel_sizes_nm": [_rounded(size) for size in self.pixel_sizes_nm or ()] or None,
            "dtypes": list(self.dtypes),
            "grey_levels": {
                f"p{at:g}": _rounded(level)
                for at, level in zip(PERCENTILES, self.grey_levels, strict=True)
            },
            "classes": classes,
            "background_blocks": _rounded(self.background_blocks),
        }


def survey(
    micrographs: pd.DataFrame,
    masks: pd.DataFrame,
    classes: Sequence[str],
    sample: Iterable[tuple[Page, Page]],
    pixel_size_nm: float | str = AUTO,
) -> Survey:
    """Sum up a cohort.

    Parameters
    ----------
    micrographs, masks : DataFrame
        Rows of the tables that `ingest` and `annotate` write, of the cohort alone.
    classes : sequence of str
    sample : iterable of (micrograph, mask) pages
        Recorded pixels and class codes of those in `sampled`.
    pixel_size_nm : float or {'auto', 'keep'}
        What they will be brought to, see `pixel_sizes.common_size`.
    """
    common_nm = common_size(pixel_size_nm, micrographs["pixel_size_nm"])
    shapes = [(int(row.rows), int(row.columns)) for row in micrographs.itertuples()]
    seen = [
        shape_at(shape, size_nm, common_nm)
        for shape, size_nm in zip(shapes, micrographs["pixel_size_nm"], strict=True)
    ]
    pixels = masks[[f"{name}_px" for name in classes]].sum().to_numpy(float)
    shares = pixels / max(pixels.sum(), 1)
    levels, areas, blocks = [], [[] for _ in classes], []
    for index, (page, codes) in zip(sampled(len(shapes)), sample, strict=True):
        share = seen[index][0] / shapes[index][0]
        levels.append(np.percentile(page[::4, ::4], PERCENTILES))
        blocks.append(_blocks(codes, max(1, round(BLOCK_PX / share))))
        for code, found in enumerate(structure_areas(codes, len(classes))):
            areas[code].append(found * share**2)
    typical = [None, *(typical_diameter(np.concatenate(found)) for found in areas[1:])]
    known = micrographs["pixel_size_nm"].dropna()
    background, empty = np.concatenate(blocks).mean(axis=0)
    return Survey(
        shapes=seen,
        pixel_size_nm=float(f"{known.median():.6g}") if len(known) else None,
        pixel_sizes_nm=(known.min(), known.max()) if len(known) else None,
        grid_nm=common_nm if common_nm is not None else _one_size(micrographs["pixel_size_nm"]),
        dtypes=sorted(set(micrographs["dtype"])),
        grey_levels=np.median(levels, axis=0).tolist(),
        classes=[ClassFound(*row) for row in zip(classes, shares.tolist(), typical, strict=True)],
        background_blocks=float(background),
        empty_blocks=float(empty),
    )


def sampled(number: int) -> list[int]:
    """Which of so many micrographs are looked at.

    Examples
    --------
    >>> sampled(3)
    [0, 1, 2]
    >>> len(sampled(1000)), sampled(1000)[-1]
    (24, 999)
    """
    return sorted({round(at) for at in np.linspace(0, number - 1, min(number, SAMPLE))})


def structure_areas(codes: Page, n_classes: int) -> list[np.ndarray]:
    """Areas, in pixels, of the connected structures of each class of a mask, without specks.

    The background has none.

    Examples
    --------
    >>> [areas.tolist() for areas in structure_areas(np.ones((2, 3), np.uint8), 2)]
    [[], [6]]
    """
    pieces = [Pieces() for _ in range(1, n_classes)]
    for strip in strips(codes):
        for code, of_class in enumerate(pieces, 1):
            of_class.add(strip == code)
    areas = [np.zeros(0, int), *(of_class.areas() for of_class in pieces)]
    return [found[found >= SMALLEST_STRUCTURE_PX] for found in areas]


class Pieces:
    """Connected structures of a mask that comes strip by strip: by their edges, not corners."""

    def __init__(self) -> None:
        self._areas: list[np.ndarray] = []
        self._joined: list[np.ndarray] = [np.zeros((2, 0), int)]
        self._n_pieces = 0
        self._last: np.ndarray | None = None

    def add(self, strip: np.ndarray) -> None:
        """Take the next (rows, columns) bool strip."""
        # Here and not above: every job that reads a plan would import it.
        from scipy import ndimage

        labels, n_pieces = ndimage.label(strip)
        self._areas.append(np.bincount(labels.ravel(), minlength=n_pieces + 1)[1:])
        # Numbers of all strips together; int64, since there may be more than a strip has pixels.
        first, last = (_numbered(labels[row], self._n_pieces) for row in (0, -1))
        if self._last is not None:
            both = (self._last >= 0) & (first >= 0)
            self._joined.append(np.unique(np.stack([self._last[both], first[both]]), axis=1))
        self._last, self._n_pieces = last, self._n_pieces + n_pieces

    def areas(self) -> np.ndarray:
        """Areas of the structures, in no order that means anything."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        areas, (one, other) = np.concatenate(self._areas), np.concatenate(self._joined, axis=1)
        if not one.size:
            return areas
        joined = coo_array((np.ones(one.size, bool), (one, other)), shape=(areas.size,) * 2)
        _, structure = connected_components(joined, directed=False)
        return np.bincount(structure, areas).astype(int)


def _numbered(labels: np.ndarray, before: int) -> np.ndarray:
    """Labels of a strip as numbers from 0 in all strips; -1 where there is none."""
    return np.where(labels > 0, labels.astype(np.int64) + before - 1, -1)


def typical_diameter(areas: np.ndarray) -> float | None:
    """Diameter of the disc above which half of the whole area lies.

    Examples
    --------
    >>> typical_diameter(np.array([1, 1, 1, 314]))
    19.99
    """
    if not areas.size:
        return None
    areas = np.sort(areas)
    middle = areas[np.searchsorted(np.cumsum(areas), areas.sum() / 2)]
    return round(float(np.sqrt(4 * middle / np.pi)), 2)


def _one_size(sizes_nm: pd.Series) -> float | None:
    if sizes_nm.isna().any() or not is_same(sizes_nm.min(), sizes_nm.max()):
        return None
    return float(sizes_nm.median())


def _blocks(codes: Page, side_px: int) -> np.ndarray:
    """(blocks, 2): whether a block is background alone, and whether it is not annotated at all."""
    found = []
    for row in origins(codes.shape[0], side_px, side_px):
        band = np.asarray(codes[row : row + side_px])
        for column in origins(codes.shape[1], side_px, side_px):
            block = band[:, column : column + side_px]
            annotated = block[block != IGNORE]
            found.append((annotated.size > 0 and not annotated.any(), annotated.size == 0))
    return np.array(found, float)


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")
