"""Data bars through the real rules: as if they had never been there; another crop runs again."""

import re

import numpy as np
import pandas as pd
import pytest
import tifffile

from data_bars import text
from tessera.files import read_table
from tiny_study import jobs

BAR_PX = 14
TARGETS = ["results/normalised/a.tif", "results/tiles/a.parquet"]
PRODUCTS = [*TARGETS, "results/masks/a.tif", "results/micrographs/a.tif", "results/tiles/a.tif"]
AUTO, PIXELS, WRONG = "auto", {"bottom": BAR_PX}, {"bottom": BAR_PX - 2}


def with_bar(picture, ink):
    made = np.zeros((BAR_PX, picture.shape[1]), picture.dtype)
    written = text("500 10 25", 1)
    made[3 : 3 + written.shape[0], 4 : 4 + written.shape[1]][written] = ink
    return np.concatenate([picture, made])


def products(study):
    return [(study.folder / path).read_bytes() for path in PRODUCTS]


def planned(study):
    done = study.snakemake("-n", "--", *TARGETS)
    return sorted(re.findall(r"^Job \d+: ([^:\n]+)", done.stdout, re.MULTILINE))


@pytest.fixture
def bare(fresh):
    """Products of the micrographs without bars."""
    fresh.configure(normalise={"pixel_size_nm": "keep"})
    fresh.run("--", *TARGETS)
    return products(fresh)


def test_a_data_bar_is_cut_off_as_if_it_had_never_been_there(fresh, bare):
    data = fresh.folder / "data"
    for name in ("a-1", "a-2"):
        page = tifffile.imread(data / f"{name}.tif")
        tifffile.imwrite(data / f"{name}.tif", with_bar(page, 4095))
    # One mask of the whole picture, with the writing on it; the other stays without the bar.
    mask = with_bar(tifffile.imread(data / "a-1.mask.tif"), 99)
    tifffile.imwrite(data / "a-1.mask.tif", mask)
    said = fresh.refused("--", *TARGETS)
    assert f"a-1: data/a-1.mask.tif: undeclared mask value 99 ({(mask == 99).sum()} px)" in said

    fresh.configure(ingest={"crop": AUTO})
    fresh.run("--", *TARGETS)
    assert products(fresh) == bare
    known = read_table(fresh.folder / "results/micrographs/a.tsv")
    assert known["crop_bottom_px"].tolist() == [BAR_PX] * 2
    log = (fresh.folder / "results/logs/ingest/a.log").read_text(encoding="utf-8")
    assert f"a-1: cut off: bottom {BAR_PX} px" in log
    assert planned(fresh) == []

    again = jobs(**{step: ["a"] for step in ("ingest", "annotate", "normalise", "tile")})
    for crop, same in ((WRONG, False), (PIXELS, True)):
        fresh.configure(ingest={"crop": None})
        fresh.configure(ingest={"crop": crop})
        assert planned(fresh) == again
        if same:
            fresh.run("--", *TARGETS)
            assert products(fresh) == bare
        else:
            said = fresh.refused("--", *TARGETS)
            assert "a-2: a-2.mask.tif: the mask is 80 x 80, the micrograph 82 x 80 px" in said
    assert len(pd.read_parquet(fresh.folder / TARGETS[1])) > 0
