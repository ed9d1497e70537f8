"""Quarantine, by the real Snakefile: what a bad file plans, what it leaves out, and its mending."""

import os
import re

import numpy as np
import pandas as pd
import tifffile

import reproduce
import verify
from test_verify import seal
from tiny_study import FOLD_OF, REPORTED, SIDE_PX, TinyStudy, draw, in_folds, jobs, others

QUARANTINE = {"ingest": {"on_bad_file": "quarantine"}}
TABLE = "results/quarantine.tsv"


def test_a_bad_file_plans_all_else_as_if_its_row_were_not_there(study):
    own = ["u+unlabelled"]
    study.configure(**QUARANTINE)
    assert study.plan() == jobs(quarantine=["-"], **REPORTED)
    data = study.folder / "data"
    image, mask = data / "u-1.tif", data / "b-1.mask.tif"
    kept = {path: path.read_bytes() for path in (image, mask)}
    image.write_bytes(b"II*\0 and then nothing of a TIFF")
    without = jobs(ingest=own, normalise=own, predict=own, quarantine=["-"], **REPORTED)
    assert study.plan() == without
    image.unlink()
    assert study.plan() == without
    image.write_bytes(kept[image])
    # A micrograph with a broken annotation is not one without: its whole row is left out.
    undeclared = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    undeclared[:3, :5] = 130
    tifffile.imwrite(mask, undeclared)
    learnt = [*in_folds(*others(FOLD_OF["b"])), "t"]
    without = jobs(
        ingest=["b"],
        annotate=["b"],
        normalise=["b"],
        tile=["b"],
        split=["-"],
        train=others(FOLD_OF["b"]),
        predict=[*learnt, "b", "u+unlabelled"],
        evaluate=[*learnt, "b"],
        summarise=["-"],
        quarantine=["-"],
        **REPORTED,
    )
    assert study.plan() == without
    said = study.snakemake("-n").stdout
    assert "1 row left out of the study, in quarantine until mended:" in said
    assert "b-1: data/b-1.mask.tif: undeclared mask value 130 (15 px)" in said
    # As if it were not there: the sheet without the row, its groups pinned to their folds.
    pinned = study.sheet.assign(fold=study.sheet["group"].map(FOLD_OF))
    study.write_sheet(pinned[pinned["micrograph"] != "b-1"])
    assert study.plan() == without


def test_what_is_bad_is_left_out_and_told_and_mended_it_joins(fresh, tmp_path, capsys):
    """Two groups in two folds, an unlabelled one, and one that is all in quarantine."""
    data = fresh.folder / "data"
    fresh.write_sheet(fresh.sheet[fresh.sheet["group"].isin(list("abtu"))])
    fresh.configure(split={"folds": 2}, **QUARANTINE)
    good = {name: (data / name).read_bytes() for name in ("a-2.tif", "u-2.tif")}
    (data / "a-2.tif").write_bytes(good["a-2.tif"][:-100])
    tifffile.imwrite(data / "t-1.mask.tif", np.zeros((SIDE_PX, 10), np.uint8))
    (data / "t-2.tif").write_text("a letter to the editor", encoding="utf-8")
    (data / "u-2.tif").unlink()
    fresh.run()
    assert fresh.plan() == []
    table = pd.read_csv(fresh.folder / TABLE, sep="\t", dtype=str, keep_default_na=False)
    cells = table[["micrograph", "group", "use", "fold", "column", "file"]].values.tolist()
    assert cells == [
        ["a-2", "a", "cv", "1", "image", "a-2.tif"],
        ["t-1", "t", "test", "", "mask", "t-1.mask.tif"],
        ["t-2", "t", "test", "", "image", "t-2.tif"],
        ["u-2", "u", "", "", "image", "u-2.tif"],
    ]
    assert table["reason"].tolist()[1:] == [
        f"the mask is {SIDE_PX} x 10, the micrograph {SIDE_PX} x {SIDE_PX} px",
        "no known format begins with the bytes b'a letter'",
        "this image is missing",
    ]
    told(fresh)
    on_record(fresh, tmp_path, capsys)
    mended(fresh, good)


def told(study):
    """The head of the report counts what is left out, and its table begins with what is gone."""
    page = (study.folder / "results/report.html").read_text(encoding="utf-8")
    head, _, rest = page.partition('<section id="settings">')
    assert "4 micrographs left out, in quarantine: 3 labelled." in head
    assert "Of 1 group nothing labelled is left: t." in head
    assert "<b>4</b><span>micrographs in quarantine</span>" in head
    section = head.partition('<section id="quarantine">')[2]
    assert re.findall(r"<tr><td>([^<]*)</td>", section) == ["t-1", "t-2", "a-2", "u-2"]
    assert "the mask is" in section
    assert 'id="m-u-2"' not in rest
    assert 'id="m-u-1"' in rest


def on_record(study, tmp_path, capsys):
    """The results prove themselves, a row that is struck off is found, and they are made again."""
    results, raw = study.folder / "results", study.folder / "data"
    known = pd.read_csv(results / "study/raw.tsv", sep="\t", dtype=str).set_index("path")
    assert "a-2.tif" in known.index
    assert "u-2.tif" not in known.index  # it has no digest
    assert verify.main([str(results)]) == 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    again = TinyStudy(tmp_path / "again")
    assert reproduce.main(results, again.folder, raw, "2") == 0
    copy = again.folder / "results"
    lines = (copy / "quarantine.tsv").read_text(encoding="utf-8").splitlines()
    (copy / "quarantine.tsv").write_text("\n".join([*lines[:1], *lines[2:], ""]), encoding="utf-8")
    seal(copy)
    capsys.readouterr()
    assert verify.main([str(copy), "--raw", str(raw)]) == 1
    said = capsys.readouterr().out
    assert "raw/image/a-2: is neither in the study nor in quarantine" in said


def mended(study, good):
    """Each file as it should have been plans what its micrograph would, had it been added."""
    data, unlabelled = study.folder / "data", ["u+unlabelled"]
    (data / "u-2.tif").write_bytes(good["u-2.tif"])
    joined = jobs(
        ingest=unlabelled, normalise=unlabelled, predict=unlabelled, quarantine=["-"], **REPORTED
    )
    assert study.plan() == joined
    (data / "u-2.tif").unlink()
    # Or the sheet points elsewhere.
    sheet, row = study.sheet, study.sheet["micrograph"] == "a-2"
    draw(data, "new")
    study.write_sheet(sheet.assign(image=sheet["image"].where(~row, "new.tif")))
    assert study.plan() == jobs(
        ingest=["a"],
        annotate=["a"],
        normalise=["a"],
        tile=["a"],
        split=["-"],
        train=["0"],
        predict=["a", "b", *unlabelled],
        evaluate=["a", "b"],
        summarise=["-"],
        quarantine=["-"],
        **REPORTED,
    )
