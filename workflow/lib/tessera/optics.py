"""From a specimen to counts in a transmission electron microscope: wavelength, lens, noise.

A specimen enters as the phase and the absorption it gives to the electron wave; the wave passes
the lens, whose aberrations and envelopes act on its spatial frequencies, and the detector counts
it. Signs are those of Kirkland, "Advanced Computing in Electron Microscopy",
DOI 10.1007/978-3-030-33260-0: underfocus is positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

PLANCK_J_S = 6.62607015e-34
ELECTRON_CHARGE_C = 1.602176634e-19
ELECTRON_MASS_KG = 9.1093837015e-31
LIGHT_SPEED_M_PER_S = 299792458.0

NM_PER_MM = 1e6
NM_PER_M = 1e9


@dataclass(frozen=True)
class Optics:
    """Settings of the objective lens and of the illumination.

    Parameters
    ----------
    voltage_kv : float
        Acceleration voltage.
    cs_mm : float
        Spherical aberration.
    defocus_nm : float
        Underfocus is positive.
    convergence_mrad : float
        Half angle of the illumination (standard deviation), for the spatial envelope.
    focal_spread_nm : float
        Standard deviation of the focus, for the temporal envelope.
    """

    voltage_kv: float = 200.0
    cs_mm: float = 0.5
    defocus_nm: float = 60.0
    convergence_mrad: float = 0.3
    focal_spread_nm: float = 4.0


def electron_wavelength_nm(voltage_kv: float) -> float:
    """Relativistic wavelength of an electron.

    Source: Williams & Carter, "Transmission Electron Microscopy", DOI 10.1007/978-0-387-76501-3,
    equation 1.6.

    Raises
    ------
    ValueError
        If the voltage is not positive.

    Examples
    --------
    >>> round(electron_wavelength_nm(200.0), 6)
    0.002508
    """
    if voltage_kv <= 0:
        raise ValueError(f"voltage_kv must be positive, got {voltage_kv}")
    energy_j = voltage_kv * 1e3 * ELECTRON_CHARGE_C
    rest_j = ELECTRON_MASS_KG * LIGHT_SPEED_M_PER_S**2
    momentum = np.sqrt(2 * ELECTRON_MASS_KG * energy_j * (1 + energy_j / (2 * rest_j)))
    return float(PLANCK_J_S / momentum * NM_PER_M)


def interaction_rad_per_v_nm(voltage_kv: float) -> float:
    """Phase that a projected potential of one volt nanometre gives to the wave.

    Source: Kirkland, "Advanced Computing in Electron Microscopy", DOI 10.1007/978-3-030-33260-0,
    the interaction parameter (2 pi m e lambda / h^2, with the relativistic mass m).
    """
    rest_j = ELECTRON_MASS_KG * LIGHT_SPEED_M_PER_S**2
    mass_kg = ELECTRON_MASS_KG * (1 + voltage_kv * 1e3 * ELECTRON_CHARGE_C / rest_j)
    wavelength_m = electron_wavelength_nm(voltage_kv) / NM_PER_M
    per_v_m = 2 * np.pi * mass_kg * ELECTRON_CHARGE_C * wavelength_m / PLANCK_J_S**2
    return float(per_v_m / NM_PER_M)


def aberration_phase_rad(frequency_per_nm: np.ndarray, optics: Optics) -> np.ndarray:
    """Phase error chi(k) of the lens: pi lambda k^2 (Cs lambda^2 k^2 / 2 - defocus).

    Source: Kirkland, "Advanced Computing in Electron Microscopy", DOI 10.1007/978-3-030-33260-0.
    """
    wavelength_nm = electron_wavelength_nm(optics.voltage_kv)
    squared = np.square(frequency_per_nm)
    spherical_nm = 0.5 * optics.cs_mm * NM_PER_MM * wavelength_nm**2 * squared
    return np.pi * wavelength_nm * squared * (spherical_nm - optics.defocus_nm)


def envelope(frequency_per_nm: np.ndarray, optics: Optics) -> np.ndarray:
    """Damping of a frequency by the spread of focus and of directions: 1 at zero, falling to 0.

    Source: Williams & Carter, "Transmission Electron Microscopy", DOI 10.1007/978-0-387-76501-3,
    chapter 28: exp(-(pi lambda delta k^2)^2 / 2) and exp(-(alpha chi'(k) / lambda)^2 / 4).
    """
    wavelength_nm = electron_wavelength_nm(optics.voltage_kv)
    squared = np.square(frequency_per_nm)
    temporal = np.square(np.pi * wavelength_nm * optics.focal_spread_nm * squared) / 2
    blur_nm = optics.cs_mm * NM_PER_MM * wavelength_nm**2 * squared - optics.defocus_nm
    slope_nm = frequency_per_nm * blur_nm
    spatial = np.square(np.pi * optics.convergence_mrad * 1e-3 * slope_nm)
    return np.exp(-temporal - spatial)


def contrast_transfer(frequency_per_nm: np.ndarray, optics: Optics) -> np.ndarray:
    """Transfer of a weak phase: sin(chi(k)) times the envelope, 0 at zero frequency.

    Negative is dark: a weak phase of amplitude a gives the intensity the amplitude 2 a times this.

    Parameters
    ----------
    frequency_per_nm : array of any shape
    optics : Optics

    Returns
    -------
    array of that shape, within -1 .. 1
    """
    return np.sin(aberration_phase_rad(frequency_per_nm, optics)) * envelope(
        frequency_per_nm, optics
    )


def frequencies_per_nm(shape: tuple[int, int], pixel_size_nm: float) -> np.ndarray:
    """(rows, columns) moduli of the spatial frequencies, in the order of the FFT."""
    along_rows, along_columns = (fft.fftfreq(length, pixel_size_nm) for length in shape)
    return np.hypot(along_rows[:, None], along_columns[None, :])


def bright_field(
    phase_rad: np.ndarray, absorption: np.ndarray, pixel_size_nm: float, optics: Optics
) -> np.ndarray:
    """Bright-field intensity of a thin specimen; 1 where there is none.

    ASSUME a quasi-coherent image: envelopes damp the wave, not every pair of its frequencies. Good
    while the unscattered beam is much the strongest.

    Parameters
    ----------
    phase_rad : (rows, columns) array
        Phase given to the wave. Its edges wrap around.
    absorption : (rows, columns) array
        Exponent mu t by which the intensity falls: exp(-mu t).
    pixel_size_nm : float
    optics : Optics

    Returns
    -------
    (rows, columns) float32 array
    """
    wave = np.exp(1j * phase_rad - 0.5 * absorption).astype(np.complex64)
    frequency_per_nm = frequencies_per_nm(wave.shape, pixel_size_nm)
    lens = envelope(frequency_per_nm, optics) * np.exp(
        -1j * aberration_phase_rad(frequency_per_nm, optics)
    )
    image_wave = fft.ifft2(fft.fft2(wave) * lens.astype(np.complex64))
    return np.square(np.abs(image_wave))


def illumination(shape: tuple[int, int], slope: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth uneven illumination with mean 1: a ramp in a random direction and a weak bowl.

    Parameters
    ----------
    shape : (rows, columns)
    slope : float
        Half the difference between the bright and the dark side, relative to the mean.
    rng : Generator

    Returns
    -------
    (rows, columns) array
    """
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    bowl_row, bowl_column = rng.uniform(-0.5, 0.5, size=2)
    ramp = np.cos(angle) * rows + np.sin(angle) * columns
    bowl = np.square(rows - bowl_row) + np.square(columns - bowl_column)
    light = 1 + slope * (ramp - 0.3 * bowl)
    return light / light.mean()


def count_electrons(
    intensity: np.ndarray, dose_e_per_nm2: float, pixel_size_nm: float, rng: np.random.Generator
) -> np.ndarray:
    """Counts of a detector without gain or offset: Poisson, of mean intensity x dose x pixel area.

    Parameters
    ----------
    intensity : (rows, columns) array
        Relative to the incident beam.
    dose_e_per_nm2 : float
        Electrons that arrive on the specimen.
    pixel_size_nm : float
    rng : Generator

    Returns
    -------
    (rows, columns) uint16 array
        Counts above 65,535 saturate.

    Raises
    ------
    ValueError
        If the dose or the pixel size is not positive.
    """
    if dose_e_per_nm2 <= 0 or pixel_size_nm <= 0:
        raise ValueError(
            f"dose_e_per_nm2 and pixel_size_nm must be positive, "
            f"got {dose_e_per_nm2} and {pixel_size_nm}"
        )
    counts = rng.poisson(np.clip(intensity, 0, None) * (dose_e_per_nm2 * pixel_size_nm**2))
    return np.minimum(counts, np.iinfo(np.uint16).max).astype(np.uint16)
