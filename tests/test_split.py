"""The step split: the audited table is written only when nothing speaks against it."""

import numpy as np
import pandas as pd
import pytest

import split
from builders import problems_of, texture
from tessera.fingerprints import fingerprint


@pytest.fixture
def splitting(tmp_path):
    """A function that runs the step on pages by group; each group is a fold of its own."""

    def of(pages, allow_duplicates=False):
        shards, tables, tiles = [], [], []
        for fold, (group, page) in enumerate(pages.items()):
            shards.append({"shard": group, "group": group, "use": "cv", "fold": str(fold)})
            known = {"micrograph": f"00{fold}", "file": f"{group}.tif", "rows": 64, "columns": 64}
            known |= {"pixels_sha256": group * 64, "fingerprint": fingerprint(page)}
            tables.append(tmp_path / f"{group}.tsv")
            pd.DataFrame([known]).to_csv(tables[-1], sep="\t", index=False)
            tiles.append(tmp_path / f"{group}.parquet")
            pd.DataFrame({"share_0": [0.5], "share_1": [0.5], "used": [True]}).to_parquet(tiles[-1])
        classes, output = ["background", "particle"], tmp_path / "folds.tsv"
        split.main(shards, tables, tiles, classes, allow_duplicates, output)
        return pd.read_csv(output, sep="\t", dtype=str)

    return of


def test_groups_that_share_nothing_are_written_down(splitting):
    table = splitting({group: texture(seed) for seed, group in enumerate("abc")})
    assert table[["group", "fold"]].to_numpy().tolist() == [["a", "0"], ["b", "1"], ["c", "2"]]


def test_names_and_fingerprints_that_look_like_numbers_stay_text(splitting, tmp_path):
    """The fingerprint of a blank micrograph is all zeros."""
    blank = {"a": np.zeros((64, 64)), "b": texture(0), "c": np.zeros((64, 64))}
    ((name, what),) = problems_of(splitting, blank)
    assert name == "000"
    assert what.startswith("is near-identical (0 of 256 bits differ) to 002")
    assert not (tmp_path / "folds.tsv").exists()
    assert len(splitting(blank, allow_duplicates=True)) == 3
