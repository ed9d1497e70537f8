"""Landmarks: places of a micrograph that are found again in another micrograph of the same area.

A landmark is an extreme of the band-passed micrograph, described by the signs of the 63 lowest
spatial frequencies of its surroundings: a perceptual hash, as `fingerprints` makes one of the whole
(Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). It survives
another brightness, contrast, bit depth and noise. Surroundings are turned and mirrored into one
standard pose first, so that the hash is the same in a micrograph turned by a right angle.

Landmarks are looked for on grids of 2 ** octave pixels and, where the pixel size is known, of
2 ** octave nanometres, so that micrographs of different sizes, or of different pixel sizes, have
grids in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter, maximum_filter, uniform_filter
from skimage.transform import resize

from tessera.reduction import area_mean
from tessera.strips import Page

LARGEST, SMALLEST, OCTAVES = 1024, 192, 3
"""Cells along the longer side of a micrograph on its finest grid, at most; on its coarsest, at
least, unless it is the only one; and how many grids there are, of pixels and of nanometres each."""

FINEST_CELL_PX = 0.5
"""A small micrograph is enlarged, so that more of it is far enough from its edges."""

MOST = 240
"""Landmarks on the finest grid, the strongest; half as many on each coarser one."""

FINE, COARSE = 3.5, 7.0
"""Standard deviations, in cells, of the Gaussians whose difference has the extremes."""

SHADING = 61
"""Cells over which grey levels are averaged, twice: taken for uneven illumination."""

APART = 8
WEAKEST = 0.5
"""An extreme is no landmark below so many standard deviations of the band-passed micrograph."""

OFFSETS = np.arange(-30, 31, 4)
FREQUENCIES = 8
DOUBTS = 4
KEY_BITS = 32
"""The lowest frequencies, which landmarks are looked up by."""


def _by_frequency() -> tuple[np.ndarray, np.ndarray]:
    """Row and column frequencies of the bits, the lowest first; the mean says nothing."""
    down, across = (axis.ravel()[1:] for axis in np.indices((FREQUENCIES, FREQUENCIES)))
    order = np.lexsort((down, np.maximum(down, across), down**2 + across**2))
    return down[order], across[order]


DOWN, ACROSS = _by_frequency()

TRANSPOSED, ROWS_MIRRORED, COLUMNS_MIRRORED = 4, 2, 1
POSES = 8
"""Bits of a pose: first transposed, then rows, then columns mirrored."""


@dataclass(frozen=True)
class Grid:
    """Square cells of 2 ** octave nm where `calibrated`, else of 2 ** octave pixels."""

    calibrated: bool
    octave: int

    def shape(self, page: tuple[int, int], pixel_size_nm: float) -> tuple[int, int]:
        """(rows, columns) that a page of a shape in pixels has on this grid."""
        cell_px = 2.0**self.octave / (pixel_size_nm if self.calibrated else 1)
        rows, columns = (max(1, round(side / cell_px)) for side in page)
        return rows, columns


def landmarks(page: Page, pixel_size_nm: float) -> pd.DataFrame:
    """The landmarks of a micrograph on all its grids.

    Parameters
    ----------
    page : (rows, columns) page
    pixel_size_nm : float
        NaN where it is unknown.

    Returns
    -------
    DataFrame
        calibrated, octave (see `Grid`); row, column (on that grid); pose (see `matrices`);
        code (uint64, a bit a frequency), doubts (uint64: the `DOUBTS` bits of the key that are
        nearest to being others). Empty for a micrograph that is constant or not finite.
    """
    found = []
    for calibrated in (False, True)[: 1 + np.isfinite(pixel_size_nm)]:
        reduced = page
        for finer, grid in enumerate(grids(page.shape, pixel_size_nm, calibrated)):
            # Each from the one before: the whole page is gone through once for all of them.
            reduced = _resized(reduced, grid.shape(page.shape, pixel_size_nm))
            of_grid = _of_grid(reduced, MOST >> finer)
            found.append(of_grid.assign(calibrated=calibrated, octave=np.int8(grid.octave)))
    return pd.concat(found, ignore_index=True)


def grids(shape: tuple[int, int], pixel_size_nm: float, calibrated: bool) -> list[Grid]:
    """The grids of a micrograph of (rows, columns) pixels, the finest first.

    Examples
    --------
    >>> [grid.octave for grid in grids((2048, 2048), 0.5, calibrated=False)]
    [1, 2, 3]
    >>> [grid.octave for grid in grids((2048, 2048), 0.5, calibrated=True)]
    [0, 1, 2]
    """
    cell_px = max(FINEST_CELL_PX, max(shape) / LARGEST)
    # A hair below, lest rounding makes the next octave of a whole one.
    first = math.ceil(math.log2(cell_px * (pixel_size_nm if calibrated else 1)) - 1e-9)
    all_of_them = [Grid(calibrated, octave) for octave in range(first, first + OCTAVES)]
    large = [grid for grid in all_of_them if max(grid.shape(shape, pixel_size_nm)) >= SMALLEST]
    return large or all_of_them[:1]


def _resized(page: Page, shape: tuple[int, int]) -> np.ndarray:
    if shape[0] <= page.shape[0] and shape[1] <= page.shape[1]:
        return area_mean(page, shape)
    return resize(np.asarray(page, np.float32), shape, order=1)


def _of_grid(page: np.ndarray, most: int) -> pd.DataFrame:
    """Landmarks of a page that is on its grid already: row, column, pose, code, doubts."""
    rows, columns = np.zeros((2, 0), int)
    surroundings = np.zeros((0, OFFSETS.size, OFFSETS.size), np.float32)
    if np.isfinite(page).all() and page.min() < page.max():
        fine = gaussian_filter(page, FINE)
        rows, columns = _extremes(fine - gaussian_filter(page, COARSE), most)
        fine -= uniform_filter(uniform_filter(page, SHADING), SHADING)  # a Gaussian's, but cheap
        down, across = OFFSETS[:, None], OFFSETS[None, :]
        surroundings = fine[rows[:, None, None] + down, columns[:, None, None] + across]
    spectra, poses = _standard_pose(_spectra(surroundings))
    values = spectra[:, DOWN, ACROSS]
    return pd.DataFrame(
        {
            "row": rows.astype(np.float32),
            "column": columns.astype(np.float32),
            "pose": poses,
            "code": _packed(values > 0),
            "doubts": _packed(_least(np.abs(values[:, :KEY_BITS]))),
        }
    )


def _extremes(band: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the strongest extremes, far enough from the edges to be described."""
    strength = np.abs(band)
    highest = maximum_filter(strength, 2 * APART + 1)
    is_extreme = (strength == highest) & (strength > WEAKEST * band.std())
    margin = -OFFSETS[0]
    inner = np.zeros_like(is_extreme)
    inner[margin:-margin, margin:-margin] = True
    rows, columns = np.nonzero(is_extreme & inner)
    strongest = np.argsort(-strength[rows, columns], kind="stable")[:most]
    return rows[strongest], columns[strongest]


