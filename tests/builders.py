"""What several test files build: sheets, expanded rows, micrographs."""

from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from tessera import schemas, sheets, strips
from tessera.channels import image_columns
from tessera.plans import OPEN, Plan
from tessera.problems import BadInput
from tessera.strips import LazyPage
from tessera.studies import Study

ROOT = Path(__file__).parents[1]
SHEET = "data/sheet.tsv"


@cache
def schema(name):
    return yaml.safe_load(getattr(schemas, name.upper()).read_text(encoding="utf-8"))


def config(classes=None, **blocks):
    """The config as it comes, for two classes, with keys of some blocks changed."""
    whole = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    whole["classes"] = classes or {"background": 0, "particle": 255}
    for name, block in blocks.items():
        whole[name] = {**(whole[name] or {}), **block} if isinstance(block, dict) else block
    return whole


def expanded(rows, grouped=True, channels=None):
    """Rows of a sheet, given as dicts of cells, as `sheets.expand` gives them."""
    cells = pd.DataFrame(rows, dtype=str)
    return sheets.expand(cells, SHEET, schema("micrographs"), grouped, channels)


def annotated(*groups):
    """Cells of a sheet: for each (name, number of micrographs[, further cells]) as many rows."""
    return [
        {
            "micrograph": f"{name}_{cells.get('cohort', '')}{number:03}",
            "image": f"{name}_{cells.get('cohort', '')}{number:03}.tif",
            "mask": f"{name}_{cells.get('cohort', '')}{number:03}.mask.tif",
            "group": name,
            **cells,
        }
        for name, size, cells in ((*group, {})[:3] for group in groups)
        for number in range(size)
    ]


def problems_of(call, *args, **kwargs):
    """(micrograph, what) of each problem in the `BadInput` that a call ends with."""
    with pytest.raises(BadInput) as caught:
        call(*args, **kwargs)
    return [(problem.micrograph, problem.what) for problem in caught.value.problems]


def texture(seed, shape=(300, 260), scale_px=6):
    """Smooth random grey levels with mean 0 and standard deviation 1."""
    grey = gaussian_filter(np.random.default_rng(seed).normal(size=shape), scale_px, mode="wrap")
    return (grey - grey.mean()) / grey.std()


CELLS_OF_STUDY = annotated(
    *((name, 3) for name in "abcdef"),
    ("u", 2, {"mask": ""}),
    ("a", 2, {"mask": "", "cohort": "1"}),
    ("t", 2, {"use": "test"}),
    ("s", 2, {"use": "train"}),
)


VALUES_OF_PLAN = {
    "pixel_size_nm": "keep",
    "size_px": 192,
    "stride_px": 96,
    "channels": [4, 8],
    "batch": 16,
    "epochs": 60,
    "jitter_px": 48,
    "loss": {"dice": 1.0},
    "class_weights": "none",
}
PLAN_OF_STUDY = Plan(VALUES_OF_PLAN, {step: {} for step in OPEN})


def study_of(
    cells=CELLS_OF_STUDY, sha256=None, code=lambda script: script, plan=PLAN_OF_STUDY, **blocks
):
    """A study whose raw files have their own paths as digests, but for those in `sha256`."""
    rows = expanded(cells, channels=blocks.get("channels"))
    columns = (*image_columns(rows), "mask")
    paths = [path for column in columns for path in rows[column] if path]
    return Study(rows, SHEET, config(**blocks), {p: p for p in paths} | (sha256 or {}), code, plan)


def lineages(found):
    """Lineage of every product, by step and what it is of."""
    return {product: found.lineage(*product) for product in found.products}


@st.composite
def random_sheets(draw):
    """Many groups of every use that join, and grow, in cohorts, and the config to deal them out.

    Some rows are unlabelled; shards are tiny.
    """
    cells = annotated(*((f"cv{i}", draw(st.integers(1, 5))) for i in range(3)))
    for i in range(draw(st.integers(0, 6))):
        use = draw(st.sampled_from(["cv", "cv", "train", "test"]))
        for cohort in draw(st.sets(st.sampled_from("0123"), min_size=1)):
            mask = {} if draw(st.booleans()) else {"mask": ""}
            size = draw(st.integers(1, 5))
            cells += annotated((f"g{i}", size, {"cohort": cohort, "use": use, **mask}))
    method = draw(st.sampled_from(["group-k-fold", "leave-one-group-out"]))
    split = {"method": method, "folds": 2}
    return draw(st.permutations(cells)), {"shard_size": 2, "split": split}


def lazy(page, rows):
    """A page of which so many rows are held at once, wherever `in_strips` it is gone through."""
    return LazyPage(page.shape, page.dtype, lambda top, end: page[top:end], rows)


@contextmanager
def in_strips():
    """No page is small, and a strip is no higher than it must be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "STRIP_BYTES", 1)
        patch.setattr(strips, "WHOLE_BYTES", 0)
        yield
