"""Readers: exact pixels and calibration from every format, `UnreadableFile` from all else."""

import os
import subprocess
import sys

import h5py
import imagecodecs
import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image

from builders import ROOT
from tessera.readers import (
    UnreadableFile,
    apart,
    read_annotation,
    read_labels,
    read_micrograph,
)

SHAPE = (19, 31)


def grey(dtype=np.uint16, shape=SHAPE):
    dtype = np.dtype(dtype)
    levels = np.random.default_rng(0).integers(0, 255 if dtype.itemsize == 1 else 65535, shape)
    return levels.astype(dtype)


def check(path, expected, **where):
    """What is read is what was written: values and dtype, but for the order of bytes."""
    pixels = read_micrograph(str(path), **where).pixels
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.dtype.newbyteorder("=") == expected.dtype.newbyteorder("=")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float32])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"compression": "lzw"},
        {"tile": (16, 16), "compression": "zlib", "predictor": True},
        {"rowsperstrip": 3},
        {"ome": True},
    ],
    ids=str,
)
def test_tiff(tmp_path, dtype, settings):
    tifffile.imwrite(tmp_path / "a", grey(dtype), **settings)
    check(tmp_path / "a", grey(dtype))


@pytest.mark.parametrize("settings", [{}, {"imagej": True}, {"ome": True}, {"volumetric": True}])
def test_frames_of_a_tiff(tmp_path, settings):
    stack = grey(shape=(5, 16, 32))
    tile = {"tile": (5, 16, 16)} if "volumetric" in settings else {}
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", **tile, **settings)
    for frame in range(5):
        check(tmp_path / "a.tif", stack[frame], frame=frame)
    for frame in (-1, 5):
        with pytest.raises(UnreadableFile):
            read_micrograph(str(tmp_path / "a.tif"), frame=frame)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("n_channels", [2, 3, 4])
def test_grey_stored_as_colour_is_grey(tmp_path, dtype, n_channels):
    colour = np.repeat(grey(dtype)[..., None], n_channels, axis=2)
    if n_channels in (2, 4):
        colour[..., -1] = 7  # alpha
    tifffile.imwrite(
        tmp_path / "a.tif", colour, photometric="minisblack" if n_channels == 2 else "rgb",
        planarconfig="contig", extrasamples=["unassalpha"] * (n_channels % 2 == 0),
    )  # fmt: skip
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(colour))
    check(tmp_path / "a.tif", grey(dtype))
    check(tmp_path / "a.png", grey(dtype))


@pytest.mark.parametrize("suffix", ["tif", "png", "bmp"])
def test_true_colour_is_refused_with_the_number_of_its_pixels(tmp_path, suffix):
    colour = np.repeat(grey(np.uint8)[..., None], 3, axis=2)
    colour[4, :7, 1] += 1
    Image.fromarray(colour).save(tmp_path / f"a.{suffix}")
    with pytest.raises(UnreadableFile, match="differ in 7 pixels"):
        read_micrograph(str(tmp_path / f"a.{suffix}"))


def test_colours_of_a_tiff_are_no_frames(tmp_path):
    """Row `frame` of a colour image is no micrograph, and must not be taken for one."""
    colour = grey(np.uint8, (9, 8, 3))
    tifffile.imwrite(tmp_path / "one.tif", colour, photometric="rgb")
    tifffile.imwrite(tmp_path / "two.tif", np.stack([colour] * 2), photometric="rgb")
    for name, frame in (("one.tif", 0), ("one.tif", 3), ("two.tif", 2), ("two.tif", 0)):
        with pytest.raises(UnreadableFile):
            read_micrograph(str(tmp_path / name), frame=frame)


@pytest.mark.parametrize(("dtype", "suffix"), [("u1", "png"), ("u2", "png"), ("u1", "bmp")])
def test_lossless_images(tmp_path, dtype, suffix):
    Image.fromarray(grey(dtype)).save(tmp_path / f"a.{suffix}")
    check(tmp_path / f"a.{suffix}", grey(dtype))


