"""Inventories: what lies in the folder of results."""

import hashlib

import pytest

from builders import problems_of
from tessera.inventories import contents, files_below, hashed
from tessera.products import Job


def job(*writes):
    return Job("predict", {"shard": "a"}, writes, (), (), ())


@pytest.fixture
def results(tmp_path):
    for path in ("predictions/a/1.tif", "predictions/a/.snakemake_timestamp", "lineages/a"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path, encoding="utf-8")
    return tmp_path


def test_files_and_folders_are_hashed_by_their_path(results):
    found = contents(results, [job("predictions/a/", "lineages/a")], threads=2)
    sha256 = hashlib.sha256(b"predictions/a/1.tif").hexdigest()
    assert found.products["predictions/a/1.tif"] == (sha256, 19)
    assert found.folders == {"predictions/a/": ["predictions/a/1.tif"]}
    assert list(found.files(["predictions/a/", "lineages/a"])) == [
        "predictions/a/1.tif",
        "lineages/a",
    ]


def test_all_that_is_missing_is_named_at_once(results):
    wanted = job("predictions/b/", "lineages/a", "lineages/b")
    (results / "predictions/b").mkdir()
    what = "is missing; run again, and it is made"
    assert problems_of(contents, results, [wanted], 1) == [("predict/a", what)] * 2


def test_what_is_hidden_is_no_product(results):
    names = [path.name for path in files_below(results)]
    assert names == ["a", "1.tif"]
    assert set(hashed(results, files_below(results), 1)) == {"lineages/a", "predictions/a/1.tif"}
