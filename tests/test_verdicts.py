"""Verdicts: what the steps would refuse is known before they run, and looked at once."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

import annotate
import ingest
from builders import config
from tessera import annotations, crops, digests, micrographs
from tessera.classes import ClassTable
from tessera.digests import file_digest
from tessera.files import write_table
from tessera.preparation import VERDICTS, prepared
from tessera.problems import BadInput
from tessera.readers import UnreadableFile
from tessera.refusals import listed, records

CLASSES = {"background": 0, "particle": 255}
SHEET = "sheet.tsv"
COCO = {
    "images": [{"id": 1, "file_name": "good.tif", "height": 16, "width": 16}],
    "categories": [{"id": 1, "name": "particle"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 9, 1, 9, 9]]}
    ],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to run in, with good and bad micrographs and masks of 16 x 16 px."""
    monkeypatch.chdir(tmp_path)
    page = np.arange(256, dtype=np.uint8).reshape(16, 16)
    tifffile.imwrite("good.tif", page)
    tifffile.imwrite("good.mask.tif", np.where(page > 99, 255, 0).astype(np.uint8))
    Path("cut.tif").write_bytes(Path("good.tif").read_bytes()[:-50])
    Path("letter.tif").write_text("a letter to the editor")
    tifffile.imwrite("colour.tif", np.random.default_rng(0).integers(0, 99, (16, 16, 3), np.uint8))
    tifffile.imwrite("undeclared.tif", page)
    tifffile.imwrite("constant.tif", np.full((16, 16), 7, np.uint8))
    tifffile.imwrite("small.tif", np.zeros((16, 9), np.uint8))
    Path("regions.json").write_text(json.dumps(COCO))
    Path("broken.json").write_text("{")
    return tmp_path


def sheet(**files):
    """Good rows of three groups, and one of the group `a` for each (image, mask, cells)."""
    rows = [{"micrograph": f"{group}-ok", "group": group} for group in "abc"]
    rows = [{**row, "image": "good.tif", "mask": "good.mask.tif"} for row in rows]
    for name, (image, mask, *cells) in files.items():
        row = {"micrograph": name, "image": image, "mask": mask, "group": "a"}
        rows.append(row | (cells[0] if cells else {}))
    pd.DataFrame(rows).fillna("").to_csv(SHEET, sep="\t", index=False)


def study_of(**blocks):
    blocks = {"ingest": {"on_bad_file": "quarantine"}, **blocks}
    return prepared(config(classes=CLASSES, sheet=SHEET, **blocks))


def refused_by_the_steps(found, micrograph, column):
    """What the step that reads a file of a row says of it."""
    shard = "a"
    if column == "image":
        rows = found.raw_rows(shard, "image", "pixel_size_nm")
        of = [row for row in rows if row["micrograph"] == micrograph]
        outputs = ingest.Outputs(*(f"out/{name}" for name in ("1.tif", "2.tsv", "3.parquet", "4")))
        sums = [file_digest(of[0]["path"])]
        run = (ingest.main, of, sums, found.settings("ingest"), outputs)
    else:
        of = [row for row in found.raw_rows(shard, "mask") if row["micrograph"] == micrograph]
        table = ClassTable.from_config(CLASSES)
        sums = [file_digest(of[0]["path"])]
        known = None
        if of[0]["path"].endswith(".json"):
            row = {"micrograph": micrograph, "file": "good.tif", "rows": 16, "columns": 16}
            known = "known.tsv"
            write_table(known, pd.DataFrame([row | dict.fromkeys(crops.COLUMNS, 0)]))
        run = (annotate.main, of, sums, table, known, "out/5.tif", "out/6.tsv")
    with pytest.raises(BadInput) as caught:
        run[0](*run[1:])
    return caught.value.problems[0].what


BAD = {
    "cut": ("cut.tif", "good.mask.tif"),
    "letter": ("letter.tif", ""),
    "colour": ("colour.tif", "good.mask.tif"),
    "constant": ("constant.tif", ""),
    "huge": ("good.tif", "good.mask.tif", {"pixel_size_nm": "5e9"}),
    "values": ("good.tif", "undeclared.tif"),
    "json": ("good.tif", "broken.json"),
}


