"""Laws of the simulated microscope: closed-form optics, exact masks, same seed same bytes."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import fft, ndimage

import simulate
from tessera.optics import (
    Optics,
    aberration_phase_rad,
    bright_field,
    contrast_transfer,
    count_electrons,
    electron_wavelength_nm,
    envelope,
    frequencies_per_nm,
    illumination,
    interaction_rad_per_v_nm,
)
from tessera.simulation_grains import GrainSpecimen, grain_micrograph
from tessera.simulation_particles import (
    GOLD_111_NM,
    ParticleSpecimen,
    gold_particles,
    particle_micrograph,
)

GOLD = ParticleSpecimen(radius_nm=2.0, contrast_per_nm=0.08, dose_e_per_nm2=20_000)
VACUUM = replace(GOLD, coverage=0, speckle_rad=0)
METAL = GrainSpecimen(grain_diameter_nm=40.0, boundary_contrast=-0.4, dose_e_per_nm2=400)
SHAPE, PIXEL_SIZE_NM = (192, 224), 0.1


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Values of Williams & Carter, table 1.2; Kirkland's for the interaction.
@pytest.mark.parametrize(("voltage_kv", "pm"), [(100, 3.701), (200, 2.508), (300, 1.969)])
def test_wavelength_is_that_of_the_tables(voltage_kv, pm):
    assert electron_wavelength_nm(voltage_kv) * 1e3 == pytest.approx(pm, abs=5e-4)


def test_interaction_is_that_of_the_tables():
    assert interaction_rad_per_v_nm(200) == pytest.approx(0.00729, abs=1e-5)


def test_weak_phase_is_invisible_at_zero_frequency_and_undamped():
    assert contrast_transfer(np.array(0.0), Optics()) == 0
    assert envelope(np.array(0.0), Optics()) == 1


def test_first_zero_without_spherical_aberration():
    optics = Optics(cs_mm=0, defocus_nm=80)
    zero_per_nm = np.sqrt(1 / (electron_wavelength_nm(200) * 80))
    below = np.linspace(0.01, 0.99, 50) * zero_per_nm
    assert contrast_transfer(zero_per_nm, optics) == pytest.approx(0, abs=1e-12)
    assert (contrast_transfer(below, optics) < 0).all()
    assert contrast_transfer(1.05 * zero_per_nm, optics) > 0


def test_spherical_aberration_and_defocus_cancel_where_they_must():
    optics = Optics(cs_mm=1.2, defocus_nm=65)
    frequency_per_nm = np.sqrt(2 * 65 / (1.2e6 * electron_wavelength_nm(200) ** 2))
    assert aberration_phase_rad(frequency_per_nm, optics) == pytest.approx(0, abs=1e-9)


def test_envelope_falls():
    assert (np.diff(envelope(np.linspace(0, 8, 100), Optics(defocus_nm=0, cs_mm=0))) < 0).all()


@pytest.mark.parametrize("cycles", [4, 11, 23])
def test_weak_grating_is_imaged_as_the_transfer_function_says(cycles):
    columns = 128
    wave = np.cos(2 * np.pi * cycles * np.arange(columns) / columns)
    phase_rad = 1e-3 * np.tile(wave, (16, 1))
    image = bright_field(phase_rad, np.zeros_like(phase_rad), PIXEL_SIZE_NM, Optics())
    contrast = 2 * np.mean((image[0].astype(float) - 1) * wave)
    expected = 2e-3 * contrast_transfer(cycles / (columns * PIXEL_SIZE_NM), Optics())
    assert contrast == pytest.approx(expected, abs=2e-6)


def test_absorption_alone_is_beer_lambert():
    flat = np.full((8, 8), 0.3)
    assert bright_field(0 * flat, flat, 0.1, Optics()) == pytest.approx(np.exp(-0.3), abs=1e-6)


def test_frequencies_are_those_of_the_fft():
    assert frequencies_per_nm((4, 8), 0.5)[0, 4] == pytest.approx(1.0)


def test_counts_are_dose_times_area_with_poisson_noise():
    counts = count_electrons(np.ones((300, 300)), 9_000, 0.1, rng())
    assert counts.dtype == np.uint16
    assert counts.mean() == pytest.approx(90, abs=5 * np.sqrt(90) / 300)
    assert counts.var() == pytest.approx(90, rel=0.03)


def test_counts_saturate_and_light_has_mean_one():
    assert count_electrons(np.ones((2, 2)), 1e7, 0.1, rng()).max() == 65535
    assert illumination(SHAPE, 0.2, rng()).mean() == pytest.approx(1)


def test_empty_support_only_absorbs():
    flat = replace(VACUUM, support_roughness=0)
    image, mask = particle_micrograph(flat, SHAPE, PIXEL_SIZE_NM, rng())
    assert not mask.any()
    assert image.mean() == pytest.approx(200 * np.exp(-0.25), rel=5e-3)


@pytest.mark.parametrize(
    ("micrograph", "specimen"), [(particle_micrograph, GOLD), (grain_micrograph, METAL)]
)
def test_same_seed_same_bytes(micrograph, specimen):
    image, mask = micrograph(specimen, SHAPE, 0.2, rng(3))
    image_again, mask_again = micrograph(specimen, SHAPE, 0.2, rng(3))
    other, _ = micrograph(specimen, SHAPE, 0.2, rng(4))
    assert image.tobytes() == image_again.tobytes()
    assert mask.tobytes() == mask_again.tobytes()
    assert image.tobytes() != other.tobytes()
    assert (image.dtype, mask.dtype) == (np.uint16, np.uint8)
    assert image.shape == mask.shape == SHAPE
    assert set(np.unique(mask)) == {0, 1}


def test_particles_have_the_area_of_their_radius():
    same = replace(GOLD, radius_spread=0, coverage=0.2)
    thickness_nm, _ = gold_particles(same, (600, 600), PIXEL_SIZE_NM, rng())
    particles, _ = ndimage.label(thickness_nm > 0)
    cut = np.unique(
        np.concatenate([particles[edge] for edge in (0, -1, np.s_[:, 0], np.s_[:, -1])])
    )
    area_px = np.delete(np.bincount(particles.ravel()), np.union1d(cut, 0))
    assert len(area_px) > 20
    expected_px = np.pi * (2.0 / PIXEL_SIZE_NM) ** 2
    assert area_px.mean() == pytest.approx(expected_px, rel=0.05)
    assert (np.abs(area_px / expected_px - 1) < 0.35).all()


def test_coverage_is_that_of_the_specimen():
    _, mask = particle_micrograph(GOLD, (700, 700), PIXEL_SIZE_NM, rng())
    assert mask.mean() == pytest.approx(GOLD.coverage, abs=0.05)


def test_particles_are_dark():
    image, mask = particle_micrograph(GOLD, SHAPE, PIXEL_SIZE_NM, rng())
    assert image[mask == 1].mean() < 0.95 * image[mask == 0].mean()


def test_lattice_fringes_have_the_spacing_of_gold():
    clean = replace(VACUUM, coverage=0.3, contrast_per_nm=0, dose_e_per_nm2=1e6)
    image, mask = particle_micrograph(clean, (512, 512), 0.05, rng(1))
    spectrum = np.abs(fft.fft2((image - image.mean()) * mask))
    frequency_per_nm = frequencies_per_nm(image.shape, 0.05)
    # Shapes and edges of particles lie well below the lattice.
    spectrum[(frequency_per_nm < 3) | (frequency_per_nm > 6)] = 0
    assert 1 / frequency_per_nm.flat[spectrum.argmax()] == pytest.approx(GOLD_111_NM, rel=0.02)


def test_coarse_pixels_show_no_fringes():
    _, lattice = gold_particles(GOLD, SHAPE, 0.12, rng())
    assert not lattice.any()


@pytest.mark.parametrize("width_px", [1.0, 2.0, 3.0])
def test_grain_boundaries_are_as_wide_as_told(width_px):
    metal = replace(METAL, boundary_width_px=width_px)
    _, mask = grain_micrograph(metal, (300, 300), 1.0, rng())
    inside_px = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
    # Three boundaries meet in points that are wider than each of them.
    assert np.percentile(inside_px[mask == 1], 99) <= 2
    # Poisson-Voronoi cells have a mean perimeter of 4 / sqrt(density); each side is shared by two.
    density_per_px = 1 / (np.pi * 20**2)
    assert mask.mean() == pytest.approx(2 * np.sqrt(density_per_px) * width_px, rel=0.2)


@pytest.mark.parametrize("contrast", [-0.4, 0.4])
def test_grain_boundaries_have_the_sign_of_their_contrast(contrast):
    metal = replace(METAL, boundary_contrast=contrast)
    image, mask = grain_micrograph(metal, SHAPE, 1.0, rng())
    difference = image[mask == 1].mean() - image[mask == 0].mean()
    assert np.sign(difference) == np.sign(contrast)


@pytest.mark.parametrize(
    ("specimen", "name", "value"),
    [
        (GOLD, "radius_nm", 0),
        (GOLD, "coverage", 0.4),
        (GOLD, "speckle_rad", -1),
        (METAL, "boundary_width_px", 4),
        (METAL, "dose_e_per_nm2", -2),
    ],
)
def test_values_out_of_range_are_named(specimen, name, value):
    with pytest.raises(ValueError, match=rf"{name} .*{value}"):
        replace(specimen, **{name: value})


STUDY = {
    "kind": "particles",
    "seed": 7,
    "shape": [64, 48],
    "pixel_size_nm": 0.1,
    "specimens": [
        {
            "name": "a",
            "micrographs": 2,
            "radius_nm": 1.0,
            "contrast_per_nm": 0.1,
            "dose_e_per_nm2": 1e4,
        },
        {
            "name": "b",
            "micrographs": 1,
            "labelled": False,
            "radius_nm": 1.0,
            "contrast_per_nm": 0.1,
            "dose_e_per_nm2": 1e4,
        },
    ],
}


def rows_of(sheet: Path) -> list[dict[str, str]]:
    with sheet.open() as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_sheet_lists_calibrated_files(tmp_path):
    simulate.main(tmp_path / "micrographs.tsv", **STUDY)
    rows = rows_of(tmp_path / "micrographs.tsv")
    assert [row["micrograph"] for row in rows] == ["a-01", "a-02", "b-01"]
    assert [row["mask"] for row in rows] == ["masks/a-01.tif", "masks/a-02.tif", ""]
    with tifffile.TiffFile(tmp_path / rows[0]["image"]) as file:
        tags = file.pages[0].tags
        pixels_per_cm = tags["XResolution"].value[0] / tags["XResolution"].value[1]
        assert 1e7 / pixels_per_cm == pytest.approx(0.1)
        assert tags["ResolutionUnit"].value == 3
        assert file.asarray().dtype == np.uint16
    assert set(np.unique(tifffile.imread(tmp_path / rows[0]["mask"]))) == {0, 255}


def test_files_are_the_same_again_and_whoever_else_is_there(tmp_path):
    alone = {**STUDY, "specimens": STUDY["specimens"][:1]}
    simulate.main(tmp_path / "all" / "micrographs.tsv", **STUDY)
    simulate.main(tmp_path / "alone" / "micrographs.tsv", **alone)
    files = sorted(path.relative_to(tmp_path / "alone") for path in tmp_path.glob("alone/*/*.tif"))
    assert len(files) == 4
    for file in files:
        assert (tmp_path / "all" / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()


def test_stack_has_a_group_for_each_frame(tmp_path):
    simulate.main(tmp_path / "stack.tsv", **STUDY, frames=3)
    (row,) = rows_of(tmp_path / "stack.tsv")
    assert (row["frames"], row["group"]) == ("0-2", "area-{frame}")
    images, labels = (np.load(tmp_path / row[column]) for column in ("image", "mask"))
    assert images.shape == labels.shape == (3, 64, 48)
    assert (images.dtype, labels.dtype) == (np.uint16, np.uint8)
    simulate.main(tmp_path / "again" / "stack.tsv", **STUDY, frames=3)
    for name in ("stack.tsv", "images.npy", "labels.npy"):
        assert (tmp_path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_bad_specimen_is_named():
    with pytest.raises(ValueError, match=r"specimen a: radius_nm .* -1"):
        simulate.specimen_of("particles", {**STUDY["specimens"][0], "radius_nm": -1})
    with pytest.raises(ValueError, match="`kind: foam` is none of particles, grains"):
        simulate.specimen_of("foam", STUDY["specimens"][0])
