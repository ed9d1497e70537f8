"""A study is made again from its own record, and whatever differs is named."""

import os
import shutil

import pandas as pd
import pytest

import reproduce
from builders import problems_of
from tiny_study import TinyStudy


@pytest.fixture
def results(finished, tmp_path):
    """A folder of results, taken out of its study."""
    shutil.copytree(finished.folder / "results", tmp_path / "kept" / "results")
    return tmp_path / "kept" / "results"


def test_a_study_made_again_elsewhere_on_other_cores_is_identical(
    finished, results, tmp_path, capfd, monkeypatch
):
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    into = tmp_path / "again"
    assert reproduce.main(results, into, finished.folder / "data", "1") == 0
    recorded = reproduce.read_manifest(results)
    number = (recorded["rule"] != "audit").sum()
    said = capfd.readouterr().out.splitlines()
    assert said[-1] == f"identical: all {number} products, byte for byte"
    again = TinyStudy(into)
    assert again.plan() == []
    network = into / "results/networks/seed-0/fold-0.pt"
    network.write_bytes(network.read_bytes() + b"x")  # which no manifest knows: not compared
    manifest = pd.read_csv(into / "results/manifest.tsv", sep="\t", dtype=str)
    manifest.loc[manifest["path"] == "folds.tsv", "sha256"] = "0"
    assert reproduce.compare(recorded, manifest.fillna("")) == 1
    said = capfd.readouterr().out.splitlines()
    assert said[0] == "DIFFERS folds.tsv: another sha256"
    assert said[-1] == f"1 of {number} products differ; the first: folds.tsv"


def test_it_does_not_begin_with_other_raw_files(finished, results, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(finished.folder / "data", raw)
    (raw / "a-1.tif").write_bytes((raw / "a-2.tif").read_bytes())
    (raw / "b-1.mask.tif").unlink()
    into = tmp_path / "again"
    assert problems_of(reproduce.main, results, into, raw, "1") == [
        ("a-1", "is not the file that the study was made from"),
        ("b-1", "is missing; name the raw folder by --raw"),
    ]
    assert not into.exists()


def test_it_overwrites_nothing(finished, results, tmp_path):
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "mine").write_text("x", encoding="utf-8")
    problems = problems_of(
        reproduce.main, results, tmp_path / "again", finished.folder / "data", "1"
    )
    assert [what for _, what in problems] == [
        "is there already; remove it, or name another by --into"
    ]


def test_without_a_record_nothing_is_made_again(tmp_path):
    what = "is missing: run the study to its end"
    assert problems_of(reproduce.read_manifest, tmp_path) == [("reproduce", what)]


def test_other_code_and_another_lock_are_said(results):
    manifest = reproduce.read_manifest(results)
    assert list(reproduce.otherwise(results, manifest)) == []
    manifest.loc[manifest["rule"] == "tile", "code"] = "0" * 16
    (results / "study/requirements.lock").write_text("numpy==1\n", encoding="utf-8")
    assert list(reproduce.otherwise(results, manifest)) == [
        "the code of tile is another than that of the study",
        "envs/requirements.lock is another than that of the study",
    ]
