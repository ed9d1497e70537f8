"""The real Snakefile on a tiny study: what comes out, and the graphs of studies of other kinds."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from tiny_study import FOLD_OF, ROOT, SIDE_PX, in_folds, others


def test_products_are_there_and_calibrated(finished):
    results = finished.folder / "results"
    for group in "abcdtu":
        shard = "u+unlabelled" if group == "u" else group
        for micrograph in (f"{group}-1", f"{group}-2"):
            stem = results / "predictions" / shard / micrograph
            mask = tifffile.imread(f"{stem}.mask.tif")
            probability = tifffile.imread(f"{stem}.probability.tif")
            entropy = tifffile.imread(f"{stem}.entropy.tif")
            assert mask.shape == entropy.shape == (SIDE_PX, SIDE_PX)
            assert probability.shape == (SIDE_PX, SIDE_PX, 2)
            assert np.array_equal(mask, probability.argmax(axis=-1))
            assert probability.sum(axis=-1) == pytest.approx(1, abs=1e-3)
            assert entropy.min() >= 0
            assert entropy.max() <= 1
    assert (results / "report.html").stat().st_size > 10_000


def test_folds_table_places_each_group_once(finished):
    folds = pd.read_csv(finished.folder / "results/folds.tsv", sep="\t", dtype=str)
    assert sorted(folds["group"]) == list("abcdt")
    assert dict(zip(folds["group"], folds["fold"].fillna(""), strict=True)) == {**FOLD_OF, "t": ""}


def test_metrics_are_those_of_the_predicted_masks(finished):
    results = finished.folder / "results"
    metrics = pd.read_csv(results / "metrics.tsv", sep="\t")
    predicted = [
        tifffile.imread(results / f"predictions/{g}/{g}-{n}.mask.tif")
        for g in "abcd"
        for n in (1, 2)
    ]
    true = [
        tifffile.imread(finished.folder / f"data/{g}-{n}.mask.tif") > 0
        for g in "abcd"
        for n in (1, 2)
    ]
    overlap = np.logical_and(predicted, true).sum()
    union = np.logical_or(predicted, true).sum()
    row = metrics.query(
        "use == 'cv' and method == 'network' and level == 'pooled' and `class` == 'square'"
    )
    assert row["iou"].item() == pytest.approx(overlap / union, abs=1e-5)


def _ancestors(inputs, output):
    """All that a product is made from, files and what they are made from."""
    found, waiting = set(), [output]
    while waiting:
        new = inputs.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def test_no_held_out_file_is_an_input_of_the_network_that_is_tested_on_it(study):
    inputs = study.inputs()
    for fold in "012":
        read = {Path(path).name for path in inputs[f"results/networks/seed-0/fold-{fold}.pt"]}
        trained = set(in_folds(*others(fold)))
        names = {f"{group}.{end}" for group in trained for end in ("tif", "parquet")}
        assert read == {*names, "plan.yaml"}
        known = _ancestors(inputs, f"results/networks/seed-0/fold-{fold}.pt")
        raw = [Path(path).name for path in known if path.startswith("data/")]
        assert {name.partition("-")[0] for name in raw} == trained
        for group in in_folds(fold):
            networks = {
                path for path in inputs[f"results/predictions/{group}"] if path.endswith(".pt")
            }
            assert networks == {f"results/networks/seed-0/fold-{fold}.pt"}
    for shard in ("t", "u+unlabelled"):
        networks = {path for path in inputs[f"results/predictions/{shard}"] if path.endswith(".pt")}
        assert networks == {f"results/networks/seed-0/fold-{fold}.pt" for fold in "012"}


def test_snakemake_report_works(study):
    study.run("--report", str(study.folder / "snakemake.html"))
    page = (study.folder / "snakemake.html").read_text(encoding="utf-8")
    assert "results/report.html" in page


def test_train_and_test_rows_only_make_one_network(fresh):
    rows = fresh.sheet
    rows.loc[rows["use"] == "", "use"] = "train"
    fresh.write_sheet(rows)
    plan = fresh.plan()
    assert [job for job in plan if job.startswith("Training")] == [
        "Training the network of fold all, seed 0"
    ]
    inputs = fresh.inputs()
    read = {Path(path).stem for path in inputs["results/networks/seed-0/fold-all.pt"]}
    assert read == {"a", "b", "c", "d", "folds", "plan", "calibration"}
    # No network may judge what it learnt from.
    assert "results/predictions/a" not in inputs
    assert "results/predictions/t" in inputs


def test_leave_one_group_out_and_predefined_folds(fresh):
    fresh.configure(split={"method": "leave-one-group-out"})
    assert sum(job.startswith("Training") for job in fresh.plan()) == 4
    rows = fresh.sheet
    rows["fold"] = rows["group"].map({"a": "0", "b": "0", "c": "1", "d": "1"}).fillna("")
    fresh.write_sheet(rows)
    fresh.configure(split={"method": "predefined"})
    read = fresh.inputs()["results/networks/seed-0/fold-0.pt"]
    assert {Path(path).stem for path in read} == {"c", "d", "folds", "plan", "calibration"}


def test_slurm_profile_plans(fresh):
    done = fresh.snakemake("-n", "--profile", str(ROOT / "profiles/slurm"))
    assert done.returncode == 0, done.stdout


def test_regions_are_drawn_on_their_micrographs_by_the_real_rules(fresh):
    squares = {"a-1": (3, 5), "a-2": (7, 9)}
    data = {"categories": [{"id": 1, "name": "square"}], "images": [], "annotations": []}
    for number, (name, (row, column)) in enumerate(squares.items()):
        data["images"].append({"id": number, "file_name": f"{name}.tif"})
        left, top, right, bottom = column, row, column + 20, row + 20
        outline = [left, top, right, top, right, bottom, left, bottom]
        region = {"id": number, "image_id": number, "category_id": 1, "segmentation": [outline]}
        data["annotations"].append(region)
    (fresh.folder / "data/drawn.json").write_text(json.dumps(data), encoding="utf-8")
    rows = fresh.sheet
    rows.loc[rows["group"] == "a", "mask"] = ["drawn.json", "drawn.json::a-2.tif"]
    fresh.write_sheet(rows)
    fresh.run("results/masks/a.tif", "results/masks/b.tif")
    made = {path.name for path in (fresh.folder / "results/micrographs").iterdir()}
    assert made == {
        "a.tif",
        "a.tsv",
        "a.landmarks.parquet",
        "a.metadata.json",
    }  # other masks need no micrograph
    for page, (row, column) in enumerate(squares.values()):
        expected = np.zeros((SIDE_PX, SIDE_PX))
        expected[row : row + 20, column : column + 20] = 1
        found = tifffile.imread(fresh.folder / "results/masks/a.tif", key=page)
        np.testing.assert_array_equal(found, expected)
    # A corrected region makes the masks anew, and no micrograph.
    data["annotations"][0]["segmentation"] = [[0, 0, 9, 0, 9, 9]]
    (fresh.folder / "data/drawn.json").write_text(json.dumps(data), encoding="utf-8")
    said = fresh.run("-n", "results/masks/a.tif")
    assert "Reading the masks of a" in said
    assert "Reading the micrographs" not in said
