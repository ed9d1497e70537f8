"""Files that mean harm: claims beyond all memory, code to be run, other files to be read."""

import ast
import json
import pickle
import struct
import sys
import tracemalloc
import zipfile

import h5py
import imagecodecs
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from builders import ROOT, expanded, problems_of
from samples_of_formats import PAGE, SAMPLES
from tessera import readers
from tessera.readers import UnreadableFile, read_annotation, read_micrograph

FEW_BYTES = 2**26


def refusal(path, key="", frame=-1):
    """The words of a refusal, that took no memory to speak of."""
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableFile) as caught:
            read_micrograph(str(path), key, frame)
        assert tracemalloc.get_traced_memory()[1] < FEW_BYTES
    finally:
        tracemalloc.stop()
    return str(caught.value)


def patched(path, at, form, *values):
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, at, *values)
    path.write_bytes(data)


# ------------------------------------------------------------------------------ terabytes claimed


@pytest.mark.parametrize("settings", [{}, {"compression": "zlib"}, {"compression": "lzw"}], ids=str)
def test_a_tiff_that_claims_terabytes(tmp_path, settings):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PAGE, **settings)
    with tifffile.TiffFile(path) as file:
        offsets = [file.pages[0].tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
        rows = file.pages[0].tags["RowsPerStrip"]
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("ImageWidth", "ImageLength"):
            file.pages[0].tags[name].overwrite(2**20)
        file.pages[0].tags["RowsPerStrip"].overwrite(2**20)
    assert offsets
    assert rows
    assert "claims 2,199,023,255,552 bytes" in refusal(path)


def test_a_png_that_claims_terabytes(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(PAGE))
    patched(path, 16, ">II", 2**20, 2**20)
    assert "IHDR is damaged" in refusal(path)
    data = path.read_bytes()
    patched(path, 29, ">I", imagecodecs.zlib_crc32(data[12:29]))
    assert "claims 2,199,023,255,552 bytes" in refusal(path)


def test_a_jpeg_and_a_bmp_that_claim_more_than_they_hold(tmp_path):
    for name, mark, form, skip in (("jpeg", b"\xff\xc0", ">HH", 5), ("bmp", b"BM", "<ii", 18)):
        path = tmp_path / name
        SAMPLES[name].write(path)
        patched(path, path.read_bytes().index(mark) + skip, form, 65_000, 65_000)
        assert "bytes of pixels" in refusal(path)


def test_an_mrc_that_claims_terabytes(tmp_path):
    path = tmp_path / "a.mrc"
    mrcfile.write(path, PAGE)
    patched(path, 0, "<iii", 2**20, 2**20, 1)
    assert "claims 2,199,023,255,552 bytes" in refusal(path)


def test_an_npy_that_claims_terabytes(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, PAGE)
    shape, wide = b"(19, 31), }          ", b"(1048576, 1048576), }"
    assert shape in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(shape, wide))
    assert "2,199,023,255,552 bytes of pixels" in refusal(path)


