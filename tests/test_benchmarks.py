"""The benchmarks: what the table says of figures, that workers answer, that the tiny sizes work."""

import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import bench, gigapixel, leaks, memory, ours, samples, scale, stitching, training
from benchmarks.measuring import Comparison, Job, Options, Target, measured, once, printed, table
from tessera.readers import read_micrograph


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def network(scratch):
    return samples.network_file(scratch, (4, 8), steps=2)


def options(scratch, repeats=2):
    return Options(scratch, repeats, threads=1, tiny=True)


def test_a_row_holds_medians_their_ratio_and_the_spread():
    target = Target("ratio", ">=", 3)
    row = Comparison("b", "c", "s", [9, 1, 6], [2, 2, 1], target).row()
    assert (row["ours"], row["theirs"], row["ratio"]) == (6, 2, 3)
    assert (row["target"], row["met"], row["repeats"]) == ("ratio >= 3", "yes", "3")
    assert (row["spread_ours"], row["spread_theirs"]) == ("1 to 9", "1 to 2")


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (Target("ours", "<", 2), "no"),
        (Target("ours", "<=", 2), "yes"),
        (Target("ours", ">", 1), "yes"),
        (Target("ratio", ">=", 1), "not measured"),
        (None, ""),
    ],
)
def test_a_target_is_of_ours_or_of_the_ratio(target, met):
    row = Comparison("b", "c", "s", [2], target=target).row()
    assert row["met"] == met
    assert row["ratio"] is None
    assert row["repeats"] == "1"


def test_the_table_is_printed_with_a_line_a_row():
    rows = table([Comparison("b", "first", "s", [1234.5]), Comparison("b", "second", "s", [], [2])])
    header, first, second = printed(rows).splitlines()
    assert header.split()[:3] == ["benchmark", "case", "ours"]
    assert first.split() == ["b", "first", "1.23e+03", "s", "1"]
    assert second.split() == ["b", "second", "2", "s", "1"]


def test_rows_of_other_benchmarks_stay_in_the_table(tmp_path):
    path = tmp_path / "bench.tsv"
    old = [Comparison("training", "old", "s", [1.0]), Comparison("memory", "kept", "GB", [2.0])]
    table(old).to_csv(path, sep="\t", index=False)
    new = table([Comparison("training", "new", "s", [3.0], [1.0])])
    shown = bench.with_earlier(new, path)
    assert list(shown["case"]) == ["kept", "new"]
    assert len(printed(shown).splitlines()) == 3
    assert bench.with_earlier(new, tmp_path / "none.tsv") is new


def test_accuracy_compares_every_method_with_tessera_on_the_folds_of_both():
    scores = pd.DataFrame(
        [
            ("steel", "0", "tessera", 10, 0.9, 0.94),
            ("steel", "1", "tessera", 10, 0.8, 0.9),
            ("steel", "0", "other", 10, 0.6, 0.7),
            ("steel", "0", "other", 60, 0.95, 0.97),
        ],
        columns=["dataset", "fold", "method", "minutes", "mean_iou", "mean_dice"],
    )
    rows = table(bench.accuracy_rows(scores))
    assert list(rows["met"]) == ["yes", "yes", "no", "no"]
    assert rows["ours"].tolist() == [0.9, 0.94, 0.9, 0.94]


def test_a_worker_answers_each_time_and_says_its_peak(scratch):
    job = Job("benchmarks.training:matrix_product", {"sides": [32]})
    figures = measured({"product": job}, options(scratch))["product"]
    assert len(figures) == 2
    assert all(trial["tflop_per_s"] > 0 and 0.05 < trial["peak_gb"] < 5 for trial in figures)


def test_a_worker_that_fails_says_why(scratch):
    with pytest.raises(RuntimeError, match="nowhere"):
        once(Job("benchmarks.nowhere:at_all", {}), options(scratch))


def test_both_loops_train_on_the_same_files(scratch, monkeypatch):
    # It sets how the whole process keeps memory.
    monkeypatch.setattr("train.prepare_process", lambda threads: None)
    size = training.TINY
    files = samples.shard(scratch, 1, (size.page_px,) * 2, size.tile_px)
    shared = (files, size.channels, size.batch, size.tile_px, size.steps)
    figures = training.tessera_loop(*shared, repeated=False)()
    assert figures["tiles_per_s"] > 0
    assert 0 <= figures["waited_s"] < figures["step_s"] * size.steps
    assert training.tessera_loop(*shared, repeated=True)()["tflop_per_s"] > 0
    assert training.tutorial_loop(*shared)()["tiles_per_s"] > 0


def test_what_is_stitched_is_a_prediction(scratch, network):
    page, _ = samples.micrograph((61, 45), seed=0)
    path = stitching._saved(scratch / "page.npy", page)
    assert stitching.speed(network, path, "fp32")()["megapixels_per_s"] > 0
    whole = scratch / "whole.npy"
    figures = stitching.seam(network, path, str(whole))()
    assert figures["fp32"] <= 1e-5 * max(1, figures["largest_logit"])
    assert np.load(whole).shape == (len(samples.CLASSES), 61, 45)


