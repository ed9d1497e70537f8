"""Conditions: known answers, and the same counts however a micrograph is cut into strips."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tessera.conditions import Inspection, faults, noted, percent, remarks
from tessera.crops import COLUMNS

LIMITS = {"saturated": 1, "dead_lines": 1, "constant": "refuse"}
DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">f4"]


def condition(page, *cuts):
    inspection = Inspection()
    for strip in np.split(page, sorted(cuts)):
        inspection.add(strip)
    return inspection.condition()


def noise(shape=(50, 40), dtype="u2", seed=0):
    # No value twice, so that every row and column is another.
    return np.random.default_rng(seed).permutation(np.prod(shape)).reshape(shape).astype(dtype)


def dead_by_definition(page):
    rows, columns = list(map(bytes, page)), page.T
    dead_rows = [
        bool((page[i] == page[i, 0]).all()) or rows[i] in rows[:i] for i in range(len(rows))
    ]
    dead_columns = [
        bool((column == column[0]).all()) or (i > 0 and bool((column == columns[i - 1]).all()))
        for i, column in enumerate(columns)
    ]
    return sum(dead_rows), sum(dead_columns)


@given(
    page=arrays("i2", st.tuples(st.integers(1, 8), st.integers(1, 5)), elements=st.integers(0, 2)),
    cuts=st.lists(st.integers(0, 8), max_size=4),
)
def test_counts_are_those_of_the_definition_whatever_the_strips(page, cuts):
    found = condition(page, *cuts)
    assert found == condition(page)
    assert (found.rows, found.columns) == page.shape
    assert (found.lowest, found.highest) == (page.min(), page.max())
    assert found.lowest_px == (page == page.min()).sum()
    assert found.highest_px == (page == page.max()).sum()
    assert (found.dead_rows, found.dead_columns) == dead_by_definition(page)


@given(
    page=arrays(
        "f4",
        st.tuples(st.integers(1, 6), st.integers(1, 5)),
        elements=st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 0.0, 1.5]),
    ),
    cuts=st.lists(st.integers(0, 6), max_size=3),
)
def test_pixels_that_are_not_finite_are_counted_apart(page, cuts):
    found, finite = condition(page, *cuts), page[np.isfinite(page)]
    assert found.not_finite_px == page.size - finite.size
    assert found.lowest_px == (finite == finite.min(initial=9)).sum()
    assert str(found) == str(condition(page))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_counted_exactly(dtype):
    page = (noise((9, 11), "i8") % 100).astype(dtype)
    page[0, :3], page[1, :5] = 3, 120  # none of 8 bits is larger
    found = condition(page, 1, 4)
    assert (found.highest, found.highest_px) == (120, 5)
    assert isinstance(found.highest, float if np.dtype(dtype).kind == "f" else int)


def test_twelve_bits_in_sixteen_saturate_at_4095():
    page = np.minimum(noise() * 5, 4095)
    found = condition(page)
    assert (found.highest, found.highest_px) == (4095, (page == 4095).sum())
    assert found.saturated == pytest.approx(((page == 4095).sum() + 1) / page.size)
    (said,) = faults(found, LIMITS | {"saturated": 0.5})
    assert (
        "59.1 % of its pixels are saturated (1 are 0, the least; 1,181 are 4095, the most)" in said
    )
    assert "the limit is 50 % (ingest: limits: saturated)" in said
    assert not list(faults(found, LIMITS))
    assert list(remarks(found)) == ["59.1 % of the pixels have the highest grey level, 4095"]


def test_dead_rows_and_columns():
    page = noise()
    page[7] = page[6]
    page[30:33] = 9
    page[:, 4] = page[:, 3]
    found = condition(page, 7, 31)
    assert (found.dead_rows, found.dead_columns) == (4, 1)
    assert list(remarks(found)) == ["4 of 50 rows are dead", "1 of 40 columns are dead"]
    (said,) = faults(found, LIMITS | {"dead_lines": 0.05})
    assert said.startswith("4 of its 50 rows and 1 of its 40 columns are dead, the limit is 5 %")


def test_a_half_that_was_written_twice_is_dead():
    half = noise((25, 40))
    assert condition(np.concatenate([half, half]), 10).dead_rows == 25


def test_a_constant_micrograph_is_refused_unless_allowed():
    found = condition(np.full((6, 5), 7, np.uint8), 2)
    assert list(faults(found, LIMITS)) == ["all its pixels are 7 (ingest: limits: constant)"]
    strict = {"saturated": 0, "dead_lines": 0, "constant": "allow"}
    assert not list(faults(found, strict))


def test_grey_levels_that_32_bit_floats_cannot_hold_are_refused():
    assert "too large for the 32-bit floats" in next(
        faults(condition(noise(dtype="f8") * 1e30), LIMITS)
    )
    far = condition(noise(dtype="i8") + 10**12)
    assert "too near each other" in next(faults(far, LIMITS))
    assert "subtract 1000000000000" in next(faults(far, LIMITS))
    assert "too near each other" in next(faults(condition(noise(dtype="f8") * 1e-50), LIMITS))
    for fine in (noise(), noise(dtype="f4") * 1e-12, noise(dtype="i4") + 10_000):
        assert not list(faults(condition(fine), LIMITS))
    high = replace(condition(noise()), lowest=65_534, highest=65_535)
    assert not list(faults(high, LIMITS))


def test_each_channel_has_remarks_of_its_own():
    row = {"micrograph": "a", "group": "g", "rows": 99, "columns": 99, **dict.fromkeys(COLUMNS, 0)}
    counted = {"lowest": 1, "highest": 9, "lowest_px": 1, "highest_px": 1}
    row |= counted | {"dead_rows": 0, "dead_columns": 2}
    row |= {f"{name}.O": value for name, value in counted.items()}
    row |= {"lowest_px.O": 2940, "dead_rows.O": 0, "dead_columns.O": 0}
    (said,) = noted(pd.DataFrame([row]), ["HAADF", "O"])
    assert said["remarks"] == (
        "HAADF: 2 of 99 columns are dead; O: 30 % of the pixels have the lowest grey level, 1"
    )
    assert noted(pd.DataFrame([row]))[0]["remarks"] == "2 of 99 columns are dead"
    assert noted(pd.DataFrame([row | {"dead_columns": 0}])) == []


def test_nothing_but_nan():
    found = condition(np.full((3, 4), np.nan))
    assert list(faults(found, LIMITS)) == ["12 pixels are not finite"]


def test_a_share_just_below_all_is_not_all():
    assert percent(1 - 1e-6) == "99.9999 %"
