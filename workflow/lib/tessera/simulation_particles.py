"""Micrographs of gold particles on an amorphous support, with a mask that is exact.

Modelled on the high-resolution micrographs of Horwath et al., "Understanding important features of
deep learning models for segmentation of high-resolution transmission electron microscopy images",
DOI 10.1038/s41524-020-00363-x: speckle, weak contrast and uneven light hide the particles from a
global threshold. Everything random comes from the Generator that is given.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy import ndimage

from tessera.optics import (
    Optics,
    bright_field,
    count_electrons,
    illumination,
    interaction_rad_per_v_nm,
)

GOLD_111_NM = 0.2355
GOLD_INNER_POTENTIAL_V = 30.0
ATOM_RADIUS_NM = 0.06
SUPPORT_ABSORPTION = 0.25
SUPPORT_WAVELENGTH_NM = 12.0
FIELD_MARGIN_PX = 32

MAY_BE_ZERO = (
    "contrast_per_nm",
    "radius_spread",
    "coverage",
    "speckle_rad",
    "support_roughness",
    "light_slope",
)


@dataclass(frozen=True)
class ParticleSpecimen:
    """What sets the micrographs of one specimen of particles apart.

    Parameters
    ----------
    radius_nm : float
        Median radius of the disc that has the area of a particle.
    contrast_per_nm : float
        Absorption mu of gold: the intensity falls by exp(-mu t) in t nm of it.
    dose_e_per_nm2 : float
        Incident electrons.
    radius_spread : float
        Standard deviation of the logarithm of the radius.
    coverage : float
        Fraction of the area under particles, 0 .. 0.3; less where no room is left for more.
    speckle_rad : float
        Root mean square phase of the amorphous support.
    support_roughness : float
        Relative standard deviation of the support's thickness, over nanometres.
    light_slope : float
        See `optics.illumination`.
    defocus_nm : float
        Underfocus is positive.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    radius_nm: float
    contrast_per_nm: float
    dose_e_per_nm2: float
    radius_spread: float = 0.25
    coverage: float = 0.28
    speckle_rad: float = 0.08
    support_roughness: float = 0.2
    light_slope: float = 0.12
    defocus_nm: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 0 if field.name in MAY_BE_ZERO else np.finfo(float).tiny
            value = getattr(self, field.name)
            if field.name != "defocus_nm" and not value >= least:
                raise ValueError(f"{field.name} must be positive, got {value}")
        # Discs thrown at random, none nearer to another than here, jam at about 0.35.
        if self.coverage > 0.3:
            raise ValueError(f"coverage must be at most 0.3, got {self.coverage}")