def test_reasons_are_those_of_the_steps(folder):
    sheet(**BAD, regions=("good.tif", "regions.json"))
    found = study_of()
    reasons = found.quarantine.reasons
    assert dict(reasons.keys()) == {
        "cut": "image", "letter": "image", "colour": "image", "huge": "image",
        "constant": "image",
        "values": "mask", "json": "mask",
    }  # fmt: skip
    assert found.rows["micrograph"].tolist() == ["a-ok", "b-ok", "c-ok", "regions"]
    whole = found.of(found.sheet_rows)
    for (micrograph, column), why in reasons.items():
        shard = whole.of(whole.rows[whole.rows["micrograph"] == micrograph].assign(annotated=True))
        assert why == refused_by_the_steps(shard, micrograph, column), micrograph


def test_all_that_is_wrong_with_a_row_is_told_and_a_missing_file_too(folder):
    sheet(
        both=("cut.tif", "undeclared.tif"),
        small=("good.tif", "small.tif"),
        gone=("gone.tif", "small.tif"),
        unmasked=("good.tif", "gone.mask.tif"),
        unknown=("cut.tif", "regions.json"),
    )
    reasons = study_of().quarantine.reasons
    assert reasons["small", "mask"] == "the mask is 16 x 9, the micrograph 16 x 16 px"
    assert reasons["gone", "image"] == "this image is missing"
    assert reasons["unmasked", "mask"] == "this mask is missing"
    assert set(reasons) == {
        ("both", "image"), ("both", "mask"), ("small", "mask"), ("gone", "image"),
        ("unmasked", "mask"), ("unknown", "image"),
    }  # fmt: skip


def test_masks_are_looked_at_with_what_is_cut_off_their_micrographs(folder):
    values = np.zeros((16, 16), np.uint8)
    values[12:] = 77  # of a data bar, where they stand for nothing
    tifffile.imwrite("bar.mask.tif", values)
    tifffile.imwrite("cut.mask.tif", values[:12])
    masks = {"bar": "bar.mask.tif", "short": "cut.mask.tif", "small": "small.tif"}
    sheet(**{name: ("good.tif", mask) for name, mask in masks.items()})
    ingest = {"on_bad_file": "quarantine"}
    assert study_of(ingest={**ingest, "crop": {"bottom": 4}}).quarantine.reasons == {
        ("small", "mask"): "the mask is 16 x 9, the micrograph 12 x 16 px"
    }
    assert study_of(ingest=ingest).quarantine.reasons == {
        ("bar", "mask"): "undeclared mask value 77 (64 px)",
        ("short", "mask"): "the mask is 12 x 16, the micrograph 16 x 16 px",
        ("small", "mask"): "the mask is 16 x 9, the micrograph 16 x 16 px",
    }


def test_a_file_is_looked_at_once_and_again_when_what_decides_has_changed(folder, monkeypatch):
    sheet(**BAD)
    looked = []
    for module, name in ((micrographs, "read_image"), (annotations, "read_mask")):
        read = getattr(module, name)

        def counted(row, *rest, read=read, name=name):
            looked.append((name, (row[0] if name == "read_image" else row)["path"]))
            return read(row, *rest)

        monkeypatch.setattr(module, name, counted)
    first = study_of().quarantine.reasons
    assert len(looked) > 4
    looked.clear()
    assert study_of().quarantine.reasons == first
    assert looked == []
    # The same bytes under another name, and a damaged line, which is as good as none.
    Path("cut.tif").rename("moved.tif")
    sheet(**BAD | {"cut": ("moved.tif", "good.mask.tif")})
    assert study_of().quarantine.reasons == first
    assert looked == []
    lines = VERDICTS.read_text(encoding="utf-8").splitlines()
    at = next(number for number, line in enumerate(lines) if "letter" in line)
    lines[at] = lines[at][:-9]
    VERDICTS.write_text("\n".join(lines), encoding="utf-8")
    assert study_of().quarantine.reasons == first
    assert looked == [("read_image", "letter.tif")]
    looked.clear()
    VERDICTS.write_bytes(b"\xff")
    assert study_of().quarantine.reasons == first
    assert len(looked) > 4
    looked.clear()
    # Other classes decide masks alone.
    assert ("values", "mask") not in study_of(other="background").quarantine.reasons
    assert {name for name, _ in looked} == {"read_mask"}


