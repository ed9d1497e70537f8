"""Landmarks: the same places in another recording, in another pose, on another grid."""

import numpy as np
import pytest

from builders import texture
from tessera.landmarks import KEY_BITS, MOST, grids, landmarks, matrices
from tessera.overlaps import posed

UNKNOWN = float("nan")


def of_octave(page, octave, pixel_size_nm=UNKNOWN, calibrated=False):
    table = landmarks(page, pixel_size_nm)
    return table[(table["octave"] == octave) & (table["calibrated"] == calibrated)]


def found_again(first, second, moved=(0, 0)):
    """Share of the landmarks of `first` that `second` has, with the same code but for few bits."""
    places = {(row.row, row.column): row.code for row in second.itertuples()}
    codes = [(row.code, places.get((row.row + moved[0], row.column + moved[1])))
             for row in first.itertuples()]  # fmt: skip
    near = [(int(code) ^ int(other)).bit_count() <= 8
            for code, other in codes if other is not None]  # fmt: skip
    return sum(near) / len(first)


@pytest.mark.parametrize("seed", range(3))
def test_landmarks_survive_contrast_and_move_with_the_page(seed):
    page = texture(seed, (900, 800), 8)
    first = of_octave(page, 0)
    assert len(first) > 50
    assert found_again(first, of_octave(500 + 90 * page, 0)) == 1
    inner = of_octave(page[100:, 60:], 0)
    assert found_again(inner, first, (100, 60)) > 0.5


@pytest.mark.parametrize("pose", range(8))
def test_a_code_does_not_depend_on_the_pose(pose):
    page = texture(3, (600, 600), 8)
    straight, turned = of_octave(page, 0), of_octave(np.ascontiguousarray(posed(page, pose)), 0)
    middle = np.array([299.5, 299.5])
    at = (straight[["row", "column"]].to_numpy() - middle) @ matrices([pose])[0].T + middle
    moved = straight.assign(row=at[:, 0], column=at[:, 1])
    assert found_again(moved, turned) > 0.9


def test_matrices_and_pages_take_the_same_pose():
    page = np.zeros((5, 5))
    page[1, 2] = 1
    for pose in range(8):
        expected = matrices([pose])[0] @ (np.array([1, 2]) - 2) + 2
        assert np.argwhere(posed(page, pose)).tolist() == [expected.tolist()]


def test_pixel_sizes_have_a_grid_in_common():
    shared = set(grids((1000, 1000), 1.5, True)) & set(grids((1500, 1500), 1.0, True))
    assert len(shared) == 2
    assert grids((1000, 1000), 1.5, True)[0].shape((1000, 1000), 1.5) == (750, 750)


def test_a_page_of_any_size_has_few_grids_and_few_landmarks():
    for shape in ((20, 3000), (7, 7), (80, 80), (2500, 1700)):
        table = landmarks(texture(0, shape, 3), 0.7)
        assert table.groupby(["calibrated", "octave"]).size().max() <= MOST if len(table) else True
        for calibrated in (False, True):
            of_page = grids(shape, 0.7, calibrated)
            assert 1 <= len(of_page) <= 3
            assert max(of_page[0].shape(shape, 0.7)) <= 1024


def test_nothing_to_see_has_no_landmarks():
    holed = texture(0)
    holed[5, 5] = np.nan
    for page in (np.zeros((300, 300), np.uint8), np.full((300, 300), 65535, np.uint16), holed):
        assert landmarks(page, UNKNOWN).empty


def test_doubts_are_bits_of_the_key():
    table = landmarks(texture(1, (600, 600)), UNKNOWN)
    assert {int(doubts).bit_count() for doubts in table["doubts"]} == {4}
    assert int(table["doubts"].max()) < 2**KEY_BITS