def test_an_npz_that_unfolds_without_end(tmp_path):
    """Claims are refused, and a part that is longer than it says is read no further."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, one=np.zeros((300, 300), np.uint8))
    data = path.read_bytes()
    size = struct.pack("<I", 300 * 300 + 128)
    assert data.count(size) == 2
    path.write_bytes(data.replace(size, struct.pack("<I", 2**31)))
    assert "bytes of pixels" in refusal(path, "one")


def test_an_hdf5_of_nothing_but_a_claim(tmp_path):
    for name, layout in (("none", {}), ("chunked", {"chunks": (512, 512), "compression": "gzip"})):
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            file.create_dataset("one", (2**20, 2**20), "u2", **layout)
        assert "claims 2,199,023,255,552 bytes" in refusal(path, "one")


def test_a_zarr_store_of_nothing_but_a_claim(tmp_path):
    path = tmp_path / "a.zarr"
    zarr.create_array(str(path), shape=(2**20, 2**20), chunks=(256, 256), dtype="u2")
    assert "claims 2,199,023,255,552 bytes" in refusal(path)


def test_a_ser_file_that_claims_terabytes(tmp_path):
    path = tmp_path / "a.ser"
    SAMPLES["ser"].write(path)
    first = struct.unpack_from("<I", path.read_bytes(), 62)[0]
    patched(path, first + 42, "<II", 2**20, 2**20)
    assert "claims 2,199,023,255,552 bytes" in refusal(path)
    SAMPLES["ser"].write(path)
    patched(path, 18, "<I", 2**31)
    assert "2,147,483,648 pictures" in refusal(path)


@pytest.mark.parametrize("name", ["dm3", "dm4"])
def test_a_dm_file_that_claims_terabytes(tmp_path, name):
    path = tmp_path / name
    SAMPLES[name].write(path)
    data = path.read_bytes()
    width = struct.pack("<I", 31)
    assert data.count(width) == 1
    path.write_bytes(data.replace(width, struct.pack("<I", 2**31)))
    assert refusal(path)


# ------------------------------------------------------------------------------------ code to run


class Harm:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self):
        return exec, ("import builtins; builtins.harmed = True",)


@pytest.fixture(autouse=True)
def unharmed():
    yield
    assert not hasattr(__builtins__, "harmed")
    assert "harmed" not in dir(sys.modules["builtins"])


def test_no_pickle_is_loaded(tmp_path):
    harm = np.empty((2, 2), object)
    harm[:] = Harm()
    np.save(tmp_path / "a.npy", harm)
    np.savez(tmp_path / "a.npz", one=harm)
    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Harm()))
    with zipfile.ZipFile(tmp_path / "bare.npz", "w") as archive:
        archive.writestr("one.npy", pickle.dumps(Harm()))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"] = np.void(pickle.dumps(Harm()))
    for name in ("a.npy", "a.npz", "bare.npy", "bare.npz", "a.h5"):
        for read in (read_micrograph, read_annotation):
            with pytest.raises(UnreadableFile):
                read(str(tmp_path / name), "one")


@pytest.mark.parametrize("packing", ["filters", "compressor"])
def test_a_zarr_array_of_pickles_is_refused(tmp_path, packing):
    chunk = pickle.dumps(Harm())
    said = {
        "zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "|u1", "order": "C",
        "fill_value": 0, "compressor": None, "filters": None,
    }  # fmt: skip
    codec = {"id": "pickle", "protocol": 5}
    said[packing] = codec if packing == "compressor" else [codec]
    for dtype in ("|u1", "|O"):
        (tmp_path / ".zarray").write_text(json.dumps({**said, "dtype": dtype}))
        (tmp_path / "0").write_bytes(chunk)
        assert "refused" in (words := refusal(tmp_path)) or "pickle" in words


def test_an_xml_that_unfolds_without_end(tmp_path):
    entities = '<!ENTITY a0 "aaaaaaaaaa">' + "".join(
        f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12)
    )
    text = f"<?xml version='1.0'?><!DOCTYPE OME [{entities}]><OME>&a11;</OME>"
    tifffile.imwrite(tmp_path / "a.tif", PAGE, description=text, metadata=None)
    assert refusal(tmp_path / "a.tif")


# ------------------------------------------------------------------------------------- other files


def test_links_of_an_hdf5_to_other_files_are_not_followed(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["one"] = PAGE
    (tmp_path / "raw").write_bytes(PAGE.tobytes())
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/one")
        file["deep/link"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/")
        file.create_dataset(
            "raw", PAGE.shape, PAGE.dtype, external=[(str(tmp_path / "raw"), 0, PAGE.nbytes)]
        )
        layout = h5py.VirtualLayout(PAGE.shape, PAGE.dtype)
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "one", PAGE.shape)
        file.create_virtual_dataset("virtual", layout)
    for key in ("link", "deep/link/one", "raw", "virtual"):
        assert "not followed" in refusal(tmp_path / "a.h5", key)


def test_a_key_does_not_lead_out_of_a_zarr_store(tmp_path):
    SAMPLES["zarr"].write(tmp_path / "secret.zarr")
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w")
    for key in ("../secret.zarr", "x/../../secret.zarr", "/../secret.zarr"):
        assert "no array of this store" in refusal(tmp_path / "a.zarr", key)


def test_ome_zarr_does_not_lead_out_of_its_store(tmp_path):
    SAMPLES["zarr"].write(tmp_path / "secret.zarr")
    SAMPLES["ome-zarr"].write(tmp_path / "a.zarr")
    said = tmp_path / "a.zarr/.zattrs"
    for way in ("../secret.zarr", str(tmp_path / "secret.zarr")):
        attributes = json.loads(said.read_text())
        attributes["multiscales"][0]["datasets"][0]["path"] = way
        said.write_text(json.dumps(attributes))
        assert "no array" in refusal(tmp_path / "a.zarr")


def test_a_tvips_stream_is_read_without_the_files_beside_it(tmp_path):
    for name in ("a_000.tvips", "a_001.tvips"):
        SAMPLES["tvips"].write(tmp_path / name)
    alone = tmp_path / "alone.tvips"
    SAMPLES["tvips"].write(alone)
    frames = {str(path): path for path in (tmp_path / "a_000.tvips", alone)}
    for path in frames:
        assert "frame 3" in refusal(path, frame=3)


# --------------------------------------------------------------------------------- what is missing


def test_a_missing_library_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    for name, module, package in (
        ("dm3", "rsciio.digitalmicrograph", "rosettasciio"), ("zarr", "zarr", "zarr"),
    ):  # fmt: skip
        SAMPLES[name].write(tmp_path / name)
        monkeypatch.delitem(sys.modules, "tessera.readers.zarr_stores", raising=False)
        monkeypatch.delattr(readers, "zarr_stores", raising=False)
        monkeypatch.setitem(sys.modules, module, None)
        assert f"python -m pip install {package}" in refusal(tmp_path / name)


def test_missing_chunks_are_no_zeros(tmp_path):
    for name, chunk in (("zarr", "c/1/1"), ("ome-zarr", "0/1.1")):
        SAMPLES[name].write(tmp_path / name)
        (tmp_path / name / chunk).unlink()
        assert "5 of its 6 chunks" in refusal(tmp_path / name)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("one", PAGE.shape, PAGE.dtype, chunks=(8, 8))
        dataset[:8] = PAGE[:8]
    assert "4 of its 12 chunks" in refusal(tmp_path / "a.h5", "one")


def test_a_strip_that_is_missing_is_no_zeros(tmp_path):
    """tifffile fills it."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PAGE, compression="zlib", rowsperstrip=5)
    with tifffile.TiffFile(path, mode="r+b") as file:
        for name in ("StripOffsets", "StripByteCounts"):
            tag = file.pages[0].tags[name]
            tag.overwrite((*tag.value[:2], 0, *tag.value[3:]))
    assert not tifffile.imread(path)[10:15].any()
    assert "strip or tile 3 of 4 is not in the file" in refusal(path)