def test_a_micrograph_of_several_files_is_refused_whole(folder):
    tifffile.imwrite("other.tif", np.arange(256, dtype=np.uint8)[::-1].reshape(16, 16))
    each = {"image": "", "image.O": "good.tif", "image.Fe": "other.tif"}
    rows = [
        {"micrograph": f"{of}-ok", "group": of, **each, "mask": "good.mask.tif"} for of in "abc"
    ]
    rows += [{**rows[0], "micrograph": of, "mask": ""} for of in ("away", "cut", "same")]
    rows[3]["image.Fe"], rows[4]["image.Fe"], rows[5]["image.Fe"] = "x.tif", "cut.tif", "good.tif"
    pd.DataFrame(rows).to_csv(SHEET, sep="\t", index=False)
    reasons = study_of(channels=["O", "Fe"]).quarantine.reasons
    assert set(reasons) == {("away", "image.Fe"), ("cut", "image"), ("same", "image")}
    assert reasons["away", "image.Fe"] == "this image.Fe is missing"
    assert reasons["cut", "image"].startswith("Fe (cut.tif) ")
    assert reasons["same", "image"] == "O, Fe are the same in every pixel: one grey picture"
    found = study_of(channels=["O", "Fe"])
    assert [of["file"] for of in listed(found)] == ["x.tif", "good.tif", "good.tif"]
    assert {key.partition("/")[2] for key in records(found)} == {"image", "image.Fe"}
    Path("cut.tif").write_bytes(Path("other.tif").read_bytes())
    assert study_of(channels=["O", "Fe"]).quarantine.names == {"away", "same"}


def test_what_is_mended_is_no_more_in_quarantine(folder):
    sheet(cut=("cut.tif", "good.mask.tif"))
    assert study_of().quarantine.names == {"cut"}
    Path("cut.tif").write_bytes(Path("good.tif").read_bytes())
    assert study_of().quarantine.names == set()
    sheet(cut=("letter.tif", "good.mask.tif"))
    assert study_of().quarantine.names == {"cut"}
    sheet(cut=("good.tif", "good.mask.tif"))
    assert study_of().quarantine.names == set()


def test_what_is_not_for_the_file_stops_the_run_and_is_not_kept(folder, monkeypatch):
    sheet()
    read = micrographs.read_image

    def lacking(row, settings):
        what = "BCF needs the package x: python -m pip install x"
        raise UnreadableFile(what) from ModuleNotFoundError("x")

    monkeypatch.setattr(micrographs, "read_image", lacking)
    with pytest.raises(BadInput, match=r"a-ok: good.tif: BCF needs the package x"):
        study_of()

    def changing(row, settings):
        Path("good.tif").write_bytes(Path("good.tif").read_bytes() + b"more")
        return read(row, settings)

    monkeypatch.setattr(micrographs, "read_image", changing)
    with pytest.raises(BadInput, match=r"a-ok: good.tif: has changed while it was looked at"):
        study_of()
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    tifffile.imwrite("good.tif", np.eye(16, dtype=np.uint8))
    assert study_of().quarantine.names == set()


def test_bad_files_stop_the_run_unless_the_config_says_otherwise(folder):
    sheet(cut=("cut.tif", "gone.mask.tif"), gone=("gone.tif", ""))
    with pytest.raises(BadInput) as caught:
        study_of(ingest={"on_bad_file": "stop"})
    assert [(of.micrograph, of.what) for of in caught.value.problems] == [
        ("cut", "this mask is missing"),
        ("gone", "this image is missing"),
    ]
    assert not VERDICTS.exists()


def test_what_the_system_will_not_read_is_bad_too(folder, monkeypatch):
    Path("locked.tif").write_bytes(Path("good.tif").read_bytes() + b"another")
    sheet(locked=("locked.tif", "good.mask.tif"))
    read = digests.file_digest

    def denied(path):
        if path == "locked.tif":
            raise PermissionError(13, "Permission denied", path)
        return read(path)

    monkeypatch.setattr(digests, "file_digest", denied)
    why = "cannot be read: Permission denied"
    assert study_of().quarantine.reasons == {("locked", "image"): why}
    with pytest.raises(BadInput, match=f"locked: locked.tif: {why}"):
        study_of(ingest={"on_bad_file": "stop"})
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert study_of().quarantine.names == set()


def test_where_nothing_is_left_to_learn_from_the_run_stops_with_all_reasons(folder):
    sheet()
    Path("good.mask.tif").write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        study_of()
    said = [str(problem) for problem in caught.value.problems]
    assert len([line for line in said if "good.mask.tif: no known format" in line]) == 3
    assert "fold 0: no row with a mask" in said[-3]
    assert said[-1].endswith("but for what is in quarantine")
