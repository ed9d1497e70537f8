"""Where a study comes from: commit and state of the code, and raw files without private paths."""

import subprocess

import pandas as pd
import pytest

from builders import study_of
from tessera.origins import ROOT, commit, packages, raw_table, recorded_sheet


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one commit of code."""
    folder = tmp_path / "checkout"
    (folder / "workflow").mkdir(parents=True)
    (folder / "workflow" / "rule.py").write_text("1\n", encoding="utf-8")
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_a_clean_and_a_changed_checkout(checkout):
    clean = commit(checkout)
    assert len(clean["commit"]) == 40
    assert clean["changed"] == []
    (checkout / "sheet.tsv").write_text("of the user", encoding="utf-8")
    assert commit(checkout) == clean  # the sheet is recorded by itself
    (checkout / "workflow" / "rule.py").write_text("2\n", encoding="utf-8")
    (checkout / "workflow" / "new.py").write_text("3\n", encoding="utf-8")
    assert sorted(commit(checkout)["changed"]) == ["workflow/new.py", "workflow/rule.py"]


def test_code_without_a_commit(checkout, tmp_path):
    assert commit(tmp_path) == {}
    unpacked = checkout / "workflow"  # inside a checkout of something else
    assert commit(unpacked) == {}


def test_packages_are_those_installed():
    assert packages()["pandas"] == pd.__version__


def test_a_sheet_is_recorded_without_whose_home_it_lies_in():
    assert recorded_sheet("data/micrographs.tsv") == "data/micrographs.tsv"
    assert recorded_sheet("/home/somebody/micrographs.tsv") == "micrographs.tsv"


def test_every_raw_file_has_a_row_and_its_path_from_the_sheet(tmp_path, monkeypatch):
    found = study_of()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    for path in found.sha256:
        (tmp_path / path).write_bytes(b"1234")
    table = raw_table(found)
    assert len(table) == len(found.sha256)
    row = table.set_index(["micrograph", "column"]).loc[("c_001", "mask")]
    assert row[["group", "use", "path"]].tolist() == ["c", "cv", "c_001.mask.tif"]
    assert row[["bytes", "sha256"]].tolist() == [4, "data/c_001.mask.tif"]
    assert (ROOT / "Snakefile").is_file()
