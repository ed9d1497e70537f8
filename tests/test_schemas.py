"""Schemas: the config as it comes is sound, and every fault is told with its place."""

import pytest

from builders import config, schema
from tessera.schemas import faults, faulty


def test_the_config_as_it_comes_needs_nothing_but_classes():
    assert faults(config(), schema("config")) == []


@pytest.mark.parametrize(
    ("blocks", "place"),
    [
        ({"tile": {"size_px": 0}}, "tile.size_px: "),
        ({"normalise": {"method": "histogram"}}, "normalise.method: "),
        ({"normalise": {"levels": [0]}}, "normalise.levels: "),
        ({"normalise": {"flatten": {"surface": "plane"}}}, "normalise.flatten"),
        ({"train": {"seeds": []}}, "train.seeds: "),
        ({"train": {"loss": {"dice": -1}}}, "train.loss"),
        ({"classes": {"a": 0, "b": [1, 2]}}, "classes.b: "),
        ({"classes": {"a": 0, "../b": 1}}, "classes: "),
        ({"classes": {"a": 0, "all": 1}}, "classes: "),
        ({"ignore": [1, 2]}, "ignore: "),
        ({"nearest": "yes"}, "nearest: "),
        ({"unlabelled": "other"}, "unlabelled: "),
        ({"instances": {"boundary": "edge"}}, "instances: "),
        ({"classes": {"a": 0, "moved": 1}}, "classes: "),
        ({"predict": {"symmetries": 3}}, "predict.symmetries: "),
        ({"split": {"method": "random"}}, "split.method: "),
        ({"trian": {}}, "Additional properties"),
        ({"resources": {"train": {"gpus": 1}}}, "resources.train: "),
    ],
    ids=str,
)
def test_a_fault_is_told_with_its_place(blocks, place):
    changed = {**config(), **blocks} if "trian" in blocks else config(**blocks)
    found = faults(changed, schema("config"))
    assert found
    assert all(fault.startswith(place) for fault in found)


def test_all_faults_are_told_at_once():
    found = faults(config(tile={"size_px": 0, "seed": -1}, device="tpu"), schema("config"))
    assert [fault.split(":")[0] for fault in found] == ["device", "tile.seed", "tile.size_px"]


def test_the_compiled_check_finds_the_rows_that_the_full_one_finds():
    rows = [
        {"micrograph": "a", "image": "a.tif"},
        {"micrograph": "a b", "image": "a.tif", "use": "?"},
        {"micrograph": "a"},
        {"micrograph": "a", "image": "a.tif", "pixel_size_nm": "1e-3"},
        {},
    ]
    row_schema = schema("micrographs")
    expected = [(i, fault) for i, row in enumerate(rows) for fault in faults(row, row_schema)]
    assert list(faulty(rows, row_schema)) == expected
    assert {number for number, _ in expected} == {1, 2, 4}
