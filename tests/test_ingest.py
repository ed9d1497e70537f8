"""Ingest: what a file states reaches the table, all it says the metadata; no shard by halves."""

import json
from pathlib import Path

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile

from ingest import Outputs, main
from samples_of_formats import FEI, PAGE, STACK, with_tag
from tessera.digests import file_digest
from tessera.files import open_pages, read_table
from tessera.problems import BadInput

LIMITS = {"saturated": 0.5, "dead_lines": 0.1, "constant": "refuse"}
SETTINGS = {"crop": None, "limits": LIMITS}
NAMES = ("pages.tif", "table.tsv", "landmarks.parquet", "metadata.json")


@pytest.fixture
def outputs(tmp_path):
    return Outputs(*(str(tmp_path / "results" / name) for name in NAMES))


def row(name, path, frame=-1, pixel_size_nm=np.nan, key=""):
    return {
        "micrograph": name, "path": str(path), "key": key, "frame": frame,
        "pixel_size_nm": pixel_size_nm,
    }  # fmt: skip


def ingested(outputs, *rows):
    main(rows, [file_digest(row["path"]) for row in rows], SETTINGS, outputs)
    said = json.loads(Path(outputs.metadata).read_text(encoding="utf-8"))
    return read_table(outputs.table).set_index("micrograph"), said


def faults(outputs, *rows):
    with pytest.raises(BadInput) as caught:
        ingested(outputs, *rows)
    return {problem.micrograph: problem.what for problem in caught.value.problems}


def test_what_a_file_states_is_in_the_table(tmp_path, outputs):
    with_tag(34682, "s", FEI)(tmp_path / "fei.tif")
    tifffile.imwrite(tmp_path / "bare.tif", PAGE)
    table, said = ingested(outputs, row("a", tmp_path / "fei.tif"), row("b", tmp_path / "bare.tif"))
    known = ["pixel_size_nm", "instrument", "voltage_kv", "recorded", "detector"]
    assert table.loc["a", known].tolist() == [3.5, "Helios 660", 5, "2016-06-13T17:06:40", "ETD"]
    assert np.isnan(table.loc["a", "magnification"])
    assert table.loc["b", ["instrument", "recorded", "detector"]].tolist() == ["", "", ""]
    assert table.loc["b", ["pixel_size_nm", "voltage_kv", "magnification"]].isna().all()
    assert [entry["micrographs"] for entry in said] == [["a"], ["b"]]
    assert said[0]["metadata"]["FEI_HELIOS"]["Detectors"] == {"Name": "ETD"}
    assert said[0]["file_sha256"] == table.loc["a", "file_sha256"]


def test_frames_of_one_file_share_what_it_says(tmp_path, outputs):
    mrcfile.write(tmp_path / "stack.mrc", STACK, voxel_size=5)
    table, said = ingested(
        outputs, *(row(f"s-{frame}", tmp_path / "stack.mrc", frame) for frame in range(3))
    )
    assert table["pixel_size_nm"].tolist() == [0.5] * 3
    (entry,) = said
    assert entry["micrographs"] == ["s-0", "s-1", "s-2"]
    for page, frame in zip(open_pages(outputs.pages), STACK, strict=True):
        np.testing.assert_array_equal(page, frame)


def test_pixels_that_are_not_square_need_a_size_in_the_sheet(tmp_path, outputs):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"] = PAGE
        file["one"].attrs["element_size_um"] = (1.0, 0.002, 0.003)
    bare = row("a", tmp_path / "a.h5", key="one")
    assert "2 nm high and 3 nm wide" in faults(outputs, bare)["a"]
    table, _ = ingested(outputs, bare | {"pixel_size_nm": 2.5})
    assert table.loc["a", "pixel_size_nm"] == 2.5


def test_sides_that_differ_by_rounding_are_square(tmp_path, outputs):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"] = PAGE
        file["one"].attrs["element_size_um"] = (1.0, 0.0020001, 0.002)
    table, _ = ingested(outputs, row("a", tmp_path / "a.h5", key="one"))
    assert table.loc["a", "pixel_size_nm"] == pytest.approx(2)


def test_a_shard_with_a_bad_file_leaves_nothing(tmp_path, outputs):
    tifffile.imwrite(tmp_path / "good.tif", PAGE)
    for name in ("cut", "flat"):
        tifffile.imwrite(tmp_path / f"{name}.tif", PAGE)
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:-9])
    (tmp_path / "flat.tif").write_bytes(b"")
    found = faults(outputs, *(row(n, tmp_path / f"{n}.tif") for n in ("good", "cut", "flat")))
    assert set(found) == {"cut", "flat"}
    assert list((tmp_path / "results").iterdir()) == []


def test_text_from_a_file_cannot_break_the_table(tmp_path, outputs):
    model = "Model\t5\n\x1b[31mred\x00 <script>"
    tags = [(271, "s", 0, "Maker\r\nx", True), (272, "s", 0, model, True)]
    tifffile.imwrite(tmp_path / "a.tif", PAGE, extratags=tags)
    table, _ = ingested(outputs, row("a", tmp_path / "a.tif"))
    assert table.loc["a", "instrument"] == "Maker x Model 5 [31mred <script>"
    assert len(Path(outputs.table).read_text(encoding="utf-8").splitlines()) == 2


def test_a_condition_past_a_limit_is_refused_and_all_are_told_at_once(tmp_path, outputs):
    bad = {name: PAGE.astype(np.float32) for name in ("nan", "white", "dead", "flat", "good")}
    bad["nan"][3, 4] = np.nan
    bad["white"][0, 0], bad["white"][4:] = 39, 40_000
    bad["dead"][5:8] = bad["dead"][4]
    bad["flat"][:] = 3
    for name, page in bad.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", page)
    assert faults(outputs, *(row(name, tmp_path / f"{name}.tif") for name in bad)) == {
        "nan": "1 pixels are not finite",
        "white": "79.1 % of its pixels are saturated (1 are 39, the least; 465 are 40000, the"
        " most), the limit is 50 % (ingest: limits: saturated); 15 of its 19 rows and 0 of its 31"
        " columns are dead, the limit is 10 % (ingest: limits: dead_lines)",
        "dead": "3 of its 19 rows and 0 of its 31 columns are dead, the limit is 10 % (ingest:"
        " limits: dead_lines)",
        "flat": "all its pixels are 3 (ingest: limits: constant)",
    }


def test_the_condition_is_in_the_table(tmp_path, outputs):
    page = np.minimum(PAGE, 20_000)
    page[9] = page[8]
    tifffile.imwrite(tmp_path / "a.tif", page)
    table, _ = ingested(outputs, row("a", tmp_path / "a.tif"))
    counted = ["lowest", "highest", "lowest_px", "highest_px", "dead_rows", "dead_columns"]
    assert table.loc["a", counted].tolist() == [
        page.min(), 20_000, (page == page.min()).sum(), (page == 20_000).sum(), 1, 0
    ]  # fmt: skip
