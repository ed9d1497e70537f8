"""Channels: told in the sheet, found in the files of every format, and never mixed up."""

import json

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from builders import annotated, config, expanded, lineages, problems_of, study_of
from samples_of_formats import VELOX_SAYS, levels
from tessera.channels import Planes, pages_of, stacked
from tessera.cohorts import outlook
from tessera.micrographs import read_image
from tessera.readers import UnreadableFile, read_channels

CHANNELS = ["HAADF", "O", "Fe"]
PLANES = levels(shape=(3, 19, 31))
LAST = np.moveaxis(PLANES, 0, 2)
SHUFFLED = PLANES[[2, 0, 1]]
NAMES = ["Fe", "HAADF", "O"]


# ------------------------------------------------------------------------------------- the sheet


def rows_of(*rows):
    cells = [{"micrograph": f"m{at}", "group": "g", **row} for at, row in enumerate(rows)]
    return expanded(cells, channels=CHANNELS)


def test_a_file_of_each_channel_in_whatever_order_of_the_columns():
    row = {"image.Fe": "fe.tif", "image.HAADF": "h.emd::HAADF", "image.O": "o.tif"}
    rows = rows_of(row, {"image": "all.tif"})
    wanted = ["image", "image_key", "image.O", "image_key.O", "image.Fe"]
    assert rows[wanted].values.tolist() == [
        ["data/h.emd", "HAADF", "data/o.tif", "", "data/fe.tif"],
        ["data/all.tif", "", "", "", ""],
    ]
    assert "image.HAADF" not in rows


def test_all_rows_that_do_not_name_their_channels_are_told_at_once():
    each = dict.fromkeys([f"image.{name}" for name in CHANNELS], "x.tif")
    bad = [{"image.O": "o.tif"}, {"image": "a.tif", "image.O": "o.tif"}, {}]
    assert problems_of(rows_of, {**each, "image.C": "c.tif"}, *bad, {"image": "all.tif"}) == [
        ("m1", "names no file of image.HAADF, image.Fe"),
        ("m2", "names a file of all channels (image) and files of single ones; leave one out"),
        ("m3", "names no file: neither image, nor image.HAADF, image.O, image.Fe"),
        ("sheet", "the column image.C is of no channel: the config declares channels: [HAADF, O, "
         "Fe]"),
    ]  # fmt: skip


def test_without_channels_the_sheet_has_none():
    cells = [{"micrograph": "a", "image": "a.tif", "image.O": "o.tif", "group": "g"}]
    (problem,) = problems_of(expanded, cells)
    assert problem == (
        "sheet", "the column image.O is of no channel: the config declares no channels"
    )  # fmt: skip


# ------------------------------------------------------------------------------------- the files


def ome(planes, names):
    said = {"axes": "CYX", "Channel": {"Name": names}}
    return lambda path: tifffile.imwrite(
        path, planes, ome=True, metadata=said, photometric="minisblack"
    )


