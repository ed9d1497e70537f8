"""Illumination: taken out wholly where it is known, and put back."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from builders import in_strips, lazy, texture
from tessera.illumination import Surface, cell_means, gaussian, polynomial
from tessera.methods import DIVIDE, SUBTRACT

SHAPES = [(96, 128), (67, 101), (3, 5), (1, 40)]


def field(shape, degree):
    down, across = (np.linspace(-1, 1, side)[:, None] for side in shape)
    across = across.T
    return 1000 + 90 * down - 40 * across + (degree > 1) * (70 * down * across - 55 * across**2)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_polynomial_is_found_and_leaves_nothing(shape, degree):
    page = field(shape, degree)
    for by in (SUBTRACT, DIVIDE):
        surface = polynomial(page, degree, by)
        np.testing.assert_allclose(surface.at(shape, slice(None)), page, rtol=1e-6)
        flat = np.asarray(surface.taken_out(page))
        np.testing.assert_allclose(flat, page.mean(), rtol=1e-6)


def test_a_polynomial_takes_out_no_more_than_its_degree():
    rng, shape = np.random.default_rng(0), (90, 70)
    down = np.linspace(-1, 1, shape[0])[:, None]
    objects = rng.random(shape) > 0.9
    page = 500 + 200.0 * objects + 100 * down
    flat = np.asarray(polynomial(page, 2, SUBTRACT).taken_out(page))
    contrast = flat[objects].mean() - flat[~objects].mean()
    assert contrast == pytest.approx(200, abs=5)
    assert flat[~objects].std() < 0.1 * page[~objects].std()


def test_division_evens_out_the_contrast_too():
    light = np.linspace(0.5, 1.5, 200)[None, :] * np.ones((80, 1))
    page = (100 + 50 * (np.random.default_rng(1).random(light.shape) > 0.5)) * light
    flat = np.asarray(polynomial(page, 1, DIVIDE).taken_out(page))
    left, right = (flat[:, part] for part in (slice(0, 60), slice(-60, None)))
    spread = [part.std() for part in (left, right)]
    assert spread[0] == pytest.approx(spread[1], rel=0.05)


@pytest.mark.parametrize("shape", [(128, 128), (90, 160)])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.25])
def test_a_gaussian_is_that_of_scipy(shape, share):
    page = 1000 + 200 * gaussian_filter(texture(0, shape), 4)
    sigma = share * min(shape)
    expected = gaussian_filter(page, sigma, mode="reflect", truncate=6)
    found = gaussian(page, sigma, SUBTRACT).at(shape, slice(None))
    assert np.abs(found - expected).max() < 0.03 * np.ptp(expected) + 0.02 * page.std()


@pytest.mark.parametrize("by", [SUBTRACT, DIVIDE])
@pytest.mark.parametrize(("find", "size"), [(polynomial, 2), (gaussian, 20)])
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_strips_change_no_bit_and_what_is_out_can_be_put_back(by, find, size, rows):
    page = np.round(1000 + 100 * texture(2, (80, 110))).astype(np.uint16)
    whole = find(page, size, by)
    flat = np.asarray(whole.taken_out(page))
    with in_strips():
        part = find(lazy(page, rows), size, by)
        assert whole.as_record() == part.as_record()
        np.testing.assert_array_equal(np.asarray(part.taken_out(lazy(page, rows))), flat)
    again = Surface.of_record(whole.as_record())
    np.testing.assert_allclose(np.asarray(again.put_back(flat)), page, rtol=1e-6)
    assert flat.mean() == pytest.approx(page.mean(), rel=0.02)


def test_what_is_no_illumination_is_refused():
    page = 100 + 10 * texture(3, (60, 80))
    with pytest.raises(ValueError, match="sigma of 2 px is below 3 px"):
        gaussian(page, 2, SUBTRACT)
    with pytest.raises(ValueError, match="it cannot be divided by"):
        polynomial(page - 100, 1, DIVIDE)


def test_means_of_cells():
    page = np.arange(35.0).reshape(5, 7)
    found = cell_means(page, np.array([0, 2, 5]), np.array([0, 3, 7]))
    parts = [
        [page[rows, columns] for columns in (slice(3), slice(3, 7))]
        for rows in (slice(2), slice(2, 5))
    ]
    expected = [[part.mean() for part in row] for row in parts]
    np.testing.assert_allclose(found, expected)
