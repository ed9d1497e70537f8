"""`verify` names what does not hold, on results that are whole but for one thing."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
import torch

import verify
from tessera.files import read_table, write_table
from tiny_study import ROOT
from verification import graphs
from verification.records import read_results

KINDS = [
    "micrographs/a.tif",
    "micrographs/u+unlabelled.tsv",
    "masks/b.tif",
    "masks/b.tsv",
    "normalised/c.tif",
    "normalised/d.tsv",
    "tiles/d.parquet",
    "tiles/a.tif",
    "micrographs/a.landmarks.parquet",
    "micrographs/a.metadata.json",
    "folds.tsv",
    "leaks.tsv",
    "plan.yaml",
    "networks/seed-0/fold-1.pt",
    "networks/seed-0/fold-1.history.tsv",
    "networks/seed-0/fold-1.lineage",
    "predictions/a/a-1.mask.tif",
    "predictions/t/t-2.probability.tif",
    "predictions/u+unlabelled/u-1.entropy.tif",
    "lineages/a.predict",
    "evaluation/t.parquet",
    "metrics.tsv",
    "report.html",
    "calibration.yaml",
    "study/config.yaml",
    "study/raw.tsv",
    "study/code/workflow/scripts/train.py",
    "manifest.tsv",
    "ro-crate-metadata.json",
    "SHA256SUMS",
]


@pytest.fixture(scope="module")
def kept(finished, tmp_path_factory):
    """A folder of results, taken out of its study; mend it after each test."""
    folder = tmp_path_factory.mktemp("alone") / "results"
    shutil.copytree(finished.folder / "results", folder)
    return folder


@pytest.fixture
def results(finished, tmp_path):
    """A folder of results, taken out of its study, to spoil."""
    shutil.copytree(finished.folder / "results", tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def check(capsys):
    """Exit status of `verify` on a folder, and the lines it prints."""

    def status_and_lines(folder, *arguments):
        status = verify.main([str(folder), *arguments])
        return status, capsys.readouterr().out.splitlines()

    return status_and_lines


def flip(path):
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def seal(folder):
    """Write digests anew, as somebody would who wants a change not to be seen."""
    manifest = pd.read_csv(folder / "manifest.tsv", sep="\t", dtype=str, keep_default_na=False)
    content = {path: (folder / path).read_bytes() for path in manifest["path"]}
    manifest["sha256"] = [hashlib.sha256(content[path]).hexdigest() for path in manifest["path"]]
    manifest["bytes"] = [str(len(content[path])) for path in manifest["path"]]
    write_table(folder / "manifest.tsv", manifest)
    known = manifest.set_index("path")

    def described(graph):
        for path in known.index:
            entity = graph.get(quote(path), {})
            if "sha256" in entity:
                entity["sha256"], entity["contentSize"] = known.loc[path, ["sha256", "bytes"]]

    edit_crate(folder, described)
    results = read_results(folder)
    made = {
        path: graphs._inputs(results, action)
        for id, action in results.maker.items()
        for path in results.folders.get(graphs.unquote(id), [graphs.unquote(id)])
        if action["name"] != "plan"
    }
    manifest["inputs"] = [made.get(path, "") for path in manifest["path"]]
    write_table(folder / "manifest.tsv", manifest)
    own = hashlib.sha256((folder / "manifest.tsv").read_bytes()).hexdigest()
    edit_crate(folder, lambda graph: graph["manifest.tsv"].update(sha256=own))
    names = ("manifest.tsv", "ro-crate-metadata.json")
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    lines = (f"{sums[name]}  {name}\n" for name in names)
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def edit_crate(folder, change):
    """Change the entities of the crate, by id."""
    path = folder / "ro-crate-metadata.json"
    crate = json.loads(path.read_text(encoding="utf-8"))
    change({entity["@id"]: entity for entity in crate["@graph"]})
    path.write_text(json.dumps(crate), encoding="utf-8")


def test_whole_results_hold_with_their_raw_files_and_without(finished, kept, check):
    status, lines = check(finished.folder / "results")
    assert status == 0
    assert "22 raw files have the bytes that were read" in lines
    status, lines = check(kept)
    assert status == 0
    assert any(line.startswith("raw files NOT checked") for line in lines)
    assert any(line.startswith("all scores of 10 micrographs recomputed") for line in lines)
    status, lines = check(kept, "--raw", str(finished.folder / "data"))
    assert status == 0
    assert "22 raw files have the bytes that were read" in lines


def test_results_verify_themselves_with_the_code_that_they_hold(kept):
    script = kept / "study/code/workflow/scripts/verify.py"
    before = sorted(kept.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(kept)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(kept.rglob("*")) == before  # it leaves nothing behind


def test_what_verifies_imports_nothing_of_what_is_verified():
    files = [*(ROOT / "workflow/lib/verification").glob("*.py"), Path(verify.__file__)]
    assert len(files) > 5
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                unwanted = ("tessera", "snakemake", "torch", "yaml")
                assert not [name for name in names if name.split(".")[0] in unwanted], path


def test_the_kinds_of_products_are_all_among_those_flipped(kept):
    listed = pd.read_csv(kept / "manifest.tsv", sep="\t")["path"]
    folders = {path.split("/")[0] for path in listed}
    assert folders <= {path.split("/")[0] for path in KINDS}


@pytest.mark.parametrize("path", KINDS)
def test_a_flipped_bit_is_named(kept, check, path):
    content = (kept / path).read_bytes()
    flip(kept / path)
    try:
        status, lines = check(kept)
    finally:
        (kept / path).write_bytes(content)
    assert status == 1
    assert lines[0].startswith("DOES NOT HOLD")
    assert path in lines[0]


def test_a_missing_and_an_added_file_are_named(results, check):
    (results / "normalised/a.tif").unlink()
    shutil.copy(results / "predictions/a/a-1.mask.tif", results / "predictions/a/a-9.mask.tif")
    (results / "plan.1.yaml").write_text("", encoding="utf-8")
    status, lines = check(results)
    assert status == 1
    assert lines[0] == "DOES NOT HOLD normalised/a.tif: is missing"
    assert "DOES NOT HOLD predictions/a/a-9.mask.tif: is in no manifest" in lines
    assert not any("plan.1.yaml" in line for line in lines)  # left over, not wrong


def test_an_edited_score_is_named_however_well_it_is_hidden(results, check):
    table = read_table(results / "metrics.tsv")
    rows = (table["level"] == "pooled") & (table["class"] == "square")
    at = table[rows & (table["method"] == "network") & (table["use"] == "cv")].index[0]
    table.loc[at, "iou"] += 0.001
    write_table(results / "metrics.tsv", table)
    assert check(results)[0] == 1
    seal(results)
    status, lines = check(results)
    assert status == 1
    assert lines[0].startswith("DOES NOT HOLD metrics.tsv: cv, network, pooled, square: iou ")
    assert lines[-1] == "1 thing does not hold; the first: metrics.tsv"


@pytest.mark.parametrize(
    ("level", "column"),
    [
        ("micrograph", "recall"),
        ("group", "iou"),
        ("pooled", "fp"),
        ("mean over groups", "precision"),
        ("mean over groups", "dice_high"),
    ],
)
def test_scores_of_every_level_are_recomputed(results, check, level, column):
    table = read_table(results / "metrics.tsv")
    at = table[(table["level"] == level) & table[column].notna() & (table[column] > 0)].index[-1]
    table.loc[at, column] += 1 if column == "fp" else 0.0001
    write_table(results / "metrics.tsv", table)
    seal(results)
    status, lines = check(results)
    assert status == 1
    assert f", {level}, " in lines[0]
    assert f": {column} " in lines[0]


def test_a_removed_row_and_a_better_count_are_named(results, check):
    table = read_table(results / "metrics.tsv")
    write_table(results / "metrics.tsv", table.iloc[1:])
    counts = pd.read_parquet(results / "evaluation/a.parquet")
    counts.loc[0, "tp"] += 1
    counts.to_parquet(results / "evaluation/a.parquet", index=False)
    seal(results)
    status, lines = check(results)
    assert status == 1
    assert any(line.startswith("DOES NOT HOLD evaluation/a.parquet: a-1, ") for line in lines)
    missing = ", ".join(str(table.iloc[0][name]) for name in ("use", "method", "level"))
    assert any(line.startswith(f"DOES NOT HOLD metrics.tsv: {missing}, ") for line in lines)


def test_a_reassigned_fold_is_named_however_well_it_is_hidden(results, check):
    folds = read_table(results / "folds.tsv")
    own = folds.loc[folds["group"] == "a", "fold"].item()
    other = next(fold for fold in "012" if fold != own)
    folds.loc[folds["group"] == "a", "fold"] = other
    write_table(results / "folds.tsv", folds)
    status, lines = check(results)
    assert status == 1
    assert lines[0].startswith("DOES NOT HOLD folds.tsv: has changed")
    seal(results)
    status, lines = check(results)
    assert status == 1
    assert lines[0].startswith("DOES NOT HOLD folds.tsv: group a does not fit")
    assert any(f"group a is in fold {other}, but networks/seed-0/fold-{own}.pt" in x for x in lines)


def test_a_network_that_saw_its_test_is_named_with_what_it_saw(results, check):
    def leak(graph):
        own = graph["#job/predict/a"]["object"]
        network = next(one["@id"] for one in own if one["@id"].endswith(".pt"))
        fold = network.removesuffix(".pt").rpartition("-")[2]
        graph[f"#job/train/0/{fold}"]["object"].append({"@id": "normalised/a.tif"})

    edit_crate(results, leak)
    seal(results)
    status, lines = check(results)
    assert status == 1
    assert "saw group a (raw/image/a-1), and is tested on it (predictions/a/)" in lines[0]
    assert any("records that it learnt from" in line for line in lines)


def test_networks_in_each_other_s_place_are_named(results, check):
    folder = results / "networks/seed-0"
    for end in ("pt", "history.tsv", "lineage"):
        (folder / f"fold-0.{end}").rename(folder / "kept")
        (folder / f"fold-1.{end}").rename(folder / f"fold-0.{end}")
        (folder / "kept").rename(folder / f"fold-1.{end}")
    seal(results)
    status, lines = check(results)
    assert status == 1
    for fold in "01":
        path = f"networks/seed-0/fold-{fold}.pt"
        assert any(f"DOES NOT HOLD {path}: records that it learnt" in line for line in lines)


def test_a_network_of_another_seed_or_lineage_is_named(results, check):
    path = results / "networks/seed-0/fold-0.pt"
    content = torch.load(path, weights_only=True)
    content["record"] |= {"seed": 1, "lineage": "another"}
    torch.save(content, path)
    seal(results)
    status, lines = check(results)
    assert status == 1
    said = "DOES NOT HOLD networks/seed-0/fold-0.pt: records"
    assert f"{said} seed 1, and stands for seed 0" in lines
    assert f"{said} another lineage than fold-0.lineage beside it" in lines


def test_a_specimen_that_is_left_out_of_the_scores_is_named(results, check):
    """The group to test on, without a trace in manifest, crate or scores."""
    table = read_table(results / "metrics.tsv")
    write_table(results / "metrics.tsv", table[table["use"] != "test"])
    (results / "evaluation/t.parquet").unlink()
    manifest = pd.read_csv(results / "manifest.tsv", sep="\t", dtype=str, keep_default_na=False)
    write_table(results / "manifest.tsv", manifest[manifest["path"] != "evaluation/t.parquet"])
    crate = json.loads((results / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    gone = {"#job/evaluate/t", "evaluation/t.parquet"}
    for entity in crate["@graph"]:
        for key, value in entity.items():
            if isinstance(value, list):
                entity[key] = [x for x in value if not isinstance(x, dict) or x["@id"] not in gone]
    crate["@graph"] = [entity for entity in crate["@graph"] if entity["@id"] not in gone]
    (results / "ro-crate-metadata.json").write_text(json.dumps(crate), encoding="utf-8")
    seal(results)
    status, lines = check(results)
    assert status == 1
    assert lines[0] == "DOES NOT HOLD masks/t.tif: has masks to test on, of t-1 first, and no score"
    assert lines[-1].startswith("1 thing does not hold")


def test_a_specimen_to_test_on_that_is_said_to_train_only_is_named(results, check):
    table = pd.read_csv(results / "study/raw.tsv", sep="\t", dtype=str, keep_default_na=False)
    table["use"] = table["use"].where(table["group"] != "t", "train")
    write_table(results / "study/raw.tsv", table)
    seal(results)
    status, lines = check(results)
    assert status == 1
    said = "DOES NOT HOLD study/raw.tsv: raw/mask/t-1 is of another use than in the sheet"
    assert said in lines


def test_a_leak_through_several_ancestors_is_found(results, check):
    """Fold 1 learns from what was normalised from micrographs of two groups."""
    edit_crate(
        results,
        lambda graph: graph["#job/normalise/d"]["object"].append({"@id": "micrographs/c.tif"}),
    )
    seal(results)
    status, lines = check(results)
    assert status == 1
    assert "DOES NOT HOLD normalised/d.tif: is about d, but made from files of c and d" in lines
    saw = [line for line in lines if "saw group c (raw/image/c-1)" in line]
    assert saw


def test_a_group_renamed_in_the_crate_is_named(results, check):
    edit_crate(results, lambda graph: graph["#group/a"].update(name="z"))
    seal(results)
    status, lines = check(results)
    assert status == 1
    assert any("raw/image/a-1 has another digest or group than in the crate" in x for x in lines)


def test_settings_and_code_are_those_of_the_manifest(results, check):
    def otherwise(graph):
        settings = json.loads(graph["#settings/normalise"]["value"])
        settings["low_percentile"] = 1
        graph["#settings/normalise"]["value"] = json.dumps(settings)
        graph["study/code/workflow/scripts/tile.py"]["version"] = "0" * 16

    edit_crate(results, otherwise)
    seal(results)
    status, lines = check(results)
    assert status == 1
    said = "differ between manifest and crate"
    assert f"DOES NOT HOLD normalised/a.tif: params {said}" in lines
    assert f"DOES NOT HOLD tiles/a.parquet: code {said}" in lines


def test_a_raw_file_overwritten_under_its_old_size_and_time_is_named(
    finished, kept, tmp_path, check
):
    raw = tmp_path / "data"
    shutil.copytree(finished.folder / "data", raw)
    before = (raw / "b-1.tif").stat()
    flip(raw / "b-1.tif")
    os.utime(raw / "b-1.tif", ns=(before.st_atime_ns, before.st_mtime_ns))
    after = (raw / "b-1.tif").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    (raw / "c-1.mask.tif").unlink()
    status, lines = check(kept, "--raw", str(raw))
    assert status == 1
    assert lines[:2] == [
        "DOES NOT HOLD raw/image/b-1: b-1.tif has changed since the study was run",
        "DOES NOT HOLD raw/mask/c-1: c-1.mask.tif is missing",
    ]


def test_damaged_descriptions_are_faults_not_crashes(results, check):
    (results / "ro-crate-metadata.json").write_text('{"@graph": 7}', encoding="utf-8")
    status, lines = check(results)
    assert status == 1
    assert any("ro-crate-metadata.json: cannot be read" in line for line in lines)
    for twice in ('{"@graph": [{"@id": "a"}, {"@id": "a"}]}', '{"@graph": [], "@graph": []}'):
        (results / "ro-crate-metadata.json").write_text(twice, encoding="utf-8")
        assert any("is there twice" in line for line in check(results)[1])
    (results / "manifest.tsv").unlink()
    status, lines = check(results)
    assert status == 1
    assert lines == [f"{results / 'manifest.tsv'}: is missing: there is nothing to check against"]
