"""Illumination: a smooth surface through a micrograph, to be taken out of it and put back.

The surface is found from means over the cells of a coarse grid, so that no more than a strip of the
micrograph is in memory; what it is at a pixel depends on the pixel's place alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial.legendre import legvander
from scipy.ndimage import gaussian_filter

from tessera.methods import DIVIDE, GAUSSIAN, POLYNOMIAL, SUBTRACT
from tessera.strips import LazyPage, Page, block_rows, spans, strips

CELLS = 64
"""Cells a side, of a polynomial."""
CELLS_A_SIGMA = 8
"""Of a Gaussian: straight lines between the cells miss its waves by 0.2 % of their height."""
FINEST = 0.05
"""The least sigma, in shorter sides: what is finer is no illumination, and would fill the table."""
DARKEST = 0.01
"""By a surface that falls below this share of the mean nothing is divided."""
DIGITS = 9


@dataclass(frozen=True)
class Surface:
    """A smooth surface over a page.

    Parameters
    ----------
    kind : {'polynomial', 'gaussian'}
    by : {'subtract', 'divide'}
        How it is taken out.
    level : float
        Mean grey level of the page, which stays.
    values : (n, m) float array
        Coefficients of products of Legendre polynomials, down and across a page that reaches from
        -1 to 1; or grey levels at the centres of cells, with straight lines between them.
    """

    kind: str
    by: str
    level: float
    values: np.ndarray

    def at(self, shape: tuple[int, int], rows: slice) -> np.ndarray:
        """(rows, columns) float64 grey levels of the surface in some rows of a page."""
        if self.kind == GAUSSIAN:
            return _between(_between(self.values, shape[0], rows).T, shape[1], slice(None)).T
        down, across = (_legendre(n, len(self.values) - 1) for n in shape)
        # Term by term: a product of matrices may depend on their size in its last bits.
        left = sum(down[rows, j, None] * of for j, of in enumerate(self.values))
        return sum(left[:, k, None] * across[:, k] for k in range(left.shape[1]))

    def taken_out(self, page: Page) -> LazyPage:
        """A page without the surface, in float32, of the same mean grey level."""
        return self._made(page, self._flattened)

    def put_back(self, page: Page) -> LazyPage:
        """The inverse of `taken_out`."""
        return self._made(page, self._lit)

    def _made(
        self, page: Page, function: Callable[[np.ndarray, np.ndarray], np.ndarray]
    ) -> LazyPage:
        def rows_of(top: int, end: int) -> np.ndarray:
            surface = self.at(page.shape, slice(top, end))
            return function(np.asarray(page[top:end], np.float64), surface).astype(np.float32)

        return LazyPage(page.shape, np.float32, rows_of, block_rows(page))

    def _flattened(self, grey: np.ndarray, surface: np.ndarray) -> np.ndarray:
        if self.by == SUBTRACT:
            return grey - surface + self.level
        return grey / surface * self.level

    def _lit(self, flat: np.ndarray, surface: np.ndarray) -> np.ndarray:
        if self.by == SUBTRACT:
            return flat + surface - self.level
        return flat * surface / self.level

    def as_record(self) -> dict[str, Any]:
        """Cells of a table, from which `of_record` makes it again."""
        names = ("surface", "surface_by", "surface_level", "surface_values")
        values = json.dumps(self.values.tolist(), separators=(",", ":"))
        return dict(zip(names, (self.kind, self.by, self.level, values), strict=True))

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Surface:
        """The surface that `as_record` has written down."""
        values = np.array(json.loads(record["surface_values"]), float)
        level = float(record["surface_level"])
        return cls(record["surface"], record["surface_by"], level, values)


def polynomial(page: Page, degree: int, by: str) -> Surface:
    """The polynomial in two variables that is nearest to a page, by least squares.

    Parameters
    ----------
    page : (rows, columns) page
    degree : int
        Of a term in both variables together.
    by : {'subtract', 'divide'}

    Raises
    ------
    ValueError
        If the surface is too dark to divide by.
    """
    edges = [_edges(side, min(side, CELLS)) for side in page.shape]
    means = cell_means(page, *edges)
    sizes = [np.diff(of) for of in edges]
    down, across = (
        np.add.reduceat(_legendre(side, degree), of[:-1]) / size[:, None]
        for side, of, size in zip(page.shape, edges, sizes, strict=True)
    )
    weights = np.sqrt(np.outer(*sizes))
    terms = [(j, k) for j in range(degree + 1) for k in range(degree + 1 - j)]
    design = [(weights * np.outer(down[:, j], across[:, k])).ravel() for j, k in terms]
    found, *_ = np.linalg.lstsq(np.stack(design, 1), (weights * means).ravel(), rcond=None)
    values = np.zeros((degree + 1, degree + 1))
    values[tuple(zip(*terms, strict=True))] = found
    return _checked(Surface(POLYNOMIAL, by, _level(means, sizes), _short(values)), page)


def gaussian(page: Page, sigma_px: float, by: str) -> Surface:
    """A page under a wide Gaussian, mirrored at its edges.

    Parameters
    ----------
    page : (rows, columns) page
    sigma_px : float
        At least `FINEST` of the shorter side.
    by : {'subtract', 'divide'}

    Raises
    ------
    ValueError
        If sigma is less, or the surface too dark to divide by.
    """
    least = FINEST * min(page.shape)
    if sigma_px < least:
        what = f"a sigma of {sigma_px:.4g} px is below {least:.4g} px, {FINEST:.0%} of the"
        raise ValueError(f"{what} shorter side: that is no illumination (normalise: flatten)")
    counts = [min(side, -(-int(CELLS_A_SIGMA * side) // int(sigma_px + 1))) for side in page.shape]
    edges = [_edges(side, max(1, count)) for side, count in zip(page.shape, counts, strict=True)]
    means = cell_means(page, *edges)
    in_cells = [sigma_px * n / side for n, side in zip(means.shape, page.shape, strict=True)]
    values = gaussian_filter(means, in_cells, mode="reflect")
    level = _level(means, [np.diff(of) for of in edges])
    return _checked(Surface(GAUSSIAN, by, level, _short(values)), page)


def cell_means(page: Page, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """(n, m) means of a page over cells between edges, in float64.

    Parameters
    ----------
    page : (rows, columns) page
    down, across : (n + 1,) and (m + 1,) int arrays
        Edges of the cells, from 0 to the side.

    Examples
    --------
    >>> cell_means(np.array([[1, 3, 5], [1, 3, 5]]), np.array([0, 2]), np.array([0, 2, 3]))
    array([[2., 5.]])
    """
    sums = np.zeros((len(down) - 1, page.shape[1]))
    cell = np.repeat(np.arange(len(sums)), np.diff(down))
    row = 0
    for strip in strips(page):
        for line in strip:  # one by one, so that the height of strips changes no sum
            sums[cell[row]] += line
            row += 1
    return np.add.reduceat(sums, across[:-1], axis=1) / np.outer(np.diff(down), np.diff(across))


def _checked(surface: Surface, page: Page) -> Surface:
    if surface.by == DIVIDE:
        darkest = min(surface.at(page.shape, rows).min() for rows in spans(page))
        if not darkest > DARKEST * surface.level:
            what = f"the illumination falls to {darkest:.4g}, the mean grey level is"
            what += f" {surface.level:.4g}: it cannot be divided by; subtract it"
            raise ValueError(f"{what} (normalise: flatten: by)")
    return surface


def _level(means: np.ndarray, sizes: list[np.ndarray]) -> float:
    return float(_short(np.average(means, weights=np.outer(*sizes))))


def _short(values: np.ndarray) -> np.ndarray:
    """Numbers as short as the table has them, so that it gives back the same surface."""
    return np.vectorize(lambda value: float(f"{value:.{DIGITS}g}"), otypes=[float])(values)


def _edges(side: int, count: int) -> np.ndarray:
    return np.linspace(0, side, count + 1).round().astype(int)


def _legendre(side: int, degree: int) -> np.ndarray:
    """(side, degree + 1) values of the polynomials at the pixels of a side."""
    return legvander((2 * np.arange(side) + 1) / side - 1, degree)


def _between(values: np.ndarray, side: int, span: slice) -> np.ndarray:
    """Values at the centres of the cells of a side, at each of its pixels in a span."""
    edges = _edges(side, len(values))
    centres = (edges[:-1] + edges[1:] - 1) / 2
    place = np.interp(np.arange(side)[span], centres, np.arange(len(centres)))
    low = np.floor(place).astype(int)
    share = (place - low)[:, None]
    return values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share
