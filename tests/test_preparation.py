"""From config and files to a study: labels out of containers, contradictions, what was placed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

from builders import config
from tessera.digests import file_digest
from tessera.preparation import prepared
from tessera.problems import BadInput


@pytest.fixture
def stack(tmp_path, monkeypatch):
    """A folder to run in, with a stack of six frames, its masks and one label a frame."""
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", np.zeros((6, 8, 8), np.uint8))
    np.save("masks.npy", np.zeros((6, 8, 8), np.uint8))
    np.savez("labels.npz", kind=np.array(["pit", "pit", "scratch", "scratch", "pit", "scratch"]))
    return {
        "micrograph": "film",
        "image": "images.npy",
        "mask": "masks.npy",
        "frames": "0-5",
        "group": "film-{frame}",
        "label": "labels.npz::kind",
    }


def study_of(*rows, **blocks):
    pd.DataFrame(rows).to_csv("sheet.tsv", sep="\t", index=False)
    return prepared(config(sheet="sheet.tsv", **blocks))


def test_labels_come_out_of_their_container_by_frame(stack):
    study = study_of(stack)
    assert list(study.rows["label"]) == ["pit", "pit", "scratch", "scratch", "pit", "scratch"]
    # Stratified by them: each of the three folds holds one of either kind.
    kinds = study.rows.set_index("group")["label"].groupby(study.folds["fold"]).nunique()
    assert list(kinds) == [2, 2, 2]


def test_labels_that_are_not_there_are_told(stack):
    np.savez("labels.npz", kind=np.array(["pit"] * 5))
    with pytest.raises(BadInput, match=r"film-05: labels.npz: kind holds 5 labels, none for this"):
        study_of(stack)
    with pytest.raises(BadInput, match=r"gone.npz: this label is missing"):
        study_of(stack | {"label": "gone.npz::kind"})


def test_plain_labels_are_no_paths(stack):
    assert set(study_of(stack | {"label": "a/b"}).rows["label"]) == {"a/b"}


def test_a_zarr_store_is_a_raw_file_and_any_other_folder_is_none(stack):
    zarr.create_array("images.zarr", data=np.ones((6, 8, 8), np.uint8), chunks=(1, 8, 8))
    before = study_of(stack | {"image": "images.zarr"})
    assert set(before.raw_digests("film-0", "image")) == {file_digest("images.zarr")}
    Path("images.zarr/c/3/0/0").write_bytes(b"another")
    after = study_of(stack | {"image": "images.zarr"})
    assert after.lineage("ingest", "film-0") != before.lineage("ingest", "film-0")
    Path("folder").mkdir()
    with pytest.raises(BadInput, match=r"folder: this image is missing"):
        study_of(stack | {"image": "folder"})


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ({"classes": {"a": 0, "b": 0}}, "mask value 0 stands for more than one class"),
        ({"classes": {"a": 0, "all": 1}}, "'all' should not be valid"),
        ({"other": "c"}, "`other: c` is none of the classes"),
        ({"normalise": {"low_percentile": 60, "high_percentile": 40}}, "is not below"),
        ({"normalise": {"method": "none", "levels": [9, 9]}}, "levels: 9 is not below 9"),
        ({"normalise": {"method": "clahe", "by": "group"}}, "by: group is for method z-score"),
        (
            {"tile": {"size_px": 100}, "train": {"channels": [1, 2, 3, 4]}},
            "tile.size_px: 100 is no multiple of the stride, 8",
        ),
        (
            {"train": {"loss": dict.fromkeys(("cross_entropy", "bce", "dice", "focal"), 0)}},
            "above 0",
        ),
    ],
)
def test_config_that_contradicts_itself_is_refused(stack, blocks, words):
    with pytest.raises(BadInput, match=words):
        study_of(stack, **blocks)


def test_classes_must_be_declared():
    with pytest.raises(BadInput, match="none declared"):
        prepared({**config(), "classes": None})


def test_bce_needs_two_classes(stack):
    with pytest.raises(BadInput, match="is for two classes, this study has 3"):
        study_of(
            stack,
            classes={"a": 0, "b": 1, "c": 2},
            train={"loss": {"cross_entropy": 0, "bce": 1, "dice": 0, "focal": 0}},
        )


@pytest.mark.parametrize("cells", [{"use": "test"}, {"mask": "", "label": ""}])
def test_study_with_nothing_to_learn_from_is_refused(stack, cells):
    with pytest.raises(BadInput, match="there is nothing to learn from"):
        study_of(stack | cells)


def test_damaged_table_of_folds_stops_the_run(stack, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results/folds.tsv").write_text("group\tfold\nfilm-0\tzero\n")
    with pytest.raises(BadInput, match=r"folds.tsv: is damaged"):
        study_of(stack)


def test_sheet_that_is_missing_or_no_table_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"sheet: gone.tsv: is missing"):
        prepared(config(sheet="gone.tsv"))
    (tmp_path / "sheet.tsv").write_bytes(b"")
    with pytest.raises(BadInput, match=r"sheet: sheet.tsv: is no table"):
        prepared(config(sheet="sheet.tsv"))


PLANNED = """\
normalise: {pixel_size_nm: 2.5}
tile: {size_px: 96, stride_px: 48}
train:
  {channels: [4, 8, 16], batch: 2, epochs: 2, jitter_px: 4, loss: {dice: 1}, class_weights: none}