def ome_zarr(path):
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", data=SHUFFLED[None, :, None], chunks=(1, 1, 1, 19, 31))
    axes = [{"name": name} for name in "tczyx"]
    scale = [{"type": "scale", "scale": [1, 1, 1, 1, 1]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    channels = [{"label": name} for name in NAMES]
    group.attrs.update({"multiscales": [image], "omero": {"channels": channels}})


def mrc(path):
    with mrcfile.new(path, data=PLANES.astype(np.int16)) as file:
        file.set_image_stack()


def hdf5(data):
    def write(path):
        with h5py.File(path, "w") as file:
            file.create_dataset("maps", data=data, chunks=data.shape)

    return write


def velox(path):
    """Maps as images of a Velox file, each with its name."""
    with h5py.File(path, "w") as file:
        version = json.dumps({"format": "Velox", "version": "1.11"}).encode()
        file["Version"] = np.array([version], dtype=h5py.string_dtype())
        for number, (name, plane) in enumerate(zip(NAMES, SHUFFLED, strict=True)):
            detectors = {"Detector-0": {"DetectorName": name}}
            result = {**VELOX_SAYS["BinaryResult"], "Detector": name}
            text = json.dumps({**VELOX_SAYS, "Detectors": detectors, "BinaryResult": result})
            image = file.create_group(f"Data/Image/012{number}")
            image.create_dataset("Data", data=plane[:, :, None], chunks=(19, 31, 1))
            image["Metadata"] = np.frombuffer(text.encode(), np.uint8)[:, None]


def tiff(data, **settings):
    return lambda path: tifffile.imwrite(path, data, **settings)


FILES = {
    "pages": tiff(PLANES, photometric="minisblack", metadata=None),
    "samples": tiff(LAST, photometric="rgb"),
    "samples apart": tiff(PLANES, photometric="rgb", planarconfig="separate"),
    "imagej": tiff(PLANES, imagej=True, metadata={"axes": "CYX"}),
    "ome": ome(SHUFFLED, NAMES),
    "ome of more": ome(np.concatenate([SHUFFLED, PLANES[:1] + 1]), [*NAMES, "C"]),
    "ome without names": ome(PLANES, None),
    "npy": lambda path: np.save(path.open("wb"), PLANES),
    "npy, last": lambda path: np.save(path.open("wb"), LAST),
    "npz": lambda path: np.savez(path.open("wb"), maps=PLANES),
    "hdf5": hdf5(PLANES),
    "hdf5, last": hdf5(LAST),
    "zarr": lambda path: zarr.create_array(str(path), data=PLANES, chunks=(1, 19, 31)),
    "ome-zarr": ome_zarr,
    "mrc": mrc,
    "velox": velox,
}
KEYS = {"npz": "maps", "hdf5": "maps", "hdf5, last": "maps"}


@pytest.mark.parametrize("name", FILES)
def test_channels_of_one_file_are_those_that_were_written(tmp_path, name):
    FILES[name](tmp_path / "file")
    found = read_channels(str(tmp_path / "file"), CHANNELS, KEYS.get(name, ""))
    assert [recording.axes for recording in found] == ["YX"] * 3
    for recording, plane in zip(found, PLANES, strict=True):
        np.testing.assert_array_equal(np.asarray(recording.pixels), plane)


def test_more_channels_than_colours(tmp_path):
    planes = levels(shape=(7, 19, 31))
    np.save(tmp_path / "a.npy", np.moveaxis(planes, 0, 2))
    found = read_channels(str(tmp_path / "a.npy"), list("abcdefg"))
    np.testing.assert_array_equal([recording.pixels for recording in found], planes)


def test_frames_of_several_channels(tmp_path):
    stack = levels(shape=(4, 3, 19, 31))
    np.save(tmp_path / "first.npy", stack)
    np.save(tmp_path / "last.npy", np.moveaxis(stack, 1, 3))
    for name in ("first", "last"):
        found = read_channels(str(tmp_path / f"{name}.npy"), CHANNELS, frame=2)
        np.testing.assert_array_equal([recording.pixels for recording in found], stack[2])
    with pytest.raises(UnreadableFile, match="is more than the channels of one picture"):
        read_channels(str(tmp_path / "first.npy"), CHANNELS)
    tifffile.imwrite(tmp_path / "a.tif", stack.reshape(12, 19, 31), photometric="minisblack")
    with pytest.raises(UnreadableFile, match="is one grey picture, not the channels HAADF, O, Fe"):
        read_channels(str(tmp_path / "a.tif"), CHANNELS, frame=2)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (tiff(PLANES[0]), "is one grey picture, not the channels HAADF, O, Fe"),
        (tiff(PLANES[:2], photometric="minisblack"), r"shape \(2, 19, 31\) is something else: the"),
        (tiff(LAST[:3, :, :], photometric="rgb"), "in two ways: the config has 3 channels"),
        (ome(PLANES, ["HAADF", "Fe", "C"]), "are called HAADF, Fe, C: O is there by no such name"),
        (ome(PLANES, ["HAADF", "O", "O"]), "are called HAADF, O, O: O is there twice"),
    ],
)
def test_what_does_not_hold_these_channels_is_refused(tmp_path, write, said):
    write(tmp_path / "file")
    with pytest.raises(UnreadableFile, match=said):
        read_channels(str(tmp_path / "file"), CHANNELS)


def test_one_channel_of_a_file_that_names_several(tmp_path):
    ome(SHUFFLED, NAMES)(tmp_path / "a.tif")
    (found,) = read_channels(str(tmp_path / "a.tif"), ["O"])
    np.testing.assert_array_equal(found.pixels, PLANES[1])


# --------------------------------------------------------------------------- files of each channel

SETTINGS = {**config()["ingest"], "inputs": CHANNELS}


def files_of(folder, planes, sizes=(None, None, None), stated=np.nan):
    rows = []
    for name, plane, size in zip(CHANNELS, planes, sizes, strict=True):
        rate = {} if size is None else {"resolution": (1e7 / size,) * 2, "resolutionunit": 3}
        tifffile.imwrite(folder / f"{name}.tif", plane, **rate)
        row = {"path": str(folder / f"{name}.tif"), "key": "", "frame": -1}
        rows.append({**row, "micrograph": "a", "pixel_size_nm": stated})
    return rows


def test_channels_keep_their_types_and_have_one_pixel_size(tmp_path):
    planes = [PLANES[0].astype(np.uint8), PLANES[1], PLANES[2] / 7]
    taken = read_image(files_of(tmp_path, planes, (None, 2.0, 2.0)), SETTINGS)
    assert [of.pixels.dtype for of in taken] == ["u1", "u2", "f8"]
    assert {of.pixel_size_nm for of in taken} == {2.0}
    for of, plane in zip(taken, planes, strict=True):
        np.testing.assert_array_equal(of.pixels, plane)


