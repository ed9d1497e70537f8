"""`make explain` on the real Snakefile: what changed, and the jobs that it runs."""

import os
import subprocess
import sys

import pytest
import tifffile

from tiny_study import ROOT, draw

SCRIPT = ROOT / "workflow/scripts/explain.py"


def explained(study, *arguments):
    """What the script says of a study."""
    where = ["--configfile", str(study.config), "--directory", str(study.folder)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--snakefile", str(ROOT / "Snakefile"), *where, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "workflow/lib")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_to_explain_after_a_run_and_everything_before_one(study, fresh):
    assert explained(study) == "Nothing would run: all is as the study says.\n"
    assert "would run: nothing has been made yet" in explained(fresh)


def test_a_mask_a_group_and_a_setting_are_told_apart(study):
    path = study.folder / "data/d-1.mask.tif"
    mask = tifffile.imread(path)
    mask[:4] = 255
    tifffile.imwrite(path, mask)
    study.add({"micrograph": "e-1", **draw(path.parent, "e-1"), "group": "e", "cohort": "1"})
    study.configure(summarise={"draws": 500})
    said = explained(study)
    number = len(study.plan())
    assert said.startswith(f"{number} jobs would run.\n")
    changes = [line for line in said.splitlines()[1:] if line and not line.startswith(" ")]
    assert sorted(changes) == [
        "config changed, summarise: draws: 10000, now 500",
        "e-1 joined",
        "group e joined fold 1",
        "mask of d-1 changed",
    ]
    assert "summarise: draws: 10000, now 500\n    summarise; report; audit\n" in said


def test_a_missing_product_is_named_and_what_is_forced_too(study):
    (study.folder / "results/metrics.tsv").unlink()
    assert "\nresults/metrics.tsv is missing\n    summarise; report; audit\n" in explained(study)
    assert "asked for by force" in explained(study, "--forcerun", "report")


def test_bad_input_is_refused_as_in_a_run(study):
    (study.folder / "data/a-1.tif").unlink()
    with pytest.raises(AssertionError, match=r"a-1: data/a-1.tif: this image is missing"):
        explained(study)