made: {normalise: {}, tile: {}, train: {}, calibrate: {}}
"""


def with_plan(text, row, **blocks):
    Path("results").mkdir(exist_ok=True)
    Path("results/plan.yaml").write_text(text)
    return study_of(row, **blocks)


def test_a_plan_fills_what_is_open(stack):
    found = with_plan(PLANNED, stack, train={"batch": 3})
    assert found.settings("tile")["size_px"] == 96
    assert found.settings("train")["batch"] == 3
    assert found.settings("normalise")["pixel_size_nm"] == 2.5


def test_the_side_of_a_tile_in_nm_is_stated_once_and_is_that_of_the_plan(stack):
    with pytest.raises(BadInput, match="size_px and size_nm say the same thing twice"):
        study_of(stack, tile={"size_px": 64, "size_nm": 1000})
    assert study_of(stack, tile={"size_nm": 1000}).waits_for_plan("tile")
    planned = PLANNED.replace("stride_px: 48", "stride_px: 48, size_nm: 1000")
    found = with_plan(planned, stack, tile={"size_nm": 1000})
    assert found.settings("tile")["size_px"] == 96
    # Said in pixels it is the same tile.
    same = with_plan(PLANNED, stack, tile={"size_px": 96})
    assert same.identity("tile") == found.identity("tile")
    with pytest.raises(BadInput, match=r"tile.size_nm is 2000 nm, .* made for 1000 nm; delete it"):
        with_plan(planned, stack, tile={"size_nm": 2000})
    with pytest.raises(BadInput, match=r"tile.size_nm is gone, .* made for 1000 nm"):
        with_plan(planned, stack)


@pytest.mark.parametrize(
    ("text", "blocks", "words"),
    [
        ("tile: [", {}, r"plan: results/plan.yaml: is damaged: it is no YAML"),
        (PLANNED.replace("batch: 2", "batch: 0"), {}, r"plan.yaml: train.batch: 0 is less than"),
        (PLANNED.replace("96", "90"), {}, r"with this plan, tile.size_px: 90 is no multiple"),
        (
            PLANNED,
            {"train": {"channels": [1] * 8}},
            r"96 is no multiple of the stride, 128",
        ),
    ],
)
def test_a_plan_that_is_damaged_or_contradicts_the_config_is_refused(stack, text, blocks, words):
    with pytest.raises(BadInput, match=words):
        with_plan(text, stack, **blocks)