def test_channels_that_do_not_fit_together_are_refused(tmp_path):
    def said(planes, *sizes):
        with pytest.raises(UnreadableFile) as refused:
            read_image(files_of(tmp_path, planes, sizes or (None,) * 3), SETTINGS)
        return str(refused.value)

    cut = [PLANES[0], PLANES[1, :9], PLANES[2]]
    assert said(cut) == "channels of different size: HAADF is 19 x 31 px, O 9 x 31"
    assert said(PLANES, 1.0, None, 2.0).startswith("pixels are 1 nm in HAADF and 2 nm in Fe;")
    assert said([PLANES[1]] * 3).startswith("HAADF, O, Fe are the same in every pixel")
    broken = [PLANES[0], PLANES[1] / 7, PLANES[2]]
    broken[1][3, 4] = np.nan
    assert said(broken) == "O: 1 pixels are not finite"
    read_image(files_of(tmp_path, PLANES, (1.0, None, 2.0), stated=1.0), SETTINGS)


def test_an_element_may_be_nowhere_but_a_micrograph_shows_something(tmp_path):
    nowhere = np.zeros_like(PLANES[0])
    read_image(files_of(tmp_path, [PLANES[0], nowhere, nowhere]), SETTINGS)
    with pytest.raises(UnreadableFile, match="HAADF: all its pixels are 0"):
        read_image(files_of(tmp_path, [nowhere, nowhere, nowhere + 1]), SETTINGS)


def test_every_channel_that_cannot_be_read_is_told(tmp_path):
    rows = files_of(tmp_path, PLANES)
    for name in ("O", "Fe"):
        (tmp_path / f"{name}.tif").write_bytes(b"II*\0")
    with pytest.raises(UnreadableFile) as refused:
        read_image(rows, SETTINGS)
    parts = str(refused.value).split("; ")
    assert [part.split()[0] for part in parts] == ["O", "Fe"]
    assert all(f"{tmp_path}/" in part for part in parts)


# -------------------------------------------------------------------------------------- the pages


@given(st.integers(1, 4), st.integers(1, 3))
def test_pages_of_micrographs_are_theirs(n_micrographs, n_channels):
    pages = [np.full((4, 5), at) for at in range(n_micrographs * n_channels)]
    numbers = pages_of(range(n_micrographs), n_channels)
    assert numbers == [*range(len(pages))]
    found = stacked([pages[number] for number in numbers], n_channels)
    assert len(found) == n_micrographs
    for at, micrograph in enumerate(found):
        window = np.atleast_3d(micrograph[..., 1:3, 2:4].T).T
        own = pages[at * n_channels : (at + 1) * n_channels]
        np.testing.assert_array_equal(window, [page[1:3, 2:4] for page in own])


def test_planes_are_an_array_of_channels():
    planes = Planes([*PLANES])
    assert planes.shape == PLANES.shape
    np.testing.assert_array_equal(planes[..., 3:9, 20:], PLANES[..., 3:9, 20:])


# ------------------------------------------------------------------------------ what decides a job

EACH = [f"image.{name}" for name in CHANNELS]
CELLS = [
    {**row, **{column: f"{row['micrograph']}.{column}.tif" for column in EACH}, "image": ""}
    for row in annotated(("a", 2), ("b", 2), ("c", 2))
]
WHOLE = annotated(("a", 2), ("b", 2), ("c", 2))


def changed(then, now):
    then, now = lineages(then), lineages(now)
    assert then.keys() == now.keys()
    return {of for of in then if then[of] != now[of]}


def test_a_file_of_one_channel_changes_what_is_made_of_it():
    before = study_of(CELLS, channels=CHANNELS)
    after = study_of(CELLS, {"data/a_000.image.Fe.tif": "another"}, channels=CHANNELS)
    found = changed(before, after)
    assert {of for of in found if of[0] in ("ingest", "annotate", "tile")} == {
        ("ingest", "a"), ("tile", "a")
    }  # fmt: skip
    assert ("train", "0", before.shards.loc["a", "fold"]) not in found


def test_another_order_of_channels_is_another_study_but_for_its_masks():
    before, after = (study_of(CELLS, channels=names) for names in (CHANNELS, NAMES))
    assert changed(before, after) == {of for of in before.products if of[0] != "annotate"}
    assert outlook(before) != outlook(after)


def test_a_row_with_files_of_each_changes_no_other_shard():
    before = study_of(WHOLE, channels=CHANNELS)
    after = study_of([*CELLS[:2], *WHOLE[2:]], channels=CHANNELS)
    assert {of[1] for of in changed(before, after) if of[0] == "ingest"} == {"a"}


def test_the_order_of_columns_changes_nothing():
    turned = [dict(reversed(row.items())) for row in CELLS]
    assert not changed(study_of(CELLS, channels=CHANNELS), study_of(turned, channels=CHANNELS))


def test_each_raw_file_is_named_where_it_is_read():
    study = study_of(CELLS, channels=CHANNELS)
    columns = [column for _, column, _ in study.raw_cells("a", "image")]
    assert columns == ["image", "image.O", "image.Fe"] * 2
    rows = study.raw_rows("a", "image", "pixel_size_nm")
    assert [row["path"] for row in rows[:3]] == [f"data/a_000.{column}.tif" for column in EACH]
    assert [row.get("channel", "") for row in rows[:3]] == ["", "O", "Fe"]
    assert len(study.raw_digests("a", "image")) == 6
