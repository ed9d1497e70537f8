"""Splitting: the audited table is written only when nothing speaks against it."""

import pandas as pd
import pytest
import split
from builders import problems_of

from tessera.fingerprints import fingerprint
from tessera.problems import read_back


@pytest.fixture
def study(tmp_path):
    """A function from pages by group to arguments of the script; each group is a fold."""

    def of(pages):
        shards, tables, tiles = [], [], []
        for fold, (group, page) in enumerate(pages.items()):
            shards.append({"shard": group, "group": group, "use": "cv", "fold": str(fold)})
            known = {"micrograph": f"00{fold}", "file": f"{group}.tif", "rows": 64, "columns": 64}
            known |= {"pixels_sha256": group * 64, "fingerprint": fingerprint(page)}
            tables.append(tmp_path / f"{group}.tsv")
            pd.DataFrame([known]).to_csv(tables[-1], sep="\t", index=False)
            tiles.append(tmp_path / f"{group}.parquet")
            pd.DataFrame({"share_0": [0.5], "share_1": [0.5], "used": [True]}).to_parquet(tiles[-1])
        return shards, tables, tiles, ["background", "particle"]

    return of