def particle_micrograph(
    specimen: ParticleSpecimen,
    shape: tuple[int, int],
    pixel_size_nm: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Bright-field micrograph of gold particles on an amorphous support.

    Parameters
    ----------
    specimen : ParticleSpecimen
    shape : (rows, columns)
    pixel_size_nm : float
        Lattice fringes appear where two pixels or more fall on one spacing.
    rng : Generator

    Returns
    -------
    image : (rows, columns) uint16 array
        Electron counts.
    mask : (rows, columns) uint8 array
        1 inside the outline of a particle, else 0.
    """
    # What lies outside the frame is simulated too: the FFT wraps around, and fringes reach in.
    field = tuple(length + 2 * FIELD_MARGIN_PX for length in shape)
    optics = Optics(defocus_nm=specimen.defocus_nm)
    support_phase_rad, support_absorption = amorphous_support(specimen, field, pixel_size_nm, rng)
    thickness_nm, lattice = gold_particles(specimen, field, pixel_size_nm, rng)
    gold_rad_per_nm = interaction_rad_per_v_nm(optics.voltage_kv) * GOLD_INNER_POTENTIAL_V
    intensity = bright_field(
        support_phase_rad + gold_rad_per_nm * thickness_nm * (1 + lattice),
        support_absorption + specimen.contrast_per_nm * thickness_nm,
        pixel_size_nm,
        optics,
    )
    inside = tuple(slice(FIELD_MARGIN_PX, FIELD_MARGIN_PX + length) for length in shape)
    light = illumination(shape, specimen.light_slope, rng)
    image = count_electrons(intensity[inside] * light, specimen.dose_e_per_nm2, pixel_size_nm, rng)
    return image, (thickness_nm[inside] > 0).astype(np.uint8)


def amorphous_support(
    specimen: ParticleSpecimen,
    shape: tuple[int, int],
    pixel_size_nm: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Phase (rad) and absorption (exponent) of an amorphous film of uneven thickness.

    ASSUME atoms at random: the projected phase is white noise as blurred as an atom is wide, with a
    variance proportional to the thickness.
    """
    waviness = _smooth_noise(shape, SUPPORT_WAVELENGTH_NM / pixel_size_nm / 4, rng)
    thickness = np.exp(specimen.support_roughness * waviness)
    speckle = _smooth_noise(shape, ATOM_RADIUS_NM / pixel_size_nm, rng)
    return specimen.speckle_rad * np.sqrt(thickness) * speckle, SUPPORT_ABSORPTION * thickness


def _smooth_noise(shape: tuple[int, int], blur_px: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of mean 0 and standard deviation 1, blurred by a Gaussian of sigma `blur_px`."""
    noise = ndimage.gaussian_filter(
        rng.standard_normal(shape, dtype=np.float32), blur_px, mode="wrap"
    )
    return (noise - noise.mean()) / noise.std()


def gold_particles(
    specimen: ParticleSpecimen,
    shape: tuple[int, int],
    pixel_size_nm: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw particles that do not touch, ellipsoidal or faceted; the frame may cut them.

    Returns
    -------
    thickness_nm : (rows, columns) array
        0 outside the particles.
    lattice : (rows, columns) array
        Relative modulation of the potential by the lattice, -1 .. 1.
    """
    thickness_nm = np.zeros(shape, np.float32)
    lattice = np.zeros(shape, np.float32)
    for row_nm, column_nm, radius_nm in _places(specimen, shape, pixel_size_nm, rng):
        reach_px = int(np.ceil(2 * radius_nm / pixel_size_nm))
        centre_px = round(row_nm / pixel_size_nm), round(column_nm / pixel_size_nm)
        window = tuple(
            slice(max(0, centre - reach_px), min(length, centre + reach_px + 1))
            for centre, length in zip(centre_px, shape, strict=True)
        )
        rows_nm, columns_nm = np.mgrid[window] * pixel_size_nm
        offsets_nm = rows_nm - row_nm, columns_nm - column_nm
        outline = _faceted if rng.random() < 0.5 else _ellipsoid
        particle_nm = outline(*offsets_nm, radius_nm, rng)
        fringes = _fringes(*offsets_nm, pixel_size_nm, rng)
        thickness_nm[window] = np.maximum(thickness_nm[window], particle_nm)
        lattice[window] = np.where(particle_nm > 0, fringes, lattice[window])
    return thickness_nm, lattice


def _places(
    specimen: ParticleSpecimen,
    shape: tuple[int, int],
    pixel_size_nm: float,
    rng: np.random.Generator,
) -> list[tuple[float, float, float]]:
    """Centres and radii (row, column, radius in nm) of particles with room between them."""
    extent_nm = np.array(shape) * pixel_size_nm
    wanted_nm2 = specimen.coverage * extent_nm.prod()
    places = np.empty((0, 3))
    # Bounded, because a few large particles can leave no room for the rest.
    for _ in range(20_000):
        if np.pi * np.square(places[:, 2]).sum() >= wanted_nm2:
            break
        radius_nm = specimen.radius_nm * np.exp(specimen.radius_spread * rng.standard_normal())
        centre_nm = rng.uniform(0, extent_nm)
        gap_nm = np.hypot(*(places[:, :2] - centre_nm).T) - 1.25 * (places[:, 2] + radius_nm)
        if (gap_nm > 0).all():
            places = np.vstack([places, [*centre_nm, radius_nm]])
    return [tuple(place) for place in places.tolist()]


def _ellipsoid(row_nm, column_nm, radius_nm: float, rng: np.random.Generator) -> np.ndarray:
    """Thickness of an ellipsoid whose outline has the area of the disc of that radius."""
    angle = rng.uniform(0, np.pi)
    stretch = np.sqrt(rng.uniform(1.0, 1.5))
    height_nm = radius_nm * rng.uniform(0.7, 1.0)
    along = (np.cos(angle) * row_nm + np.sin(angle) * column_nm) / (radius_nm * stretch)
    across = (np.cos(angle) * column_nm - np.sin(angle) * row_nm) / (radius_nm / stretch)
    return 2 * height_nm * np.sqrt(np.clip(1 - along**2 - across**2, 0, None))


def _faceted(row_nm, column_nm, radius_nm: float, rng: np.random.Generator) -> np.ndarray:
    """Thickness of a bevelled polygon of about the area of the disc of that radius."""
    sides = int(rng.integers(5, 9))
    normals = rng.uniform(0, np.pi) + 2 * np.pi / sides * (
        np.arange(sides) + rng.uniform(-0.15, 0.15, sides)
    )
    regular_nm = radius_nm * np.sqrt(np.pi / (sides * np.tan(np.pi / sides)))
    facets_nm = regular_nm * rng.uniform(0.9, 1.08, sides)
    height_nm = radius_nm * rng.uniform(0.6, 0.9)
    depth_nm = np.min(
        [
            facet_nm - np.cos(normal) * row_nm - np.sin(normal) * column_nm
            for facet_nm, normal in zip(facets_nm, normals, strict=True)
        ],
        axis=0,
    )
    return 2 * height_nm * np.clip(depth_nm / (rng.uniform(0.15, 0.4) * radius_nm), 0, 1)


def _fringes(row_nm, column_nm, pixel_size_nm: float, rng: np.random.Generator) -> np.ndarray:
    """Lattice fringes of random direction and strength: a tilted crystal shows few or none."""
    angle, start = rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
    strength = 0.3 * rng.random()
    if pixel_size_nm > GOLD_111_NM / 2:
        return np.zeros_like(row_nm)
    along_nm = np.cos(angle) * row_nm + np.sin(angle) * column_nm
    return strength * np.cos(2 * np.pi * along_nm / GOLD_111_NM + start)
