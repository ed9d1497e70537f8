"""A study that was kept is the study, for whoever has the same config and sheet."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from builders import annotated, config, schema
from tessera import sheets
from tessera.cohorts import Kept
from tessera.recollections import REST, ROWS, keep, recall
from tessera.studies import Study

CELLS = annotated(
    *((name, 3) for name in "abcd"),
    ("u", 2, {"mask": ""}),
    ("t", 2, {"use": "test", "pixel_size_nm": "2.5"}),
    ("s", 2, {"use": "train"}),
)


@pytest.fixture
def study(tmp_path):
    """A study with a sheet on disk."""
    path = tmp_path / "sheet.tsv"
    cells = pd.DataFrame(CELLS, dtype=str).fillna("")
    cells.to_csv(path, sep="\t", index=False)
    rows = sheets.expand(cells, str(path), schema("micrographs"))
    raw = [path for path in (*rows["image"], *rows["mask"]) if path]
    return Study(rows, str(path), config(sheet=str(path)), {p: f"of {p}" for p in raw}, str)


def test_kept_networks_are_known_to_a_job(study, tmp_path):
    groups = {"a": ("cv", "0"), "t": ("test", "")}
    kept = Kept(1, {("0", "0"): "lineage", ("0", "1"): "another"}, groups, "of scores")
    keep(replace(study, kept={1: kept}), tmp_path)
    assert recall(dict(study.config), None, tmp_path).kept == {1: kept}


def test_all_that_a_job_asks_for_is_the_same(study, tmp_path):
    keep(study, tmp_path)
    found = recall(dict(study.config), None, tmp_path)
    assert {of: found.lineage(*of) for of in found.products} == {
        of: study.lineage(*of) for of in study.products
    }
    assert found.shards.to_dict() == study.shards.to_dict()
    assert found.folds["fold"].to_dict() == study.folds["fold"].to_dict()
    assert found.fold_names == study.fold_names
    for shard in study.shards.index:
        for column in ("image", "mask") if study.shards.loc[shard, "annotated"] else ("image",):
            assert found.raw_digests(shard, column) == study.raw_digests(shard, column)
            asked = (shard, column, "pixel_size_nm")
            assert repr(found.raw_rows(*asked)) == repr(study.raw_rows(*asked))
        assert found.networks_for(shard) == study.networks_for(shard)
    for fold in study.fold_names:
        assert found.training_shards(fold) == study.training_shards(fold)


def test_a_study_without_folds_is_kept_too(study, tmp_path):
    rows = study.rows.assign(use=study.rows["use"].replace("cv", "train"))
    whole = Study(rows, study.sheet, study.config, study.sha256, str)
    keep(whole, tmp_path)
    assert recall(dict(study.config), None, tmp_path).fold_names == whole.fold_names == ["all"]


@pytest.mark.parametrize(
    "change",
    [
        lambda study, folder: study.config.update(shard_size=2),
        lambda study, folder: Path(study.sheet).write_text("micrograph\timage\n"),
        lambda study, folder: (folder / REST).unlink(),
        lambda study, folder: (folder / REST).write_text("{"),
        lambda study, folder: (folder / ROWS).write_bytes(b"PAR1"),
    ],
    ids=["config", "sheet", "gone", "damaged", "damaged rows"],
)
def test_nothing_is_recalled_after_a_change(study, tmp_path, change):
    keep(study, tmp_path)
    change(study, tmp_path)
    assert recall(dict(study.config), None, tmp_path) is None


def test_keeping_again_replaces_what_was_kept(study, tmp_path):
    keep(study, tmp_path)
    study.config["shard_size"] = 2
    again = Study(study.rows, study.sheet, study.config, study.sha256, str)
    keep(again, tmp_path)
    assert list(recall(dict(again.config), None, tmp_path).shards.index) == list(again.shards.index)
    assert json.loads((tmp_path / REST).read_text())["key"]
