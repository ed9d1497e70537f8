"""Data bars: found to the row where they are, and nothing else taken for one."""

import io

import numpy as np
import pytest
from PIL import Image

from data_bars import MAKERS, image, random_bars, with_bars, without
from tessera.data_bars import bar_px

WITH = {name: (picture, rows) for name, picture, rows in with_bars()}
MISSED = 1
"""Of 100 bars of all sorts: below a micrograph that is black in 84 %."""
WITHOUT = dict(without())


@pytest.mark.parametrize("name", WITH)
def test_a_bar_is_found_to_the_row(name):
    picture, rows = WITH[name]
    assert bar_px(picture) == rows


@pytest.mark.parametrize("name", WITHOUT)
def test_nothing_else_is_taken_for_one(name):
    assert bar_px(WITHOUT[name]) == 0


def test_what_lies_above_changes_nothing():
    for name, make in MAKERS.items():
        heights = {bar_px(np.concatenate([image(seed), make()])) for seed in range(20, 26)}
        assert heights == {len(make())}, name


def test_bars_of_all_sorts():
    found = [(bar_px(picture), rows) for picture, rows in random_bars(100)]
    assert all(rows in (0, true) for rows, true in found)
    assert sum(rows == 0 for rows, _ in found) == MISSED
    assert not any(bar_px(picture[:-rows]) for picture, rows in random_bars(50, seed=2))


@pytest.mark.parametrize(("quality", "missed"), [(95, 0), (80, 3)])
def test_after_jpeg_a_bar_may_be_missed_but_is_never_too_high(quality, missed):
    found = []
    for make in MAKERS.values():
        picture, file = np.concatenate([image(1), make()]), io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=quality)
        found.append((bar_px(np.asarray(Image.open(file))), len(make())))
    assert sum(rows == 0 for rows, _ in found) == missed
    # A line of many greys at its edge is part of the picture then.
    assert all(rows == 0 or true - 2 <= rows <= true for rows, true in found)


def test_a_picture_of_nothing_but_a_bar_is_left_alone():
    assert bar_px(MAKERS["FEI"]()) == 0