def test_a_large_page_is_predicted_from_file_to_files(scratch, network, tmp_path):
    with memory._page(scratch, 160) as page:
        arguments = (network, str(page), 160, memory.TINY.mem_mb, "fp32", str(tmp_path))
        assert ours.memory(*arguments)()["megapixels_per_s"] > 0
    assert not page.exists()
    assert (tmp_path / "large.mask.tif").is_file()


def test_a_page_that_the_disk_cannot_hold_is_not_begun(scratch):
    with pytest.raises(OSError, match="GB on disk"), memory._page(scratch, 10**8):
        pass


def test_a_peer_that_needs_too_much_is_not_run(scratch, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**9)
    monai = memory.Monai("network.pt", 256, "bf16", options(scratch))
    figures, note = monai.figures(scratch, 16384)
    assert figures == []
    assert "not run" in note


def test_planted_pairs_are_found_among_made_up_micrographs():
    assert leaks.search(leaks.TINY.micrographs[-1])()["found"] == leaks.PLANTED


def test_a_large_study_that_is_made_up_is_a_finished_one(tmp_path):
    folder = tmp_path / "scale"
    scale.make_raw(folder, scale.TINY)
    assert scale.finish(folder)["jobs"] > 30
    figures = scale.run(folder, ["--dry-run"])
    assert figures["jobs"] == 0
    assert 0 < figures["peak_gb"] < 2


def test_a_huge_micrograph_is_the_same_however_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(gigapixel, "BLOCK_PX", 128)
    gigapixel._field.cache_clear()
    gigapixel.make_study(tmp_path / "study", 300)
    whole = np.asarray(gigapixel.simulated(300, "image", np.uint16, 0))
    read = read_micrograph(str(tmp_path / "study/huge.image.tif"))
    np.testing.assert_array_equal(read.pixels, whole)
    assert read.pixel_size_nm == pytest.approx(samples.PIXEL_SIZE_NM)
    assert len(np.unique(whole[:128, :128] == whole[128:256, :128])) == 2
    gigapixel._field.cache_clear()


def test_every_process_tells_the_memory_it_took(tmp_path):
    script = tmp_path / "tmpx.train.py"
    script.write_text("held = b'x' * 10**8", encoding="utf-8")
    probe = str(Path(gigapixel.__file__).with_name("probe"))
    environment = os.environ | {"PYTHONPATH": probe, "MEMORY_PROBE": str(tmp_path)}
    subprocess.run([sys.executable, str(script)], env=environment, check=True)
    (told,) = (json.loads(path.read_text(encoding="utf-8")) for path in tmp_path.glob("*.json"))
    assert gigapixel.step_of(told["command"]) == "train"
    assert 10**8 < told["anonymous"] < told["resident"] < 3 * 10**8


def test_what_is_unknown_is_refused(capsys):
    with pytest.raises(SystemExit):
        bench.main(["speed"])
    assert "training, stitching, memory, leaks, scale" in capsys.readouterr().err


@pytest.fixture
def recipe(monkeypatch):
    """The module, which is run as a script and imports its neighbours as one."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "benchmarks")
    return importlib.import_module("recipe")


def test_the_docs_show_the_rows_of_the_recipe(recipe):
    docs = Path(__file__).parents[1] / "docs"
    rows = recipe.read_rows(docs / "recipe.tsv", recipe.COLUMNS)
    shown = (docs / "recipe.md").read_text(encoding="utf-8")
    assert not rows.duplicated(recipe.KEY).any()
    assert recipe.markdown(rows) in shown


def test_every_part_of_the_recipe_learns(recipe, tmp_path):
    planned = training.planned_recipe([4, 8, 8], batch=2, tile_px=32)
    planned = replace(planned, class_weights="none")  # as the plan says it
    files = samples.shard(tmp_path, 1, (96, 96), planned.size_px)
    run, n_classes = recipe.Run(0, "0", "cpu", "fp32", 1, ""), len(planned.classes)
    learnt = {}
    for name in recipe.parts_of(planned):
        networks, _ = recipe.trained(name, planned, run, [tuple(files)], 2)
        learnt |= networks
    assert set(learnt) == {*recipe.parts_of(planned), recipe.AVERAGED}
    image = torch.rand(1, 1, 32, 32)
    with torch.inference_mode():
        logits = {name: network.eval()(image) for name, network in learnt.items()}
    assert {found.shape for found in logits.values()} == {(1, n_classes, 32, 32)}
    kept = logits.pop(recipe.KEPT)
    same = {name for name, found in logits.items() if torch.equal(found, kept)}
    # Here half of the tiles hold the rarest class anyway.
    assert same <= {"half of the tiles with the rarest"}


def test_a_gain_is_over_what_is_kept_with_the_same_seed(recipe):
    known = {"dataset": "some/sheet", "fold": "0", "steps": 9}
    found = [("tried", 0, 0.75), ("as planned", 0, 0.5), ("as planned", 1, 0.7), ("tried", 1, 0.6)]
    found.append(("tried", 2, 0.1))
    rows = [{**known, "part": part, "seed": seed, "mean_iou": iou} for part, seed, iou in found]
    lines = recipe.markdown(pd.DataFrame(rows)).splitlines()
    assert lines[0] == "| part | some, fold 0, 9 steps |"
    assert lines[2:] == [
        "| as planned | 0.6000 (0.5000 to 0.7000, 2 seeds) |",
        "| tried | +0.0750 (-0.1000 to +0.2500, 2 seeds) |",
    ]
