"""Bad rows: one clear message with all of them, before any training, and nothing half-written."""

import shutil

import numpy as np
import pytest
import tifffile

from builders import texture
from tiny_study import SIDE_PX


@pytest.fixture
def untrained(study):
    """A study that has come as far as its folds: only what a change needs is made again."""
    for path in (study.folder / "results").iterdir():
        if path.name not in ("micrographs", "masks", "normalised", "tiles", "plan.yaml"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return study


def edited(study, row, **cells):
    rows = study.sheet
    for column, value in cells.items():
        rows.loc[rows["micrograph"] == row, column] = value
    study.write_sheet(rows)


def no_training(study):
    return not (study.folder / "results/networks").exists()


def test_everything_the_sheet_gets_wrong_is_told_at_once(fresh):
    edited(fresh, "a-1", image="gone.tif")
    edited(fresh, "b-1", mask="gone.mask.tif")
    said = fresh.refused()
    assert "a-1: data/gone.tif: this image is missing" in said
    assert "b-1: data/gone.mask.tif: this mask is missing" in said
    assert "2 faults" in said
    assert not (fresh.folder / "results").exists()


@pytest.mark.parametrize(
    ("micrograph", "cells", "words"),
    [
        ("a-1", {"micrograph": "b-1"}, "b-1: data/micrographs.tsv: this id occurs more than once"),
        ("a-1", {"group": ""}, "a-1: data/micrographs.tsv: 'group' is a required property"),
        ("a-1", {"group": "../x"}, "a-1: data/micrographs.tsv: group: '../x' does not match"),
        ("a-1", {"use": "validate"}, "a-1: data/micrographs.tsv: use: 'validate' is not one of"),
        ("a-1", {"use": "test"}, "a: data/micrographs.tsv: this group is used as cv and test"),
    ],
)
def test_bad_cell(fresh, micrograph, cells, words):
    edited(fresh, micrograph, **cells)
    said = fresh.refused("-n")
    assert words in said
    assert "1 fault:" in said
    assert "Traceback" not in said


def test_more_folds_than_groups(fresh):
    fresh.configure(split={"folds": 9})
    assert "9 folds, but only 4 groups to cross-validate" in fresh.refused("-n")


def test_config_faults_are_told_at_once(fresh):
    fresh.configure(tile={"size_px": "large", "overlap": 3}, train={"batch": 0})
    said = fresh.refused("-n")
    assert "tile.size_px: 'large' is not of type 'integer'" in said
    assert "'overlap' was unexpected" in said
    assert "train.batch: 0 is less than the minimum of 1" in said


def test_files_that_cannot_be_read_and_masks_that_do_not_fit_are_told_at_once(fresh):
    data = fresh.folder / "data"
    (data / "a-1.tif").write_bytes(b"II*\0 and then nothing of a TIFF")
    (data / "t-2.tif").write_text("a letter to the editor")
    burnt = np.arange(SIDE_PX**2, dtype=np.uint16).reshape(SIDE_PX, SIDE_PX)
    tifffile.imwrite(data / "d-1.tif", np.minimum(burnt, 2560))
    undeclared = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    undeclared[:3, :5] = 130
    tifffile.imwrite(data / "b-2.mask.tif", undeclared)
    tifffile.imwrite(data / "c-1.mask.tif", np.zeros((SIDE_PX, 10), np.uint8))
    # Else tiles wait for a plan of all micrographs, and nobody sees yet that c-1 does not fit.
    fresh.configure(normalise={"pixel_size_nm": "keep"}, ingest={"limits": {"saturated": 0.5}})
    said = fresh.refused()
    assert "a-1: data/a-1.tif: holds no page" in said
    assert "t-2: data/t-2.tif: no known format begins with the bytes b'a letter'" in said
    assert "b-2: data/b-2.mask.tif: undeclared mask value 130 (15 px)" in said
    assert (
        f"c-1: c-1.mask.tif: the mask is {SIDE_PX} x 10, the micrograph {SIDE_PX} x {SIDE_PX} px"
        in said
    )
    assert (
        "d-1: data/d-1.tif: 60 % of its pixels are saturated (1 are 0, the least; 3,840 are 2560,"
        " the most), the limit is 50 % (ingest: limits: saturated)" in said
    )
    assert "5 faults:" in said
    assert no_training(fresh)
    for shard in ("a", "d", "t"):
        names = {path.name for path in (fresh.folder / "results/micrographs").iterdir()}
        assert not [name for name in names if name.lstrip(".").startswith(f"{shard}.")]
    log = (fresh.folder / "results/logs/ingest/t.log").read_text(encoding="utf-8")
    assert log.splitlines()[-1].startswith("FAULT t-2")


def test_class_absent_from_a_fold(untrained):
    for group in "bc":
        for number in (1, 2):
            empty = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
            tifffile.imwrite(untrained.folder / f"data/{group}-{number}.mask.tif", empty)
    said = untrained.refused()
    assert "fold 0: results/folds.tsv: no training tile holds the class square" in said
    assert no_training(untrained)


def test_near_identical_micrographs_in_two_groups(untrained):
    data = untrained.folder / "data"
    same = tifffile.imread(data / "a-1.tif")
    tifffile.imwrite(data / "b-1.tif", (same // 2 + 30).astype(np.uint8))
    said = untrained.refused()
    assert "a-1" in said
    assert "near-identical" in said
    assert "b-1 (b-1.tif), but they are in the groups a and b" in said
    assert no_training(untrained)


def test_area_shared_by_two_groups(untrained):
    data = untrained.folder / "data"
    area, masks = texture(0, (260, 260), 2), np.zeros((160, 160), np.uint8)
    masks[40:120, 40:120] = 255
    random = np.random.default_rng(0)
    for name, (top, left) in {"a-1": (0, 0), "t-2": (60, 90)}.items():
        page = area[top : top + 160, left : left + 160] + random.normal(0, 0.2, (160, 160))
        tifffile.imwrite(data / f"{name}.tif", (1000 + 100 * page).astype(np.uint16))
        tifffile.imwrite(data / f"{name}.mask.tif", masks)
    said = untrained.refused("--", "results/folds.tsv")
    assert "a-1: a-1.tif: shows 27 % of the same area as t-2 (t-2.tif)" in said
    assert "+60 px down and +90 px right of it, but they are in the groups a and t" in said
    assert "1 fault:" in said
    assert (untrained.folder / "results/leaks/a-1--t-2.png").is_file()
    assert not (untrained.folder / "results/leaks.tsv").exists()
    untrained.configure(split={"overlaps": "allow"})
    untrained.run("--", "results/folds.tsv")
    table = (untrained.folder / "results/leaks.tsv").read_text(encoding="utf-8")
    assert "a-1\ta\ta-1.tif\tt-2\tt\tt-2.tif\toverlap\t27" in table
    assert (untrained.folder / "results/leaks/a-1--t-2.png").is_file()


def test_group_that_would_move_stops_the_run_and_keeps_the_table(study):
    before = (study.folder / "results/folds.tsv").read_bytes()
    edited(study, "a-1", fold="1")
    said = study.refused("-n")
    assert "a: results/folds.tsv: would move from fold 0 to fold 1" in said
    assert "make freeze-folds" in said
    assert (study.folder / "results/folds.tsv").read_bytes() == before
    study.configure(split={"moved": "allow"})
    assert "Training the network of fold 2, seed 0" in study.plan()


def test_failed_audit_keeps_the_last_table(study):
    before = (study.folder / "results/folds.tsv").read_bytes()
    data = study.folder / "data"
    (data / "b-1.tif").write_bytes((data / "a-1.tif").read_bytes())
    assert "identical to" in study.refused()
    assert (study.folder / "results/folds.tsv").read_bytes() == before
