"""Strips: how high they are, or whether a page is read whole, never shows in what comes out."""

import tracemalloc

import h5py
import mrcfile
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import Outputs, main
from tessera import strips
from tessera.digests import file_digest
from tessera.files import open_page, open_pages, write_pages
from tessera.readers import UnreadableFile, read_micrograph
from tessera.strips import LazyPage, mapped, spans

SHAPE = (1037, 531)
HEIGHTS = (1, 100_000, 10**9)
"""Bytes of a strip: a row, an odd number of rows, the whole page."""


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(strips, "WHOLE_BYTES", 0)


def page(dtype="u2", shape=SHAPE):
    return (np.random.default_rng(0).random(shape) * 250).astype(dtype)


def lazy(of, block_rows=1):
    return LazyPage(of.shape, of.dtype, lambda top, end: of[top:end], block_rows)


@given(
    top=st.integers(-9, 9), stop=st.integers(-9, 9), step=st.integers(1, 4),
    left=st.integers(0, 5), block=st.integers(1, 4), n_bytes=st.integers(1, 200),
)  # fmt: skip
@settings(max_examples=200)
def test_a_lazy_page_is_sliced_as_an_array_is(top, stop, step, left, block, n_bytes):
    whole = page(shape=(7, 6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "STRIP_BYTES", n_bytes)
        of = lazy(whole, block)
        for index in (slice(top, stop, step), (slice(top, stop, step), slice(left, None, 2))):
            np.testing.assert_array_equal(of[index], whole[index])
        np.testing.assert_array_equal(of[..., :stop, left:], whole[..., :stop, left:])
        np.testing.assert_array_equal(of[left], whole[left])
        np.testing.assert_array_equal(np.asarray(of), whole)
        doubled = mapped(of, lambda strip: strip * 2, of.shape, of.dtype)
        np.testing.assert_array_equal(np.concatenate([doubled[s] for s in spans(of)]), whole * 2)


def test_a_block_is_made_once_on_the_way_down(monkeypatch):
    monkeypatch.setattr(strips, "STRIP_BYTES", 4 * 6)
    made = []
    of = LazyPage((10, 6), "u1", lambda top, end: made.append(top) or np.zeros((end - top, 6)), 2)
    for row in range(10):
        assert of[row].shape == (6,)
    assert made == [0, 4, 8]


def test_a_few_pixels_of_each_block_hold_no_block(monkeypatch):
    monkeypatch.setattr(strips, "STRIP_BYTES", 10**6)
    of = LazyPage((1000, 10_000), "u1", lambda top, end: np.ones((end - top, 10_000), "u1"))
    tracemalloc.start()
    try:
        assert of[::50, ::50].sum() == 20 * 200
        assert tracemalloc.get_traced_memory()[1] < 4 * 10**6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("n_bytes", HEIGHTS)
@pytest.mark.parametrize("compressed", [True, False])
def test_lazy_pages_are_written_to_the_same_bytes(tmp_path, monkeypatch, n_bytes, compressed):
    pages = [page(), page("f4", (300, 20)), page("u1", (1, 1)), page("u1", (256, 512))]
    monkeypatch.setattr(strips, "STRIP_BYTES", n_bytes)
    write_pages(tmp_path / "a.tif", ((of, 2.5) for of in pages), compressed)
    write_pages(tmp_path / "b.tif", ((lazy(of), 2.5) for of in pages), compressed)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
    monkeypatch.setattr(strips, "WHOLE_BYTES", 0)
    for number, opened in enumerate(open_pages(tmp_path / "a.tif")):
        read = tifffile.imread(tmp_path / "a.tif", key=number)
        assert isinstance(opened, LazyPage)
        np.testing.assert_array_equal(np.asarray(opened), read)
        np.testing.assert_array_equal(open_page(tmp_path / "a.tif", number)[1:3], read[1:3])


TIFFS = [
    {}, {"byteorder": ">"}, {"bigtiff": True}, {"compression": "lzw", "rowsperstrip": 7},
    {"compression": "zlib", "rowsperstrip": 10_000},
    {"tile": (16, 32), "compression": "zlib", "predictor": True},
    {"tile": (64, 48), "byteorder": ">"}, {"rowsperstrip": 3}, {"ome": True},
]  # fmt: skip


@pytest.mark.usefixtures("everything_is_large")
@pytest.mark.parametrize("n_bytes", HEIGHTS)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_tiffs_are_read_by_rows(tmp_path, monkeypatch, n_bytes, dtype):
    monkeypatch.setattr(strips, "STRIP_BYTES", n_bytes)
    for number, layout in enumerate(TIFFS):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, page(dtype, (97, 83)), **layout)
        found = read_micrograph(str(path)).pixels
        assert isinstance(found, LazyPage), layout
        np.testing.assert_array_equal(np.asarray(found), page(dtype, (97, 83)), str(layout))
        np.testing.assert_array_equal(found[11:50:3, 5:], page(dtype, (97, 83))[11:50:3, 5:])


