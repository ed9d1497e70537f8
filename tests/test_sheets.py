"""Sheets: one row a micrograph, and every bad row named at once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import SHEET, annotated, expanded, problems_of, schema
from tessera.sheets import NO_FOLD, NO_FRAME, expand, frame_numbers


def row(**cells):
    return {"micrograph": "a", "image": "a.tif", "group": "s1", **cells}


def only(**cells):
    """The one expanded row of a sheet of one row."""
    rows = expanded([row(**cells)])
    assert len(rows) == 1
    return rows.iloc[0]


def test_defaults():
    plain = only()
    assert (plain["use"], plain["cohort"], plain["fold"]) == ("cv", 0, NO_FOLD)
    assert (plain["frame"], plain["image_key"], plain["mask"]) == (NO_FRAME, "", "")
    assert np.isnan(plain["pixel_size_nm"])
    assert not plain["annotated"]


def test_cells_become_numbers():
    full = only(mask="a.png", cohort="2", fold="1", use="test", pixel_size_nm="2.5e-1")
    assert full[["cohort", "fold", "use", "pixel_size_nm"]].tolist() == [2, 1, "test", 0.25]
    assert full["annotated"]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3", [3]), ("0-14", [*range(15)]), ("0-2,7", [0, 1, 2, 7]), ("5-5", [5]), ("", [NO_FRAME])],
)
def test_frame_numbers(text, numbers):
    assert frame_numbers(text) == numbers


def test_a_row_expands_to_its_frames():
    rows = expanded([row(image="s.npz::stack", mask="m.npz::masks", frames="0-14")])
    assert rows["micrograph"].tolist() == [f"a-{frame:02}" for frame in range(15)]
    assert rows["frame"].tolist() == [*range(15)]
    assert set(rows["image"]) == {"data/s.npz"}
    assert set(rows["image_key"]) == {"stack"}
    assert set(rows["mask_key"]) == {"masks"}


def test_numbers_of_frames_are_padded_so_that_ids_sort_like_frames():
    assert expanded([row(frames="3")])["micrograph"].tolist() == ["a-03"]
    rows = expanded([row(frames="0,7,1000")])
    assert rows["micrograph"].tolist() == ["a-0000", "a-0007", "a-1000"]
    assert rows["frame"].is_monotonic_increasing


def test_frame_in_the_key_of_a_json():
    rows = expanded([row(frames="8-10", mask="m.json::slice-{frame}.tif")])
    assert rows["mask_key"].tolist() == ["slice-8.tif", "slice-9.tif", "slice-10.tif"]
    assert only(mask="m.json::{frame}")["mask_key"] == "{frame}"
    assert only(frames="3", mask="m.npz::{frame}")["mask_key"] == "{frame}"
    for mask in ("m.json", "m.json::slice.tif"):  # one annotation for all frames
        found = problems_of(expanded, [row(frames="8-9", mask=mask)])
        assert [name for name, _ in found] == ["a-08", "a-09"]
        assert "slice-{frame}.tif" in found[0][1]


def test_frame_in_the_group():
    rows = expanded([row(frames="8-10", group="run{frame}")])
    assert rows["group"].tolist() == ["run8", "run9", "run10"]
    (problem,) = problems_of(expanded, [row(group="run{frame}")])
    assert problem[0] == "run{frame}"


@pytest.mark.parametrize(
    ("cell", "path", "key"),
    [
        ("x/a.tif", "data/x/a.tif", ""),
        ("../a.tif", "a.tif", ""),
        ("/raw/a.h5::set/one", "/raw/a.h5", "set/one"),
    ],
)
def test_paths_start_at_the_folder_of_the_sheet(cell, path, key):
    assert only(image=cell)[["image", "image_key"]].tolist() == [path, key]


def test_a_sheet_beside_the_run_needs_no_folder():
    cells = pd.DataFrame([row()], dtype=str)
    assert expand(cells, "sheet.tsv", schema("micrographs"))["image"].tolist() == ["a.tif"]


@pytest.mark.parametrize("name", ["007", "1e5", "1.0", "True", "0x1F"])
def test_names_that_look_like_numbers_stay_text(name):
    assert only(micrograph=name, group=name)[["micrograph", "group"]].tolist() == [name, name]


@pytest.mark.parametrize("name", ["../x", "..", ".", ".hidden", "a/b", "a b", "-a", "a+b", "nan"])
@pytest.mark.parametrize("column", ["micrograph", "group"])
def test_names_that_are_no_file_names_are_refused(column, name):
    ((_, what),) = problems_of(expanded, [row(**{column: name})])
    assert what.startswith(f"{column}: ")


@pytest.mark.parametrize(
    "cells",
    [
        {"group": ""},
        {"image": ""},
        {"use": "validation"},
        {"pixel_size_nm": "2 nm"},
        {"pixel_size_nm": "-1"},
        {"pixel_size_nm": "0.0"},
        {"cohort": "-1"},
        {"cohort": "9" * 20},
        {"fold": "1.0"},
        {"frames": "1-"},
        {"frames": "4-2"},
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_bad_cell_names_its_row(cells):
    bad = problems_of(expanded, [row(), row(**{"micrograph": "b"} | cells)])
    assert [name for name, _ in bad] == ["b"]


def test_all_bad_rows_are_told_at_once():
    good = annotated(("s1", 2))
    bad = [row(micrograph="a", use="?"), row(micrograph="b", fold="?"), row(micrograph="", use="?")]
    named = problems_of(expanded, [*good, *bad])
    assert sorted(name for name, _ in named) == ["a", "b", "line 6", "line 6"]


def test_rows_that_contradict_each_other_are_told_at_once():
    rows = annotated(
        ("twice", 2), ("two_uses", 1), ("two_uses", 1, {"use": "test", "cohort": "1"}),
        ("two_folds", 1, {"fold": "0"}), ("two_folds", 1, {"fold": "1", "cohort": "1"}),
    )  # fmt: skip
    rows[1]["micrograph"] = rows[0]["micrograph"]
    assert problems_of(expanded, rows) == [
        ("twice_000", "this id occurs more than once"),
        ("two_folds", "this group is pinned to folds 0 and 1"),
        ("two_uses", "this group is used as cv and test; a group has one use"),
    ]


def test_an_id_may_not_be_a_frame_of_another_row():
    rows = [row(frames="0-3"), row(micrograph="a-02")]
    assert problems_of(expanded, rows) == [("a-02", "this id occurs more than once")]


def test_no_rows_is_an_error():
    empty = pd.DataFrame(columns=["micrograph", "image", "group"], dtype=str)
    ((name, what),) = problems_of(expand, empty, SHEET, schema("micrographs"))
    assert name == "sheet"
    assert "no rows" in what


def test_without_groups_each_micrograph_is_its_own():
    rows = expanded([{"micrograph": name, "image": "x.tif"} for name in "ab"], grouped=False)
    assert rows["group"].tolist() == ["a", "b"]
    framed = expanded([{"micrograph": "a", "image": "x.tif", "frames": "0-1"}], grouped=False)
    assert framed["group"].tolist() == ["a-00", "a-01"]


@given(st.permutations(range(12)))
@settings(max_examples=8)
def test_the_order_of_rows_does_not_matter(order):
    rows = annotated(("s1", 5), ("s2", 4, {"frames": "1-2"}), ("s10", 3, {"fold": "1"}))
    pd.testing.assert_frame_equal(expanded([rows[i] for i in order]), expanded(rows))
