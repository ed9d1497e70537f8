"""Several channels through the real Snakefile: the network uses what one of them alone shows."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tifffile

from tessera.network_files import load_network
from tiny_study import ROOT, TinyStudy, draw, make_study
from verification.network_records import record

CHANNELS = ["HAADF", "O", "Fe"]
VERIFY = ROOT / "workflow/scripts/verify.py"


def draw_channels(folder, name, labelled, how):
    """A micrograph of which O shows the squares; the others are noise. Gives its cells."""
    cells = draw(folder, name, labelled)
    shown = tifffile.imread(folder / cells["image"])
    noise = np.random.default_rng([1, *name.encode()]).normal(100, 10, (2, *shown.shape))
    haadf, fe = noise.astype(np.uint16)
    planes = {"HAADF": haadf, "O": shown.astype(np.float32), "Fe": fe}
    if how == "files":
        for channel, plane in planes.items():
            tifffile.imwrite(folder / f"{name}.{channel}.tif", plane)
        return {**cells, "image": "", **{f"image.{of}": f"{name}.{of}.tif" for of in planes}}
    names = ["Fe", "O", "HAADF"]
    stack = np.stack([planes[of].astype(np.uint16) for of in names])
    said = {"axes": "CYX", "Channel": {"Name": names}}
    tifffile.imwrite(folder / f"{name}.tif", stack, ome=True, metadata=said)
    return cells


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> TinyStudy:
    """Two specimens to cross-validate and one unlabelled, two micrographs each; run to its end."""
    study = make_study(tmp_path_factory.mktemp("channels") / "study")
    rows = []
    for group, how in (("a", "file"), ("b", "files"), ("u", "files")):
        for name in (f"{group}-1", f"{group}-2"):
            cells = draw_channels(study.folder / "data", name, group != "u", how)
            rows.append({"micrograph": name, "group": group, **cells})
    study.write_sheet(pd.DataFrame(rows))
    study.configure(channels=CHANNELS, split={"folds": 2}, train={"epochs": 20})
    study.run()
    return study


def dice(study):
    metrics = pd.read_csv(study.folder / "results/metrics.tsv", sep="\t")
    pooled = metrics[(metrics["level"] == "pooled") & (metrics["class"] == "square")]
    return pooled.set_index("method")["dice"]


def test_a_channel_is_used_that_is_not_the_first(study):
    of = dice(study)
    assert of["network"] > 0.8
    assert of["otsu"] < 0.4  # of the first channel, which shows nothing
    network = study.folder / "results/networks/seed-0/fold-0.pt"
    assert load_network(network).architecture.n_inputs == 3
    assert record(network)["channels"] == CHANNELS


def test_micrographs_are_a_page_a_channel_in_the_order_of_the_config(study):
    results, data = study.folder / "results", study.folder / "data"
    with tifffile.TiffFile(results / "micrographs/b.tif") as file:
        pages = [page.asarray() for page in file.pages]
    assert [page.dtype for page in pages] == ["u2", "f4", "u2"] * 2
    for number, page in enumerate(pages):
        raw = data / f"b-{1 + number // 3}.{CHANNELS[number % 3]}.tif"
        np.testing.assert_array_equal(page, tifffile.imread(raw))
    table = pd.read_csv(results / "micrographs/b.tsv", sep="\t")
    assert table["page"].tolist() == [0, 3]
    assert table.loc[0, ["file", "file.O"]].tolist() == ["b-1.HAADF.tif", "b-1.O.tif"]
    with tifffile.TiffFile(results / "micrographs/a.tif") as file:
        page = file.pages[4].asarray()  # of the second micrograph, O
    np.testing.assert_array_equal(page, tifffile.imread(data / "a-2.tif")[1])
    with tifffile.TiffFile(results / "normalised/a.tif") as file:
        means = [float(page.asarray().mean()) for page in file.pages]
    np.testing.assert_allclose(means, 0, atol=1e-4)  # each by itself


def test_the_report_names_the_channels(study):
    page = (study.folder / "results/report.html").read_text(encoding="utf-8")
    assert "Networks see 3 channels: HAADF, O, Fe." in page


def test_what_was_made_holds_and_every_raw_file_is_checked(study, tmp_path):
    copy = study.copy(tmp_path / "study")

    def verified():
        command = [sys.executable, VERIFY, copy.folder / "results"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    said = verified()
    assert "DOES NOT HOLD" not in said
    assert re.search(r"\b18 raw files have the bytes", said)
    fe = copy.folder / "data/b-1.Fe.tif"
    fe.write_bytes(fe.read_bytes()[:-1] + b"\1")
    assert "raw/image.Fe/b-1: b-1.Fe.tif has changed" in verified()
    table = copy.folder / "results/micrographs/b.tsv"
    known = pd.read_csv(table, sep="\t", dtype=str)
    known.assign(**{"file_sha256.Fe": known["file_sha256.O"]}).to_csv(table, sep="\t", index=False)
    assert "micrographs/b.tsv: b-1 (Fe) was read from another file" in verified()


def test_what_changed_in_one_channel_is_made_again_and_nothing_else(study, tmp_path):
    copy = study.copy(tmp_path / "study")
    assert copy.plan() == []
    file = copy.folder / "data/u-1.Fe.tif"
    tifffile.imwrite(file, tifffile.imread(file)[::-1])
    shard = "u+unlabelled"
    done = [f"Reading the micrographs of {shard}", f"Normalising the micrographs of {shard}"]
    done += [f"Predicting the micrographs of {shard}", "Writing the report"]
    assert copy.plan() == sorted([*done, "Writing the manifest and the crate"])
    copy.configure(channels=["O", "HAADF", "Fe"])
    assert len(copy.plan()) > 15


def test_rows_whose_channels_do_not_fit_are_told_at_once(study, tmp_path):
    copy = study.copy(tmp_path / "study")
    data = copy.folder / "data"
    tifffile.imwrite(data / "b-1.Fe.tif", np.arange(40 * 80, dtype=np.uint16).reshape(40, 80))
    tifffile.imwrite(data / "a-2.tif", np.arange(6400, dtype=np.uint16).reshape(80, 80))
    said = copy.refused()
    assert "a-2: data/a-2.tif: is one grey picture, not the channels HAADF, O, Fe" in said
    assert "b-1: data/b-1.HAADF.tif: channels of different size: HAADF is 80 x 80 px, Fe" in said
    rows = copy.sheet
    rows.loc[rows["micrograph"] == "b-1", "image.Fe"] = ""
    rows.loc[rows["micrograph"] == "b-2", "image.Fe"] = "missing.tif"
    copy.write_sheet(rows)
    assert "b-1: data/micrographs.tsv: names no file of image.Fe" in copy.refused("-n")
    rows.loc[rows["micrograph"] == "b-1", "image.Fe"] = "b-1.Fe.tif"
    copy.write_sheet(rows)
    assert "b-2: data/missing.tif: this image.Fe is missing" in copy.refused("-n")
