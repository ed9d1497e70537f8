"""Overlaps: how two micrographs lie is found, and what is only alike is told from it."""

import numpy as np
import pytest

from builders import texture
from tessera.landmarks import matrices
from tessera.overlaps import agreement, overlap, posed, whitened

SAME = (1.0, 1.0)


def noisy(page, seed, level=0.5):
    return page + np.random.default_rng(seed).normal(0, level, page.shape)


@pytest.mark.parametrize("offset", [(0, 180), (150, 0), (-120, 100), (90, -130), (30, 20)])
@pytest.mark.parametrize("pose", [0, 5])
def test_any_offset_is_found(offset, pose):
    area = texture(1, (600, 600), 4)
    down, right = offset
    first = noisy(area[150:400, 150:400], 1)
    second = 7 - 3 * noisy(-area[150 + down : 400 + down, 150 + right : 400 + right], 2)
    turn = next(t for t in range(8) if (matrices([t])[0] @ matrices([pose])[0] == np.eye(2)).all())
    found = overlap(first, posed(second, pose), SAME, turn)
    assert (found.top, found.left) == pytest.approx(offset, abs=1)
    share = (250 - abs(down)) * (250 - abs(right)) / 250**2
    assert found.share == pytest.approx(share, abs=0.02)
    assert found.correlation > 0.5
    height, width = (np.diff(found.first)[::2] * 250).tolist()
    assert height * width == pytest.approx(share * 250**2, rel=0.05)


def test_different_sizes_and_pixel_sizes_meet_on_one_grid():
    area = texture(1, (900, 900), 6)
    first = area[::2, ::2] + 0.0  # twice the pixel size
    found = overlap(noisy(first, 1, 0.2), noisy(area[300:600, 200:500], 2, 0.2), (2.0, 1.0), 0)
    assert (found.top, found.left) == pytest.approx((150, 100), abs=2)
    assert found.share == pytest.approx(1)
    assert found.second == (0, 1, 0, 1)


@pytest.mark.parametrize("seed", range(5))
def test_other_areas_do_not_overlap(seed):
    pages = [texture(2 * seed + i, (260, 240), 4) for i in range(2)]
    assert overlap(*pages, SAME, 0) is None


def lattice(seed, period_px, sharpness):
    """Atomic columns or a grating, somewhere else each time, with noise of its own."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices((300, 300)) / period_px + random.random(2)[:, None, None]
    waves = np.cos(2 * np.pi * rows) + np.cos(2 * np.pi * columns)
    page = np.exp(sharpness * waves)
    return noisy(page / page.std(), seed + 1, 0.3)


@pytest.mark.parametrize("period_px", [5, 17.3, 40])
@pytest.mark.parametrize("sharpness", [0.3, 3])
def test_lattices_of_other_specimens_do_not_overlap(period_px, sharpness):
    assert (
        overlap(lattice(0, period_px, sharpness), lattice(5, period_px, sharpness), SAME, 0) is None
    )


def test_gratings_do_not_overlap():
    rows = np.indices((300, 300))[0]
    first, second = (np.sign(np.sin(2 * np.pi * (rows / 23 + phase))) for phase in (0, 0.3))
    assert overlap(noisy(first, 1), noisy(second, 2), SAME, 0) is None


def test_a_data_bar_is_no_overlap_and_hides_none():
    bar = np.kron(np.random.default_rng(0).integers(0, 2, (8, 64)), np.ones((4, 4))) * 8.0
    area, other = texture(1, (500, 500), 3), texture(2, (256, 256), 3)
    first, second = area[:256, :256].copy(), area[60:316, 100:356].copy()
    for page in (first, second, other):
        page[-len(bar) :] = bar
    assert overlap(first, other, SAME, 0) is None
    assert overlap(first, second, SAME, 0).left == pytest.approx(100, abs=1)


def test_blank_pages_do_not_overlap():
    blank = np.zeros((100, 100), np.float32)
    assert overlap(blank, blank, SAME, 0) is None
    assert overlap(blank, texture(0, (100, 100), 3), SAME, 0) is None


def test_agreement_is_a_correlation_and_one_spot_is_not_enough():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 90, 70))
    assert agreement(a, b, 1.0) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    a[:12, :10] = b[:12, :10] = 30 * random.normal(size=(12, 10))
    assert agreement(a, b, 1.0) > 0.9
    assert abs(agreement(a, b, 0.75)) < 0.2


def test_what_is_whitened_has_no_strong_frequency():
    spectrum = np.abs(np.fft.rfft2(whitened(noisy(texture(0, (256, 256), 4), 1, 0.1))))
    bands = [spectrum[1:20, 1:20].mean(), spectrum[20:30, 20:30].mean()]
    assert 0.5 < bands[0] / bands[1] < 2