def test_jpeg(tmp_path):
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    Image.fromarray(ramp).save(tmp_path / "a.jpg", quality=95)
    pixels = read_micrograph(str(tmp_path / "a.jpg")).pixels.astype(int)
    assert np.abs(pixels - ramp).max() <= 4


@pytest.mark.parametrize("dtype", [np.uint8, ">u2", np.float32, np.float64])
def test_arrays_and_containers(tmp_path, dtype):
    stack = grey(dtype, (4, *SHAPE))
    np.save(tmp_path / "stack.npy", stack)
    np.save(tmp_path / "one.npy", stack[0])
    np.savez_compressed(tmp_path / "a.npz", stack=stack, one=stack[0])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["set/stack"], file["one"] = stack, stack[0]
    for name, key in (("stack.npy", ""), ("a.npz", "stack"), ("a.h5", "set/stack")):
        for frame in range(4):
            check(tmp_path / name, stack[frame], key=key, frame=frame)
    for name, key in (("one.npy", ""), ("a.npz", "one"), ("a.h5", "one")):
        check(tmp_path / name, stack[0], key=key)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.float32])
def test_mrc(tmp_path, dtype):
    stack = grey(dtype, (3, *SHAPE))
    for name, data in (("stack.mrc", stack), ("one.mrc", stack[0])):
        with mrcfile.new(tmp_path / name, data) as file:
            file.voxel_size = 2.5
    check(tmp_path / "stack.mrc", stack[2], frame=2)
    check(tmp_path / "one.mrc", stack[0])
    assert read_micrograph(str(tmp_path / "one.mrc")).pixel_size_nm == pytest.approx(0.25)


@pytest.mark.parametrize("kind", [h5py.string_dtype(), "S9"])
def test_labels_of_an_hdf5_are_text(tmp_path, monkeypatch, kind):
    for folder, names in (("one", ["pit", "Grübchen"]), ("two", ["riss", "pit", "x"])):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)  # paths of a sheet may be relative
        with h5py.File("a.h5", "w") as file:
            data = [name.encode() for name in names]
            file.create_dataset("labels", data=np.array(data), dtype=kind)
        assert read_labels("a.h5", "labels") == names


