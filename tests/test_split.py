"""The step split: the audited table is written only when nothing speaks against it."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import split
from builders import problems_of, texture
from tessera.files import read_table, write_pages
from tessera.fingerprints import fingerprint
from tessera.landmarks import landmarks


@pytest.fixture
def splitting(tmp_path):
    """A function that runs the step on pages by group; each group is a fold of its own."""

    def of(pages, allowed=()):
        shards = []
        for fold, (group, page) in enumerate(pages.items()):
            placement = {"shard": group, "group": group, "use": "cv", "fold": str(fold)}
            paths = [tmp_path / f"{group}.{end}" for end in ("tsv", "tif", "marks", "parquet")]
            rows, columns = page.shape
            known = {"micrograph": f"00{fold}", "file": f"{group}.tif", "page": 0, "rows": rows}
            known |= {"columns": columns, "pixel_size_nm": np.nan, "pixels_sha256": group * 64}
            known["fingerprint"] = fingerprint(page)
            pd.DataFrame([known]).to_csv(paths[0], sep="\t", index=False)
            write_pages(paths[1], [(page, np.nan)], compressed=True)
            landmarks(page, np.nan).assign(page=0).to_parquet(paths[2], index=False)
            pd.DataFrame({"share_0": [0.5], "share_1": [0.5], "used": [True]}).to_parquet(paths[3])
            shards.append(split.Shard(placement, *paths))
        outputs = [tmp_path / name for name in ("folds.tsv", "leaks.tsv", "leaks")]
        split.main(shards, ["background", "particle"], allowed, *outputs)
        return [read_table(path) for path in outputs[:2]]

    return of


def test_groups_that_share_nothing_are_written_down(splitting, tmp_path):
    table, leaks = splitting({group: texture(seed) for seed, group in enumerate("abc")})
    assert table[["group", "fold"]].to_numpy().tolist() == [["a", "0"], ["b", "1"], ["c", "2"]]
    assert leaks.empty
    assert not (tmp_path / "leaks").exists()


def test_names_and_fingerprints_that_look_like_numbers_stay_text(splitting, tmp_path):
    page = texture(0)
    pages = {"a": page, "b": texture(1), "c": 7 * page}
    ((name, what),) = problems_of(splitting, pages)
    assert name == "000"
    assert what.startswith("is near-identical (0 of 256 bits differ) to 002")
    assert not (tmp_path / "folds.tsv").exists()
    table, leaks = splitting(pages, ["duplicates"])
    assert len(table) == 3
    assert leaks[["first", "second", "kind"]].to_numpy().tolist() == [
        ["000", "002", "near-identical"]
    ]


def test_blank_micrographs_are_not_taken_for_each_other(splitting):
    pages = {"a": np.zeros((64, 64)), "b": texture(0), "c": np.full((64, 64), 255.0)}
    table, leaks = splitting(pages)
    assert (len(table), len(leaks)) == (3, 0)


def test_a_shared_area_stops_the_run_and_is_shown(splitting, tmp_path):
    area = texture(3, (600, 600), 4)
    pages = {"a": area[:400, :400], "b": 5 + 2 * area[150:550, 200:600], "c": texture(4)}
    ((name, what),) = problems_of(splitting, pages)
    assert name == "000"
    assert what.startswith("shows 31 % of the same area as 001 (b.tif), which lies +150 px down")
    picture = tmp_path / "leaks" / "000--001.png"
    shown = np.asarray(Image.open(picture))
    assert shown.shape == (400, 812, 3)
    outline = np.argwhere((shown == (213, 94, 0)).all(axis=2))
    assert (outline.min(axis=0), outline.max(axis=0)) == (
        pytest.approx([0, 200], abs=3),
        pytest.approx([399, 412 + 199], abs=3),
    )
    _, leaks = splitting(pages, ["overlaps"])
    assert leaks[["first_group", "second_group", "kind"]].to_numpy().tolist() == [
        ["a", "b", "overlap"]
    ]
    assert picture.exists()
    splitting({**pages, "b": texture(9, (400, 400))})
    assert not picture.exists()
