"""The real Snakefile on a tiny study: what comes out, and which jobs a change plans."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from tessera.calibration import Calibration, expected
from tessera.files import read_table
from tiny_study import ROOT, SIDE_PX, draw, jobs

REPORTED = {"report": ["-"], "audit": ["-"]}
ONCE = {"summarise": ["-"], **REPORTED}
FOLD_OF = {"a": "0", "b": "2", "c": "1", "d": "0"}
"""What GroupKFold makes of four groups of the same size and three folds."""
PLAN, CALIBRATION = "results/plan.yaml", "results/calibration.yaml"
EVERY_NETWORK = {
    "train": list("012"),
    "predict": [*"abcdt", "u+unlabelled"],
    "evaluate": list("abcdt"),
    **ONCE,
}
"""What a new recipe makes anew."""


def others(*folds: str) -> list[str]:
    return sorted(set("012") - set(folds))


def in_folds(*folds: str) -> list[str]:
    return [group for group, fold in FOLD_OF.items() if fold in folds]


# ------------------------------------------------------------------------------ what comes out


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


def test_no_held_out_file_is_an_input_of_the_network_that_is_tested_on_it(finished):
    inputs = finished.inputs()
    for fold in "012":
        read = {Path(path).name for path in inputs[f"results/networks/seed-0/fold-{fold}.pt"]}
        trained = set(in_folds(*others(fold)))
        names = {f"{group}.{end}" for group in trained for end in ("tif", "parquet")}
        assert read == {*names, "plan.yaml"}
        for group in in_folds(fold):
            networks = {
                path for path in inputs[f"results/predictions/{group}"] if path.endswith(".pt")
            }
            assert networks == {f"results/networks/seed-0/fold-{fold}.pt"}
    for shard in ("t", "u+unlabelled"):
        networks = {path for path in inputs[f"results/predictions/{shard}"] if path.endswith(".pt")}
        assert networks == {f"results/networks/seed-0/fold-{fold}.pt" for fold in "012"}


def test_same_inputs_give_the_same_bytes(finished, fresh):
    fresh.run()
    unlike = (".snakemake_timestamp", "calibration.yaml")  # times
    unlike += ("ro-crate-metadata.json", "SHA256SUMS")  # times and hosts
    products = [
        path.relative_to(fresh.folder)
        for path in sorted((fresh.folder / "results").rglob("*"))
        if path.is_file() and "logs" not in path.parts and path.name not in unlike
    ]
    assert len(products) > 50
    different = [
        str(path)
        for path in products
        if (fresh.folder / path).read_bytes() != (finished.folder / path).read_bytes()
    ]
    assert different == []


def test_snakemake_report_works(study):
    study.run("--report", str(study.folder / "snakemake.html"))
    page = (study.folder / "snakemake.html").read_text(encoding="utf-8")
    assert "results/report.html" in page


# --------------------------------------------------------------------- which jobs a change plans


def test_nothing_is_planned_after_a_run(finished):
    assert finished.plan() == []


def test_touched_files_plan_nothing(study):
    # Snakemake 9 looks at times whatever its triggers are, so the order matters: what is read is
    # newer than what was made from it, folders too.
    results = study.folder / "results"
    order = ["SHA256SUMS", "ro-crate-metadata.json", "manifest.tsv", "study"]
    order += ["report.html", "metrics.tsv", "evaluation", "lineages", "predictions"]
    order += ["networks", "folds.tsv", "leaks.tsv", "tiles", "plan.yaml", "normalised", "masks"]
    order += ["micrographs"]
    assert {path.name for path in results.iterdir()} <= {*order, "logs", "calibration.yaml"}
    raw = [path for path in study.folder.iterdir() if path.name not in ("results", ".snakemake")]
    for age, path in enumerate([results / name for name in order] + raw):
        moment = time.time() + 10 * age
        for touched in (path, *path.rglob("*")):
            os.utime(touched, (moment, moment))
    assert study.plan() == []


def test_fresh_clone_with_the_old_results_plans_nothing(study, tmp_path):
    clone = tmp_path / "clone"
    for name in ("Snakefile", "config", "envs", "profiles", "workflow"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        clone.mkdir(exist_ok=True)
        copy(ROOT / name, clone / name)
    for path in clone.rglob("*"):
        path.touch()
    assert study.plan(root=clone) == []
    # Even where only the results were brought along, not what Snakemake remembers of them.
    shutil.rmtree(study.folder / ".snakemake")
    assert study.plan(root=clone) == []


def test_comment_in_a_module_plans_nothing_and_a_line_all_that_import_it(study, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".*", "demo", "results"))
    module = clone / "workflow/lib/tessera/summaries.py"
    module.write_text(f"# a comment\n{module.read_text(encoding='utf-8')}", encoding="utf-8")
    assert study.plan(root=clone) == []
    with module.open("a", encoding="utf-8") as file:
        file.write("\nA_LINE = 1\n")
    assert study.plan(root=clone) == jobs(**ONCE)


def test_another_way_to_plan_makes_nothing_again(study, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".*", "demo", "results"))
    with (clone / "workflow/lib/tessera/surveys.py").open("a", encoding="utf-8") as file:
        file.write("\nA_LINE = 1\n")
    assert study.plan(root=clone) == jobs(audit=["-"])  # which keeps a copy of the code


def test_reordered_sheet_plans_nothing(study):
    study.write_sheet(study.sheet.sample(frac=1, random_state=1))
    assert study.plan() == []


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
    assert made == {"a.tif", "a.tsv", "a.landmarks.parquet"}  # other masks need no micrograph
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


def test_unlabelled_micrograph_plans_its_own_chain(study):
    files = draw(study.folder / "data", "v-1", labelled=False)
    study.add({"micrograph": "v-1", **files, "group": "v"})
    own = ["v+unlabelled"]
    assert study.plan() == jobs(ingest=own, normalise=own, predict=own, **REPORTED)


def test_labelled_group_that_joins_a_fold_trains_the_other_networks(study):
    files = draw(study.folder / "data", "e-1")
    study.add({"micrograph": "e-1", **files, "group": "e", "cohort": "1"})
    # Folds 1 and 2 hold one group each, fold 0 two: the lightest, first of equals, is 1.
    predicted = [*in_folds("0", "2"), "e", "t"]
    assert study.plan() == jobs(
        ingest=["e"],
        annotate=["e"],
        normalise=["e"],
        tile=["e"],
        split=["-"],
        keep=["1"],
        prospect=["e of cohort 1"],
        assess=["e of cohort 1"],
        train=others("1"),
        predict=[*predicted, "u+unlabelled"],
        evaluate=predicted,
        **ONCE,
    )


def test_corrected_mask_plans_what_learnt_from_it(study):
    tifffile.imwrite(study.folder / "data/b-1.mask.tif", np.eye(SIDE_PX, dtype=np.uint8) * 255)
    # The networks of the other folds learnt from it; its own fold's network predicts it as before,
    # but its score changes.
    predicted = [*in_folds(*others(FOLD_OF["b"])), "t"]
    assert study.plan() == jobs(
        annotate=["b"],
        tile=["b"],
        split=["-"],
        train=others(FOLD_OF["b"]),
        predict=[*predicted, "u+unlabelled"],
        evaluate=[*predicted, "b"],
        **ONCE,
    )
    before = (study.folder / PLAN).read_bytes()
    study.run()
    assert study.plan() == []
    assert (study.folder / PLAN).read_bytes() == before


def test_restored_file_plans_nothing(study):
    path = study.folder / "data/b-1.tif"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert study.plan() == []


def test_report_settings_plan_the_report(study):
    study.configure(report={"title": "Another {title}"})
    assert study.plan() == jobs(**REPORTED)


def test_resources_and_device_plan_nothing(study):
    study.configure(resources={"predict": {"cpus": 2, "mem_mb": 9000}}, device="auto")
    assert study.plan() == []


def test_removed_group_trains_the_networks_that_learnt_from_it(study):
    """No job runs before the audit here: the networks must be found stale by themselves."""
    pinned = study.sheet.assign(fold=study.sheet["group"].map(FOLD_OF))
    study.write_sheet(pinned.query("group != 'd'"))
    predicted = [*in_folds(*others(FOLD_OF["d"])), "t"]
    assert study.plan() == jobs(
        split=["-"],
        train=others(FOLD_OF["d"]),
        predict=[*predicted, "u+unlabelled"],
        evaluate=predicted,
        **ONCE,
    )


def test_changes_that_come_together_hide_none(study):
    """A new recipe concerns all networks, also the one that the corrected mask does not reach."""
    tifffile.imwrite(study.folder / "data/b-1.mask.tif", np.eye(SIDE_PX, dtype=np.uint8) * 255)
    study.configure(train={"learning_rate": 0.001})
    plan = study.plan()
    assert set(jobs(train="012", split=["-"], annotate=["b"])) <= set(plan)
    assert set(jobs(predict=[*"abcdt", "u+unlabelled"], evaluate="abcdt")) <= set(plan)


def test_interrupted_run_takes_up_where_it_was(study):
    """Nothing stale survives a run that stopped half-way: what was not remade is still planned."""
    tifffile.imwrite(study.folder / "data/u-1.tif", np.full((SIDE_PX, SIDE_PX), 7, np.uint16))
    study.run("results/micrographs/u+unlabelled.tif")
    own = ["u+unlabelled"]
    assert study.plan() == jobs(normalise=own, predict=own, **REPORTED)


def test_frozen_folds_survive_a_removal(study):
    removed = study.sheet.query("group != 'd'")
    done = subprocess.run(
        [sys.executable, str(ROOT / "workflow/scripts/freeze_folds.py"), "data/micrographs.tsv"],
        cwd=study.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/lib")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "8 rows of data/micrographs.tsv pinned" in done.stdout
    assert study.plan() == []
    labelled = study.sheet.query("use == '' and mask != ''")
    assert set(zip(labelled["group"], labelled["fold"], strict=True)) == set(FOLD_OF.items())
    study.write_sheet(study.sheet.query("group != 'd'"))
    assert "Training the network of fold 0, seed 0" not in study.plan()
    # Without the pins, scikit-learn would deal the remaining groups out anew.
    study.write_sheet(removed)
    assert "would move" in study.refused("-n")


# -------------------------------------------------------------------------- plan and calibration


def edit_plan(study, old, new):
    path = study.folder / PLAN
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_edited_plan_runs_what_uses_the_value(study):
    edit_plan(study, "class_weights: none", "class_weights: inverse # rare, but clear")
    assert study.plan() == jobs(**EVERY_NETWORK)
    # Another loss may take another time.
    edit_plan(study, "dice: 1.0", "dice: 0.5")
    assert study.plan() == jobs(**EVERY_NETWORK, calibrate=["-"])
    study.run("--", "results/networks/seed-0/fold-0.pt")
    left = jobs(**{**EVERY_NETWORK, "train": ["1", "2"]})
    assert study.plan() == left


def test_stated_values_win_and_stating_what_was_planned_plans_nothing(study):
    study.configure(train={"class_weights": "none"})
    assert study.plan() == []
    study.configure(train={"class_weights": "sqrt-inverse"})
    assert study.plan() == jobs(**EVERY_NETWORK)


def test_planning_again_keeps_what_comes_out_the_same(study):
    made = (study.folder / PLAN).read_bytes()
    study.run("replan")
    assert (study.folder / PLAN).read_bytes() == made
    assert not (study.folder / "results/plan.1.yaml").exists()
    edit_plan(study, "class_weights: none", "class_weights: inverse")
    edited = (study.folder / PLAN).read_bytes()
    study.run("replan")
    assert (study.folder / PLAN).read_bytes() == made
    assert (study.folder / "results/plan.1.yaml").read_bytes() == edited
    assert study.plan() == []


def test_deleted_plan_is_made_again_and_what_followed_from_it(study):
    (study.folder / PLAN).unlink()
    assert study.plan() == jobs(**EVERY_NETWORK, plan=["-"])


def test_damaged_plan_stops_the_run(study):
    edit_plan(study, "class_weights: none", "class_weights: heavy")
    said = study.refused("-n")
    assert "plan: results/plan.yaml: train.class_weights: 'heavy' is not one of" in said
    assert "1 fault:" in said


def test_tiles_wait_for_the_plan_that_decides_them(fresh):
    fresh.configure(tile={"size_px": "auto", "stride_px": "auto"})
    tiles = "results/tiles/a.parquet"
    assert PLAN in fresh.inputs()[tiles]
    fresh.run("--", tiles)
    # Of 80 px: two tiles across would be smaller than a tile may be.
    assert "size_px: 64" in (fresh.folder / PLAN).read_text(encoding="utf-8")
    assert set(pd.read_parquet(fresh.folder / tiles)["row"]) == {0, 16}
    assert "Nothing to be done" in fresh.run("-n", "--", tiles)


def test_a_training_says_and_asks_for_what_it_will_take(study):
    logs = sorted((study.folder / ".snakemake/log").glob("*.log"))
    said = "".join(path.read_text(encoding="utf-8") for path in logs)
    found = re.findall(r"fold (\d), seed 0: (\d+) steps, about 1 min, (0\.\d) GB", said)
    assert sorted(fold for fold, _, _ in found) == list("012")
    network = "results/networks/seed-0/fold-1.pt"
    study.configure(train={"learning_rate": 0.001})
    assert study.plan() == jobs(**EVERY_NETWORK)
    calibration = Calibration.parse((study.folder / CALIBRATION).read_text(encoding="utf-8"))
    takes = expected(calibration, read_table(study.folder / "results/folds.tsv"), "1", 2, 4)
    assert ("1", str(takes.steps)) in {(fold, steps) for fold, steps, _ in found}
    asked = study.resources(network)
    assert asked["mem_mb"] == str(takes.mem_mb(1))
    assert asked["runtime"] == str(takes.runtime(1))


def test_calibration_trains_nothing(study):
    (study.folder / CALIBRATION).unlink()
    assert study.plan() == []
    study.configure(resources={"train": {"cpus": 2}})
    assert study.plan() == []


def test_what_a_training_takes_is_not_measured_where_it_is_stated(fresh):
    network = "results/networks/seed-0/fold-1.pt"
    assert CALIBRATION in fresh.inputs()[network]
    assert fresh.resources(network)["runtime"] == "<TBD>"
    fresh.configure(resources={"train": {"cpus": 1, "runtime": 7, "mem_mb": 1234}})
    assert CALIBRATION not in fresh.inputs()[network]
    assert jobs(calibrate=["-"])[0] not in fresh.plan()
    assert fresh.resources(network)["runtime"] == "7"
    assert fresh.resources(network)["mem_mb"] == "1234"


# ----------------------------------------------------------------------------------- other kinds


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
