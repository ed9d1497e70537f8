"""The real Snakefile on a tiny study: the plan, the calibration and what uses their values."""

import re

import pandas as pd

from tessera.calibration import Calibration, expected
from tessera.files import read_table
from tiny_study import EVERY_NETWORK, PLAN, jobs

CALIBRATION = "results/calibration.yaml"


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
    # It decides the common pixel size, and so all that is normalised.
    made = {"normalise": [*"abcdt", "u+unlabelled"], "tile": [*"abcdt"], "split": ["-"]}
    assert study.plan() == jobs(plan=["-"], **made, **EVERY_NETWORK)


def test_damaged_plan_stops_the_run(study):
    edit_plan(study, "class_weights: none", "class_weights: heavy")
    said = study.refused("-n")
    assert "plan: results/plan.yaml: train.class_weights: 'heavy' is not one of" in said
    assert "1 fault:" in said


def test_tiles_wait_for_the_plan_that_decides_them(study):
    study.configure(tile={"size_px": "auto", "stride_px": "auto"})
    (study.folder / PLAN).unlink()
    tiles = "results/tiles/a.parquet"
    assert PLAN in study.inputs()[tiles]
    study.run("--", tiles)
    # Of 80 px: two tiles across would be smaller than a tile may be.
    assert "size_px: 64" in (study.folder / PLAN).read_text(encoding="utf-8")
    assert set(pd.read_parquet(study.folder / tiles)["row"]) == {0, 16}
    assert "Nothing to be done" in study.run("-n", "--", tiles)


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