def test_a_file_that_kills_its_reader_is_refused_and_the_next_one_read(tmp_path):
    """As libhdf5 does on some damaged files: here the process is killed from outside."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["one"] = grey()
    check(path, grey(), key="one")
    apart.reader()._process.kill()
    apart.reader()._process.wait()
    check(path, grey(), key="one")


def test_what_keeps_its_library_busy_is_ended(tmp_path, monkeypatch):
    source = "import sys\nsys.stdin.readline()\nfrom tessera.readers.apart import _may_compute\n"
    source += "_may_compute(0.1)\nwhile True: pass\n"

    def started():
        return subprocess.Popen(
            [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT / "workflow/lib")},
        )  # fmt: skip

    monkeypatch.setattr(apart, "_started", started)
    with pytest.raises(UnreadableFile, match="busy without end"):
        apart.Apart().read(str(tmp_path / "a.h5"), "", -1)


def resolution(per_unit, unit, **more):
    return {"resolution": (per_unit, per_unit), "resolutionunit": unit, **more}


def imagej(unit, per_unit=4):
    return resolution(per_unit, None, imagej=True, metadata={"unit": unit})


def ome(size, unit="µm"):
    units = {f"PhysicalSize{axis}Unit": unit for axis in "XY"}
    return {"ome": True, "metadata": {"PhysicalSizeX": size, "PhysicalSizeY": size, **units}}


@pytest.mark.parametrize(
    ("settings", "pixel_size_nm"),
    [
        (imagej("nm"), 0.25),
        (imagej("um"), 250),
        (imagej("micron"), 250),
        (imagej(r"\u00B5m"), 250),
        (imagej("pixel"), np.nan),
        (ome(2.5, "nm"), 2.5),
        (ome(0.5, "µm"), 500),
        (ome(0.5, "Å"), 0.05),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}}, 500),
        ({"ome": True, "metadata": {"PhysicalSizeX": 0.5}}, np.nan),
        (ome(1.0, "pixel"), np.nan),
        (ome(0.0), np.nan),
        (resolution(300 / 2.54, "CENTIMETER"), np.nan),
        (resolution(1e6, "CENTIMETER"), 10),
        (resolution(300, "INCH"), np.nan),
        (resolution(300, "NONE"), np.nan),
        ({}, np.nan),
    ],
    ids=str,
)
def test_pixel_size(tmp_path, settings, pixel_size_nm):
    tifffile.imwrite(tmp_path / "a.tif", grey(), **settings)
    found = read_micrograph(str(tmp_path / "a.tif")).pixel_size_nm
    assert found == pytest.approx(pixel_size_nm, rel=1e-6, nan_ok=True)


def test_instrument(tmp_path):
    make = [(271, "s", 0, "Maker", True), (272, "s", 0, "Model 5 ", True)]
    tifffile.imwrite(tmp_path / "a.tif", grey(), extratags=make)
    assert read_micrograph(str(tmp_path / "a.tif")).instrument == "Maker Model 5"


def test_annotations_keep_their_channels_and_values(tmp_path):
    colour = grey(np.uint8, (*SHAPE, 4))
    Image.fromarray(colour).save(tmp_path / "colour.png")
    Image.fromarray(colour[..., 0] > 99).save(tmp_path / "bits.png")
    sixteen = grey(np.uint16, (*SHAPE, 3))
    (tmp_path / "sixteen.png").write_bytes(imagecodecs.png_encode(sixteen))
    for name, expected in (
        ("colour.png", colour), ("bits.png", colour[..., 0] > 99), ("sixteen.png", sixteen)
    ):  # fmt: skip
        np.testing.assert_array_equal(read_annotation(str(tmp_path / name)), expected)
    tifffile.imwrite(tmp_path / "float.tif", sixteen[..., 0].astype(np.float32), imagej=True)
    np.testing.assert_array_equal(read_annotation(str(tmp_path / "float.tif")), sixteen[..., 0])
    broken = np.zeros(SHAPE, np.float32)
    broken[3, :4] = [0.5, np.nan, np.inf, -1e-9]
    tifffile.imwrite(tmp_path / "float.tif", broken)
    with pytest.raises(UnreadableFile, match="float32 mask: 4 px are no whole numbers"):
        read_annotation(str(tmp_path / "float.tif"))
    np.save(tmp_path / "a.npy", np.zeros(SHAPE, complex))
    with pytest.raises(UnreadableFile, match="complex128"):
        read_annotation(str(tmp_path / "a.npy"))


def test_colours_of_a_palette_are_read_not_their_numbers(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    picture.putpalette([9, 9, 9, 200, 0, 0])
    picture.save(tmp_path / "a.png")
    assert read_annotation(str(tmp_path / "a.png"))[..., :3].tolist() == [[[9, 9, 9], [200, 0, 0]]]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("low_byte", [0, 1])
def test_a_palette_has_colours_and_numbers(tmp_path, bits, low_byte):
    numbers = np.random.default_rng(1).integers(0, 200, SHAPE).astype(f"u{bits // 8}")
    table = np.random.default_rng(2).integers(0, 256, (3, 2**bits), np.uint16)
    # ImageJ leaves the lower byte zero, libtiff repeats the upper one.
    tifffile.imwrite(
        tmp_path / "a.tif", numbers, photometric="palette", colormap=table * (256 + low_byte)
    )
    names = ["a.tif"]
    if bits == 8:
        picture = Image.fromarray(numbers, mode="P")
        picture.putpalette(table.T.astype(np.uint8).ravel())
        for name in ("a.png", "a.bmp"):
            picture.save(tmp_path / name)
            names.append(name)
    for name in names:
        path = str(tmp_path / name)
        np.testing.assert_array_equal(read_annotation(path, by_colour=False), numbers)
        np.testing.assert_array_equal(read_annotation(path), table.T[numbers])


def written(write, *arguments, cut=None, **settings):
    """A function that writes a file, and cuts its end off."""

    def at(path):
        write(path, *arguments, **settings)
        path.write_bytes(path.read_bytes()[:cut])

    return at


def hdf5(path):
    with h5py.File(path, "w") as file:
        file["group/one"] = grey()


LARGE = grey(shape=(200, 200))


@pytest.mark.parametrize(
    ("name", "write", "where"),
    [
        ("empty.tif", lambda path: path.write_bytes(b""), {}),
        ("text.tif", lambda path: path.write_text("micrograph\timage\n" * 50), {}),
        ("magic.tif", lambda path: path.write_bytes(b"II*\0"), {}),
        ("magic.png", lambda path: path.write_bytes(b"\x89PNG"), {}),
        ("magic.npy", lambda path: path.write_bytes(b"\x93NUMPY"), {}),
        ("magic.h5", lambda path: path.write_bytes(b"\x89HDF"), {}),
        ("letter.bmp", lambda path: path.write_text("BMs are bitmaps"), {}),
        ("cut.tif", written(tifffile.imwrite, LARGE, cut=-999), {}),
        ("cut.npy", written(np.save, LARGE, cut=-999), {}),
        ("cut.npz", written(np.savez, cut=-999, a=LARGE), {"key": "a"}),
        ("cut.mrc", written(mrcfile.write, LARGE, cut=-999), {}),
        ("cut.png", written(lambda path, a: Image.fromarray(a).save(path), LARGE, cut=-999), {}),
        ("cut.jpg", written(lambda path, a: Image.fromarray(a).save(path),
                            LARGE.astype(np.uint8), cut=-999), {}),
        ("a.npy", written(np.save, LARGE), {"frame": 0}),
        ("a.npy", written(np.save, grey(shape=(2, *SHAPE))), {"frame": 2}),
        ("a.npy", written(np.save, grey(shape=(9, *SHAPE))), {}),
        ("a.npy", written(np.save, np.zeros((0, 4))), {}),
        ("a.npy", written(np.save, np.zeros((4, 4, 0))), {}),
        ("a.npy", written(np.save, np.float32(1)), {}),
        ("a.npy", written(np.save, np.zeros((4, 4), complex)), {}),
        ("a.npy", written(np.save, np.zeros((4, 4), bool)), {}),
        ("a.npy", written(np.save, np.array([{}, []], object)), {}),
        ("a.npz", written(np.savez, a=grey()), {}),
        ("a.npz", written(np.savez, a=grey()), {"key": "b"}),
        ("a.npz", written(np.savez, a=np.array([{}], object)), {"key": "a"}),
        ("a.h5", hdf5, {}),
        ("a.h5", hdf5, {"key": "one"}),
        ("a.h5", hdf5, {"key": "group"}),
        ("a.h5", hdf5, {"key": "group/one", "frame": 0}),
        ("a.png", lambda path: Image.fromarray(grey()).save(path), {"frame": 1}),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_read_is_unreadable(tmp_path, name, write, where):
    write(tmp_path / name)
    with pytest.raises(UnreadableFile):
        read_micrograph(str(tmp_path / name), **where)


def test_a_container_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "a.npz", images=grey(), labels=grey())
    with pytest.raises(UnreadableFile, match="holds images, labels, not masks"):
        read_annotation(str(tmp_path / "a.npz"), key="masks")


def test_the_name_of_a_file_says_nothing(tmp_path):
    Image.fromarray(grey(np.uint8)).save(tmp_path / "a.png")
    check((tmp_path / "a.png").rename(tmp_path / "a.tif"), grey(np.uint8))
