"""The crate meets its profiles and tells the truth; the audit sees what was edited by hand."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from tessera.digests import file_digest
from tiny_study import ROOT
from verification.network_records import record

VALIDATOR = ROOT.parent / "shared" / "tools" / "rocrate" / "validate.py"
RUNCRATE = Path(sys.prefix) / "runcrate" / "bin" / "runcrate"
PROFILES = ("ro-crate-1.1", "process-run-crate-0.5", "workflow-run-crate-0.5")
PROFILES += ("provenance-run-crate-0.5",)

validated = pytest.mark.skipif(
    not VALIDATOR.is_file() or find_spec("rocrate_validator") is None,
    reason="needs ../shared/tools/rocrate/validate.py and roc-validator",
)


@pytest.fixture(scope="module")
def results(finished):
    return finished.folder / "results"


@pytest.fixture(scope="module")
def graph(results):
    """Entities of the crate, by id."""
    crate = json.loads((results / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    return {entity["@id"]: entity for entity in crate["@graph"]}


def validate(folder, *profiles):
    return subprocess.run(
        [sys.executable, str(VALIDATOR), str(folder), *profiles],
        capture_output=True,
        text=True,
        check=False,
    )


@validated
def test_the_crate_meets_all_four_profiles(results):
    done = validate(results)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [word for name in PROFILES for word in (f"{name}:", "passed")]


@validated
@pytest.mark.parametrize(
    ("removed", "profile"),
    [
        ("study/code/workflow/scripts/train.py", "process-run-crate-0.5"),
        ("#run", "workflow-run-crate-0.5"),
        ("study/code/Snakefile#predict", "provenance-run-crate-0.5"),
    ],
)
def test_the_crate_without_a_required_entity_does_not(results, tmp_path, removed, profile):
    shutil.copytree(results, tmp_path / "results")
    path = tmp_path / "results" / "ro-crate-metadata.json"
    crate = json.loads(path.read_text(encoding="utf-8"))
    crate["@graph"] = [entity for entity in crate["@graph"] if entity["@id"] != removed]
    path.write_text(json.dumps(crate), encoding="utf-8")
    done = validate(tmp_path / "results", profile)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{profile}: FAILED" in done.stdout


@pytest.mark.skipif(not RUNCRATE.is_file(), reason="needs runcrate: `make test` installs it")
def test_runcrate_reads_the_crate_back(results):
    done = subprocess.run(
        [str(RUNCRATE), "report", str(results)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    actions = dict(
        re.findall(r"^action: (\S+)\n(.+?)(?:\n\n|\Z)", done.stdout, re.DOTALL | re.MULTILINE)
    )
    assert len(actions) == 41
    trained = actions["#job/train/0/0"]
    assert "instrument: study/code/workflow/scripts/train.py" in trained
    read, made = trained.split("outputs:")
    assert "normalised/b.tif" in read
    assert "normalised/a.tif" not in read
    assert "networks/seed-0/fold-0.pt" in made


def test_every_product_is_in_manifest_and_crate_with_the_same_digest(results, graph):
    manifest = pd.read_csv(results / "manifest.tsv", sep="\t", dtype=str, keep_default_na=False)
    assert manifest["path"].is_monotonic_increasing
    left_out = ("logs/", "calibration.yaml", "ro-crate-metadata.json", "SHA256SUMS", "manifest.tsv")
    there = {
        path.relative_to(results).as_posix()
        for path in results.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    assert set(manifest["path"]) == {path for path in there if not path.startswith(left_out)}
    for row in manifest.itertuples():
        assert row.sha256 == file_digest(results / row.path)
        assert int(row.bytes) == (results / row.path).stat().st_size
    described = {unquote(id): entity.get("sha256") for id, entity in graph.items()}
    for row in manifest[~manifest["path"].str.startswith("predictions/")].itertuples():
        assert described[row.path] == row.sha256
    assert described["calibration.yaml"] == file_digest(results / "calibration.yaml")


def test_times_and_machine_of_every_job_are_told(finished, graph):
    jobs = [entity for id, entity in graph.items() if id.startswith("#job/")]
    whole = graph["#run"]
    for job in jobs:
        if job["name"] != "plan":
            assert whole["startTime"] <= job["startTime"] <= job["endTime"] <= whole["endTime"]
        machine = graph[job["location"]["@id"]]
        assert machine["name"] == platform.node()
        assert job["actionStatus"].endswith("CompletedActionStatus")
    assert graph["#package/torch"]["version"] == version("torch")
    assert graph["#package/snakemake"]["version"] == version("snakemake")
    assert graph["#seeds"]["value"] == "0"
    assert graph["#tree"]["value"] in ("clean", "changed", "unknown")


def test_what_a_network_says_of_itself_is_read_without_torch(results):
    found = record(results / "networks/seed-0/fold-0.pt")
    assert found["shards"] == ["b", "c"]
    assert found["versions"]["torch"].split("+")[0] == version("torch").split("+")[0]


def test_no_private_path_is_written(finished, results):
    private = [str(finished.folder), str(ROOT), str(Path.home()) + os.sep]
    for path in ("manifest.tsv", "ro-crate-metadata.json", "SHA256SUMS"):
        text = (results / path).read_text(encoding="utf-8")
        assert not [word for word in private if word in text], path
    for path in (results / "study").glob("*.*"):
        text = path.read_text(encoding="utf-8")
        assert not [word for word in private if word in text], path


def test_what_was_edited_by_hand_gets_no_good_name_from_another_audit(study):
    results = study.folder / "results"
    before = (results / "manifest.tsv").read_bytes()
    for name in ("predictions/u+unlabelled/u-1.entropy.tif", "normalised/a.tif", "metrics.tsv"):
        content = bytearray((results / name).read_bytes())
        times = (results / name).stat()
        content[len(content) // 2] ^= 1
        (results / name).write_bytes(content)
        os.utime(results / name, ns=(times.st_atime_ns, times.st_mtime_ns))
    said = study.refused("--forcerun", "audit", "--", "results/manifest.tsv")
    assert "predictions/u+unlabelled/u-1.entropy.tif: has changed since its job made it" in said
    assert "results/normalised/a.tif: has changed since" in said
    assert "results/metrics.tsv: has changed since" in said
    assert (results / "manifest.tsv").read_bytes() == before
