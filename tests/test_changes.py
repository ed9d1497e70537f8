"""The real Snakefile on a tiny study: which jobs a change plans, and which it leaves alone."""

import os
import shutil
import subprocess
import sys
import time

import numpy as np
import tifffile

from tiny_study import FOLD_OF, ONCE, REPORTED, ROOT, SIDE_PX, draw, in_folds, jobs, others


def test_nothing_is_planned_after_a_run(study):
    assert study.plan() == []


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
    # What has changed then, it could not tell.
    tifffile.imwrite(study.folder / "data/b-1.mask.tif", np.eye(SIDE_PX, dtype=np.uint8) * 255)
    said = study.refused("-n")
    assert "train/0/0: results/networks/seed-0/fold-0.lineage: was not made from this study" in said
    assert "train/0/2" not in said  # b is in fold 2


def test_comment_in_a_module_plans_nothing_and_a_line_all_that_import_it(study, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".*", "demo", "results"))
    module = clone / "workflow/lib/tessera/metrics.py"
    module.write_text(f"# a comment\n{module.read_text(encoding='utf-8')}", encoding="utf-8")
    assert study.plan(root=clone) == []
    with module.open("a", encoding="utf-8") as file:
        file.write("\nA_LINE = 1\n")
    assert study.plan(root=clone) == jobs(evaluate="abcdt", **ONCE)


def test_another_way_to_plan_makes_nothing_again(study, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".*", "demo", "results"))
    with (clone / "workflow/lib/tessera/surveys.py").open("a", encoding="utf-8") as file:
        file.write("\nA_LINE = 1\n")
    assert study.plan(root=clone) == []  # the plan on record was made by the code on record


def test_reordered_sheet_plans_nothing(study):
    study.write_sheet(study.sheet.sample(frac=1, random_state=1))
    assert study.plan() == []


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


def test_restored_file_plans_nothing(study):
    path = study.folder / "data/b-1.tif"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    assert study.plan() == []


def test_other_bytes_of_the_same_size_and_time_plan_what_is_made_from_them(study):
    """In another file, that is; what is overwritten in place only `make verify` reads again."""
    assert study.plan() == []  # the files of this copy are known from now on
    path = study.folder / "data/u-1.tif"
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    for written in (path, path.with_name("other.tif")):
        written.write_bytes(content)
        os.utime(written, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert study.plan() == []
    written.replace(path)
    assert path.stat().st_ino != before.st_ino
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    own = ["u+unlabelled"]
    assert study.plan() == jobs(ingest=own, normalise=own, predict=own, **REPORTED)


def test_raw_files_in_another_folder_plan_nothing_and_under_another_name_what_tells_it(study):
    data, rows = study.folder / "data", study.sheet
    (data / "moved").mkdir()
    for path in data.glob("*.tif"):
        path.rename(data / "moved" / path.name)
    for column in ("image", "mask"):
        rows[column] = rows[column].where(rows[column] == "", "moved/" + rows[column])
    study.write_sheet(rows)
    assert study.plan() == []
    (data / "moved/u-1.tif").rename(data / "moved/renamed.tif")
    study.write_sheet(rows.replace("moved/u-1.tif", "moved/renamed.tif"))
    own = ["u+unlabelled"]
    assert study.plan() == jobs(ingest=own, normalise=own, predict=own, **REPORTED)


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
    page = np.arange(SIDE_PX**2, dtype=np.uint16).reshape(SIDE_PX, SIDE_PX)
    tifffile.imwrite(study.folder / "data/u-1.tif", page)
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
