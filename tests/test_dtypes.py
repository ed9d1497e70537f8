"""Grey levels of every type come through the real rules as they were recorded."""

from itertools import cycle

import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image

from samples_of_formats import levels
from tessera.files import map_page, open_page, read_table
from tessera.readers import UnreadableFile, read_micrograph
from tiny_study import SIDE_PX

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">u2", ">i4", ">f4"]
GREY = levels("u1")


def z_scores(page):
    """What normalise makes of a page by default, in 64 bits."""
    page = page.astype(float)
    page = np.clip(page, *np.percentile(page, [0.5, 99.5]))
    return (page - page.mean()) / page.std()


def in_sixteen(page):
    """A camera of 12 bits, saturated."""
    return np.minimum(page.astype(np.uint16) * 40, 4095)


def write(path, page, dtype):
    byte_order = ">" if dtype.startswith(">") else "<"
    tifffile.imwrite(path, page.astype(dtype[-2:]), byteorder=byte_order)


def test_every_dtype_through_the_rules_up_to_the_folds(fresh):
    data, written = fresh.folder / "data", {}
    names = sorted(path.stem for path in data.glob("?-?.tif"))
    for name, dtype in zip(names, cycle(DTYPES), strict=False):
        page = tifffile.imread(data / f"{name}.tif")  # 60 to 200
        page = page - 128.0 if dtype == "i1" else page.clip(0, 255)
        page = in_sixteen(page) if dtype == "u2" else page
        write(data / f"{name}.tif", page, dtype)
        written[name] = page.astype(dtype[-2:])
    # More than there are tiffs: as a big-endian MRC, and as grey in colours.
    write_mrc(data / "t-2.tif", written["t-2"].astype(np.int16))
    written["t-2"] = written["t-2"].astype(np.int16)
    grey = written["a-1"]
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(data / "a-1.tif", format="PNG")

    fresh.run("--", "results/folds.tsv")
    for shard in "abcdt":
        table = read_table(fresh.folder / f"results/micrographs/{shard}.tsv")
        for row in table.itertuples():
            wanted = written[row.micrograph]
            page = open_page(fresh.folder / f"results/micrographs/{shard}.tif", row.page)
            np.testing.assert_array_equal(page, wanted)
            assert page.dtype == wanted.dtype == row.dtype
            assert (row.lowest, row.highest) == (wanted.min(), wanted.max())
            found = map_page(fresh.folder / f"results/normalised/{shard}.tif", row.page)
            assert found.shape == (SIDE_PX, SIDE_PX)
            np.testing.assert_allclose(found, z_scores(wanted), atol=1e-5)
    assert (fresh.folder / "results/plan.yaml").is_file()


def write_mrc(path, page):
    """A big-endian MRC."""
    with mrcfile.new(path, page, overwrite=True) as file:
        header = file.header.copy().astype(file.header.dtype.newbyteorder(">"))
    header["machst"] = [0x11, 0x11, 0, 0]
    path.write_bytes(header.tobytes() + page.astype(page.dtype.newbyteorder(">")).tobytes())


# ------------------------------------------------------------------------------------------ readers


def read(path, pixels, **settings):
    tifffile.imwrite(path, pixels, **settings)
    return np.asarray(read_micrograph(str(path)).pixels)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i2", "f4", ">u2"])
def test_where_0_is_white_grey_levels_are_turned_round(tmp_path, dtype):
    page = levels("u1").astype(dtype[-2:])
    order = ">" if dtype[0] == ">" else "<"
    found = read(tmp_path / "a.tif", page, photometric="miniswhite", byteorder=order)
    assert found.dtype == page.dtype
    black = {"u": np.iinfo(page.dtype).max if page.dtype.kind == "u" else 0, "i": -1, "f": 0}
    np.testing.assert_array_equal(found, black[page.dtype.kind] - page.astype(float))


def test_where_0_is_white_in_8_bits_it_is_as_others_read_it(tmp_path):
    found = read(tmp_path / "a.tif", GREY, photometric="miniswhite")
    np.testing.assert_array_equal(found, np.asarray(Image.open(tmp_path / "a.tif")))


def test_twelve_bits_where_0_is_white_have_black_at_4095(tmp_path):
    page = levels() % 4096
    found = read(tmp_path / "a.tif", page, photometric="miniswhite", bitspersample=12)
    np.testing.assert_array_equal(found, 4095 - page)


def test_a_palette_of_greys_is_read_by_its_greys_and_one_of_colours_refused(tmp_path):
    ramp = np.stack([np.arange(256, dtype=np.uint16) * 257] * 3)
    for table, wanted in ((ramp, GREY), (ramp[:, ::-1], 255 - GREY)):
        settings = {"photometric": "palette", "colormap": np.ascontiguousarray(table)}
        found = read(tmp_path / "a.tif", GREY, **settings)
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == np.uint8
    ramp[0] //= 2
    with pytest.raises(UnreadableFile, match="a colour image"):
        read(tmp_path / "a.tif", GREY, photometric="palette", colormap=ramp)


def test_a_palette_of_16_bits_keeps_them(tmp_path):
    ramp = np.stack([np.arange(2**16, dtype=np.uint16)] * 3)
    found = read(tmp_path / "a.tif", levels(), photometric="palette", colormap=ramp)
    np.testing.assert_array_equal(found, levels())


@pytest.mark.parametrize(
    ("settings", "alpha"),
    [
        ({"photometric": "rgb"}, 0),
        ({"photometric": "rgb", "extrasamples": ["unassalpha"]}, 1),
        ({"photometric": "minisblack", "planarconfig": "contig", "extrasamples": [1]}, 1),
    ],
)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_grey_in_colours_or_with_alpha_is_grey(tmp_path, settings, alpha, dtype):
    page = GREY.astype(dtype)
    channels = [page] * (3 if settings["photometric"] == "rgb" else 1)
    pixels = np.stack(channels + [np.full_like(page, 7)] * alpha, axis=2)
    np.testing.assert_array_equal(read(tmp_path / "a.tif", pixels, **settings), page)


@pytest.mark.parametrize("dtype", ["g", "c8", "?"])
def test_what_is_no_grey_level_of_64_bits_is_refused(tmp_path, dtype):
    np.save(tmp_path / "a.npy", GREY.astype(dtype))
    with pytest.raises(UnreadableFile, match=r"pixels of type"):
        read_micrograph(str(tmp_path / "a.npy"))
