"""Micrographs of polycrystals, with a mask of their grain boundaries that is exact.

Grains are the Voronoi cells of random points, each of its own grey. The boundaries between them are
lines of one to three pixels, darker or brighter than the grains, each pair of grains with its own
contrast. Everything random comes from the Generator that is given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from tessera.optics import count_electrons, illumination


@dataclass(frozen=True)
class GrainSpecimen:
    """What sets the micrographs of one polycrystal apart.

    Parameters
    ----------
    grain_diameter_nm : float
        Diameter of the disc that has the mean area of a grain.
    boundary_contrast : float
        Mean grey of the boundaries less that of the grains, relative to it; negative is dark.
    dose_e_per_nm2 : float
        Electrons that the detector counts from a mean grain.
    boundary_width_px : float
        1 .. 3.
    grain_contrast : float
        Relative standard deviation of the grey from grain to grain.
    light_slope : float
        See `optics.illumination`.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    grain_diameter_nm: float
    boundary_contrast: float
    dose_e_per_nm2: float
    boundary_width_px: float = 2.0
    grain_contrast: float = 0.1
    light_slope: float = 0.1

    def __post_init__(self) -> None:
        for name in ("grain_diameter_nm", "dose_e_per_nm2"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("grain_contrast", "light_slope"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 1 <= self.boundary_width_px <= 3:
            raise ValueError(f"boundary_width_px must be 1 to 3, got {self.boundary_width_px}")


def grain_micrograph(
    specimen: GrainSpecimen,
    shape: tuple[int, int],
    pixel_size_nm: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Micrograph of a polycrystal: the Voronoi cells of random points.

    Parameters
    ----------
    specimen : GrainSpecimen
    shape : (rows, columns)
    pixel_size_nm : float
    rng : Generator

    Returns
    -------
    image : (rows, columns) uint16 array
        Electron counts.
    mask : (rows, columns) uint8 array
        1 on boundaries, which are `boundary_width_px` wide, and 0 in grains.
    """
    diameter_px = specimen.grain_diameter_nm / pixel_size_nm
    seeds_px = _grain_seeds(shape, diameter_px, rng)
    pixels = np.indices(shape).reshape(2, -1).T
    distance_px, grain = cKDTree(seeds_px).query(pixels, k=2)
    apart_px = np.hypot(*(seeds_px[grain[:, 0]] - seeds_px[grain[:, 1]]).T)
    # Distance to the bisector of the two nearest seeds, exact on both sides of it.
    to_boundary_px = (distance_px[:, 1] ** 2 - distance_px[:, 0] ** 2) / (2 * apart_px)
    mask = (to_boundary_px < specimen.boundary_width_px / 2).reshape(shape)
    grey = 1 + specimen.grain_contrast * rng.standard_normal(len(seeds_px))
    pair = np.sort(grain, axis=1) @ (len(seeds_px), 1)
    _, boundary = np.unique(pair, return_inverse=True)
    strength = specimen.boundary_contrast * rng.uniform(0.4, 1.6, boundary.max() + 1)
    relief = grey[grain[:, 0]].reshape(shape) + mask * strength[boundary].reshape(shape)
    light = illumination(shape, specimen.light_slope, rng)
    blurred = ndimage.gaussian_filter(relief, 0.5) * light
    image = count_electrons(blurred, specimen.dose_e_per_nm2, pixel_size_nm, rng)
    return image, mask.astype(np.uint8)


def _grain_seeds(
    shape: tuple[int, int], diameter_px: float, rng: np.random.Generator
) -> np.ndarray:
    """(seeds, 2) points, also around the frame so that grains at its edge are like the others."""
    margin_px = 2 * diameter_px
    extent_px = np.array(shape) + 2 * margin_px
    number = max(2, round(extent_px.prod() / (np.pi * diameter_px**2 / 4)))
    return rng.uniform(0, extent_px, size=(number, 2)) - margin_px
