"""Methods of normalisation through the real Snakefile: what runs again, and what comes out."""

import numpy as np
import pytest
import tifffile
from skimage.exposure import equalize_adapthist

from tessera.files import map_pages, read_table
from tessera.intensity import grey_levels
from tiny_study import REPORTED, jobs

MADE_AGAIN = {
    "normalise": [*"abcdt", "u+unlabelled"],
    "tile": [*"abcdt"],
    "split": ["-"],
    "train": list("012"),
    "predict": [*"abcdt", "u+unlabelled"],
    "evaluate": [*"abcdt"],
    "summarise": ["-"],
    **REPORTED,
}
"""All but what was read: neither micrographs nor masks."""

EVERY_LEVEL = {"low_percentile": 0, "high_percentile": 100}


def pages_of(study, shard):
    """The normalised pages of a shard, their table, and the raw micrographs."""
    stem = study.folder / f"results/normalised/{shard}"
    table = read_table(f"{stem}.tsv")
    names = table["micrograph"]
    raw = [tifffile.imread(study.folder / f"data/{name}.tif") for name in names]
    return map_pages(f"{stem}.tif", table["page"]), table.to_dict("records"), raw


@pytest.mark.parametrize(
    "method",
    [
        {"method": "clahe", **EVERY_LEVEL},
        {"method": "none"},
        {"flatten": {"surface": "polynomial"}, **EVERY_LEVEL},
        {"flatten": {"surface": "gaussian", "by": "divide"}, **EVERY_LEVEL},
    ],
    ids=["clahe", "none", "polynomial", "gaussian"],
)
def test_another_method_makes_all_again_that_was_made_of_grey_levels(study, method):
    study.configure(normalise=method)
    assert study.plan() == jobs(**MADE_AGAIN)
    study.run("results/normalised/a.tif")
    for page, record, raw in zip(*pages_of(study, "a"), strict=True):
        if method.get("method") == "clahe":
            expected = equalize_adapthist(raw)
            expected = (expected - expected.mean()) / expected.std()
            np.testing.assert_allclose(page, expected, atol=1e-4)
        else:
            np.testing.assert_array_equal(np.round(np.asarray(grey_levels(page, record))), raw)


def test_what_the_method_does_not_use_makes_nothing_again(study):
    unused = {"clahe": {"clip_limit": 0.5}, "levels": [0, 1], "flatten": {"degree": 5}}
    study.configure(normalise=unused)
    assert study.plan() == []


def test_one_scale_for_a_group(study):
    """That of its annotated micrographs: one without a mask runs its own chain, and none else."""
    for number, gain in ((1, 3), (2, 1)):
        path = study.folder / f"data/a-{number}.tif"
        tifffile.imwrite(path, tifffile.imread(path) * np.uint16(gain))
    study.configure(normalise={"by": "group"})
    made = [f"results/normalised/{shard}.tif" for shard in [*"abcdt", "u+unlabelled"]]
    study.run(*made)
    (bright, dark), (first, second), raw = pages_of(study, "a")
    same = ("low", "high", "mean", "deviation")
    assert [first[key] for key in same] == [second[key] for key in same]
    together = np.concatenate([page.ravel() for page in raw]).astype(np.float32)
    assert [first["low"], first["high"]] == np.percentile(together, [0.5, 99.5]).tolist()
    assert bright.mean() > 0.5 > -0.5 > dark.mean()
    in_other_groups = {f"results/micrographs/{group}.tif" for group in "acdt"}
    assert not study.inputs()["results/normalised/b.tif"] & in_other_groups

    before = study.plan()
    study.join("a-3", cohort=0, labelled=False)
    own = ["a+unlabelled"]
    assert set(study.plan()) - set(before) == set(jobs(ingest=own, normalise=own, predict=own))
    study.run("results/normalised/a+unlabelled.tif")
    _, (third,), _ = pages_of(study, "a+unlabelled")
    assert [third[key] for key in same] == [first[key] for key in same]
    assert "Nothing to be done" in study.run(*made)