def _spectra(surroundings: np.ndarray) -> np.ndarray:
    """(n, FREQUENCIES, FREQUENCIES) cosine spectra, the middle counting more than the edges."""
    window = np.exp(-((OFFSETS / -OFFSETS[0]) ** 2))
    weights = window[:, None] * window
    means = (surroundings * weights).sum((1, 2), keepdims=True) / weights.sum()
    spectra = dctn((surroundings - means) * weights, axes=(1, 2), norm="ortho")
    return spectra[:, :FREQUENCIES, :FREQUENCIES]


def _standard_pose(spectra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spectra as they were if grey levels rose to the right, less so downwards; and the poses."""
    transposed = np.abs(spectra[:, 1, 0]) > np.abs(spectra[:, 0, 1])
    spectra = np.where(transposed[:, None, None], spectra.swapaxes(1, 2), spectra)
    rows_mirrored, columns_mirrored = spectra[:, 1, 0] < 0, spectra[:, 0, 1] < 0
    odd = np.where(np.arange(FREQUENCIES) % 2, -1, 1)
    spectra = np.where(rows_mirrored[:, None, None], spectra * odd[:, None], spectra)
    spectra = np.where(columns_mirrored[:, None, None], spectra * odd, spectra)
    poses = transposed * TRANSPOSED + rows_mirrored * ROWS_MIRRORED
    return spectra, (poses + columns_mirrored * COLUMNS_MIRRORED).astype(np.uint8)


def matrices(poses: np.ndarray) -> np.ndarray:
    """(n, 2, 2) matrices that bring (row, column) into the standard pose.

    Examples
    --------
    >>> matrices(np.array([TRANSPOSED + ROWS_MIRRORED]))[0].tolist()
    [[0, -1], [1, 0]]
    """
    poses = np.asarray(poses)
    swap, identity = np.array([[0, 1], [1, 0]]), np.eye(2, dtype=int)
    swapped = np.where((poses & TRANSPOSED > 0)[:, None, None], swap, identity)
    signs = [1 - 2 * (poses & bit > 0) for bit in (ROWS_MIRRORED, COLUMNS_MIRRORED)]
    return np.stack(signs, axis=1)[:, :, None] * swapped


def _packed(bits: np.ndarray) -> np.ndarray:
    """(n,) uint64 of (n, up to 64) bits, the first the lowest."""
    values = np.uint64(1) << np.arange(bits.shape[1], dtype=np.uint64)
    return (bits * values).sum(axis=1, dtype=np.uint64)


def _least(sizes: np.ndarray) -> np.ndarray:
    """Which of each row are its `DOUBTS` smallest."""
    rank = np.argsort(np.argsort(sizes, axis=1, kind="stable"), axis=1, kind="stable")
    return rank < DOUBTS