# ------------------------------------------------------------------------------- names and networks


@pytest.mark.parametrize("column", ["micrograph", "group"])
@pytest.mark.parametrize(
    "name",
    ["../x", "..", ".", "a/b", "/tmp/x", "a\\b", "a\n../../x", "a\0b", "~", "-rf", "a b", "ü"],
)
def test_no_name_in_a_sheet_leads_out_of_the_results(column, name):
    """Products are named by ids and groups alone; paths of raw files are only read."""
    good = {"micrograph": "a", "image": "/etc/../a.tif", "group": "g"}
    assert len(expanded([good])) == 1
    found = problems_of(expanded, [good | {column: name}])
    assert any("does not match" in what for _, what in found)


def test_networks_are_loaded_as_weights_only():
    """And nothing else of the workflow unpickles, but what may make no objects."""
    calls = []
    for path in (ROOT / "workflow").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                calls.append((path.stem, ast.unparse(node.func), ast.unparse(node)))
    loads = [call for _, name, call in calls if name == "torch.load"]
    assert len(loads) > 0
    assert all("weights_only=True" in call for call in loads)
    assert not [call for _, _, call in calls if "allow_pickle=True" in call]
    unpickles = {stem for stem, name, _ in calls if name in ("pickle.load", "pickle.loads")}
    assert unpickles == set()


def test_what_can_only_be_read_whole_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("tessera.readers.claims.MOST_AT_ONCE", 5_000)
    page = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    tifffile.imwrite(tmp_path / "tiles.tif", page, compression="zlib", tile=(32, 32))
    np.save(tmp_path / "rows.npy", page)
    for name in ("tiles.tif", "rows.npy"):
        np.testing.assert_array_equal(read_micrograph(str(tmp_path / name)).pixels, page)
    tifffile.imwrite(tmp_path / "strip.tif", page, compression="zlib", rowsperstrip=100)
    Image.fromarray(page).save(tmp_path / "a.png")
    np.savez(tmp_path / "a.npz", x=page)
    zarr.create_array(tmp_path / "a.zarr", data=page, chunks=(100, 50))
    for name, key in (("strip.tif", ""), ("a.png", ""), ("a.npz", "x"), ("a.zarr", "")):
        with pytest.raises(UnreadableFile, match="in one piece"):
            read_micrograph(str(tmp_path / name), key)