@pytest.mark.usefixtures("everything_is_large")
def test_colours_of_a_large_tiff_are_grey_or_refused(tmp_path):
    grey = np.repeat(page("u1", (97, 83))[..., None], 3, axis=2)
    kinds = {"contig": {}, "separate": {}, "jpeg": {"compression": "jpeg", "tile": (32, 32)}}
    for name, layout in kinds.items():
        pixels = grey if name != "separate" else np.moveaxis(grey, -1, 0)
        config = "separate" if name == "separate" else "contig"
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels, photometric="rgb",
                         planarconfig=config, **layout)  # fmt: skip
    found = read_micrograph(str(tmp_path / "contig.tif")).pixels
    assert isinstance(found, LazyPage)
    np.testing.assert_array_equal(np.asarray(found), grey[..., 0])
    expected = tifffile.imread(tmp_path / "jpeg.tif")
    grey[50, 7, 1] += 1
    tifffile.imwrite(tmp_path / "off.tif", grey, photometric="rgb")
    with pytest.raises(UnreadableFile, match="differ in 1 pixels"):
        read_micrograph(str(tmp_path / "off.tif"))
    with tifffile.TiffFile(tmp_path / "jpeg.tif") as file:
        from tessera.tiff_pages import page_of

        np.testing.assert_array_equal(np.asarray(page_of(file.pages[0], file.filehandle.path)),
                                      expected)  # fmt: skip


@pytest.mark.parametrize("n_bytes", HEIGHTS)
@pytest.mark.usefixtures("everything_is_large")
def test_arrays_on_disk_are_read_by_rows(tmp_path, monkeypatch, n_bytes):
    monkeypatch.setattr(strips, "STRIP_BYTES", n_bytes)
    stack = page("u2", (3, 97, 83))
    np.save(tmp_path / "c.npy", stack)
    np.save(tmp_path / "f.npy", np.asfortranarray(stack))
    mrcfile.write(tmp_path / "a.mrc", stack)
    store = zarr.open_group(tmp_path / "a.zarr", mode="w")
    store.create_array("x", data=stack, chunks=(1, 20, 30))
    zipped = zarr.storage.ZipStore(tmp_path / "b.zip", mode="w")
    zarr.open_group(zipped, mode="w").create_array("x", data=stack[None], chunks=(1, 1, 97, 83))
    zipped.close()
    monkeypatch.setattr("tessera.readers.apart.reader", lambda: Here)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=stack, chunks=(2, 19, 83), compression="gzip")
        file["flat"] = stack
    files = [("c.npy", ""), ("f.npy", ""), ("a.mrc", ""), ("a.zarr", "x"), ("b.zip", "x")]
    for name, key in [*files, ("a.h5", "x"), ("a.h5", "flat")]:
        found = read_micrograph(str(tmp_path / name), key, 1).pixels
        assert isinstance(found, LazyPage), name
        np.testing.assert_array_equal(np.asarray(found), stack[1], name)


class Here:
    """In the place of the process that reads HDF5: what is patched here is not patched there."""

    @staticmethod
    def read(path, key, frame):
        from tessera.readers import read_here

        return read_here(path, key, frame)


def test_a_large_hdf5_comes_by_rows_from_its_process(tmp_path):
    """This one is large in truth: 68 MB."""
    whole = np.arange(8_500, dtype="u2")[:, None] + np.arange(4_000, dtype="u2")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = whole
        file["small"] = whole[:5]
    found = read_micrograph(str(tmp_path / "a.h5"), "x").pixels
    assert isinstance(found, LazyPage)
    between = read_micrograph(str(tmp_path / "a.h5"), "small").pixels
    np.testing.assert_array_equal(between, whole[:5])
    np.testing.assert_array_equal(np.asarray(found), whole)


def row(name, path):
    return {"micrograph": name, "path": str(path), "key": "", "frame": -1, "pixel_size_nm": 3.0}


def ingested(folder, rows):
    names = ("pages.tif", "table.tsv", "landmarks.parquet", "metadata.json")
    outputs = Outputs(*(str(folder / name) for name in names))
    limits = {"saturated": 1, "dead_lines": 1, "constant": "refuse"}
    main(
        rows, [file_digest(row["path"]) for row in rows], {"crop": None, "limits": limits}, outputs
    )
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_products_of_ingest_do_not_depend_on_the_strips(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", page(), compression="zlib", tile=(64, 64))
    tifffile.imwrite(tmp_path / "b.tif", page("f4"), byteorder=">")
    rows = [row("a", tmp_path / "a.tif"), row("b", tmp_path / "b.tif")]
    whole = ingested(tmp_path / "whole", rows)
    monkeypatch.setattr(strips, "WHOLE_BYTES", 0)
    for n_bytes in HEIGHTS[1:]:
        monkeypatch.setattr(strips, "STRIP_BYTES", n_bytes)
        assert ingested(tmp_path / str(n_bytes), rows) == whole


@pytest.mark.usefixtures("everything_is_large")
def test_what_is_damaged_further_down_is_refused_by_name(tmp_path, monkeypatch):
    from tessera.problems import BadInput

    monkeypatch.setattr(strips, "STRIP_BYTES", 10_000)
    for name in ("a", "b", "c"):
        tifffile.imwrite(tmp_path / f"{name}.tif", page(), compression="zlib", tile=(64, 64))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        where = file.pages[0].dataoffsets[-1]
    data = bytearray((tmp_path / "b.tif").read_bytes())
    data[where : where + 20] = bytes(20)
    (tmp_path / "b.tif").write_bytes(data)
    rows = [row(name, tmp_path / f"{name}.tif") for name in "abc"]
    with pytest.raises(BadInput, match="cannot be read") as caught:
        ingested(tmp_path / "results", rows)
    assert [problem.micrograph for problem in caught.value.problems] == ["b"]
    assert list((tmp_path / "results").iterdir()) == []
