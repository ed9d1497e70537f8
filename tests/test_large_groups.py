"""A group of 5,000 micrographs, planned by the real Snakefile: a change concerns one shard of it.

The micrographs and all products are stand-ins, declared to be up to date as a user would do it
(`--touch`): what is planned depends on the sheet and on the bytes of the raw files alone.
"""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tiny_study import CONFIG, ONCE, TinyStudy, jobs

SIZE = 5000
STATED = {
    "normalise": {"pixel_size_nm": "keep"},
    "train": CONFIG["train"] | {"loss": {"dice": 1.0}, "class_weights": "none"},
    "resources": {"train": {"cpus": 1, "runtime": 1, "mem_mb": 1000}},
    "shard_size": 500,
}
"""Nothing is open, so that neither a plan nor a calibration has to be made."""
FOLDS = {"big": "0", "a": "1", "b": "2", "c": "2"}
SMALL = ["a", "b", "c"]


def stand_in(folder: Path, name: str) -> dict[str, str]:
    """The row of a micrograph whose files hold their own names."""
    paths = {"image": f"{name}.tif", "mask": f"{name}.mask.tif"}
    for path in paths.values():
        (folder / path).write_text(path, encoding="utf-8")
    group = name.partition("-")[0]
    return {"micrograph": name, "group": group, **paths, "fold": FOLDS[group]}


LINEAGES = (".lineage", ".predict", ".summarise")


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> TinyStudy:
    """Three small groups and the large one, all up to date."""
    study = TinyStudy(tmp_path_factory.mktemp("large"))
    data = study.folder / "data"
    data.mkdir()
    names = [*(f"{group}-1" for group in SMALL), *(f"big-{number:04}" for number in range(SIZE))]
    study.write_sheet(pd.DataFrame([stand_in(data, name) for name in names]))
    study.config.write_text(yaml.safe_dump(CONFIG | STATED, sort_keys=False), encoding="utf-8")
    for output, lineage in study.lineages().items():
        path = study.folder / output
        if path.parent.name == "predictions":
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(lineage if path.suffix in LINEAGES else "", encoding="utf-8")
    lines = [f"{group}\t{fold}" for group, fold in FOLDS.items()]
    (study.folder / "results/folds.tsv").write_text("\n".join(["group\tfold", *lines, ""]))
    study.run("--touch", "--forceall")
    assert study.plan() == []
    return study


@pytest.fixture
def study(large):
    """The same; its sheet is put back after the test."""
    rows = large.sheet
    yield large
    large.write_sheet(rows)


def shard_of_images(plan: list[str]) -> str:
    """The only shard whose images are read."""
    (shard,) = re.findall(r"Reading the micrographs of (\S+)", "\n".join(plan))
    return shard


def of_an_image(shard: str, annotate: bool) -> list[str]:
    """What an image of the large group plans: its own fold's network has not seen it."""
    return jobs(
        ingest=[shard],
        annotate=[shard] if annotate else [],
        normalise=[shard],
        tile=[shard],
        split=["-"],
        train="12",
        predict=[shard, *SMALL],
        evaluate=[shard, *SMALL],
        **ONCE,
    )


def test_one_micrograph_more_concerns_one_shard(study):
    study.add(stand_in(study.folder / "data", "big-0017b"))
    plan = study.plan()
    assert plan == of_an_image(shard_of_images(plan), annotate=True)


def test_one_micrograph_less_concerns_one_shard(study):
    study.write_sheet(study.sheet.query("micrograph != 'big-2500'"))
    plan = study.plan()
    assert plan == of_an_image(shard_of_images(plan), annotate=True)


def test_the_pixel_size_of_one_row_concerns_its_shard_and_no_mask(study):
    rows = study.sheet
    rows.loc[rows["micrograph"] == "big-4999", "pixel_size_nm"] = "2.5"
    study.write_sheet(rows)
    plan = study.plan()
    assert plan == of_an_image(shard_of_images(plan), annotate=False)


def test_one_mask_concerns_the_masks_of_its_shard_and_no_image(study):
    path = study.folder / "data/big-0000.mask.tif"
    path.write_text("corrected", encoding="utf-8")
    assert study.plan() == jobs(
        annotate=["big"],
        tile=["big"],
        split=["-"],
        train="12",
        predict=SMALL,
        evaluate=["big", *SMALL],
        **ONCE,
    )
    path.write_text("big-0000.mask.tif", encoding="utf-8")
    assert study.plan() == []
