"""Streams: what is sunk in parts comes back whole, or no file is left; windows are read alone."""

import resource
import threading
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tessera import streams, strips
from tessera.classes import palette
from tessera.files import open_page, write_pages
from tessera.readers import read_micrograph
from tessera.streams import StreamedPage, TileSink, windowed_pages

TILE_PX = 16


def parts_of(image, part_px=TILE_PX):
    for row in range(0, image.shape[0], part_px):
        for column in range(0, image.shape[1], part_px):
            yield image[row : row + part_px, column : column + part_px], row, column


def sink_of(path, image, pixel_size_nm=2.5, colourmap=None, workers=1):
    return TileSink(path, image.shape, image.dtype, pixel_size_nm, colourmap, workers, TILE_PX)


def sunk(path, image, colourmap=None, pixel_size_nm=2.5):
    with sink_of(path, image, pixel_size_nm, colourmap) as sink:
        for part in parts_of(image):
            sink.put(*part)
    return path


def probabilities(shape):
    return np.random.default_rng(0).random(shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(48, 32), (33, 47), (1, 1), (16, 17), (5, 100)])
@pytest.mark.parametrize("n_classes", [None, 2, 3, 5])
def test_what_is_sunk_comes_back(tmp_path, shape, n_classes):
    image = probabilities(shape if n_classes is None else (*shape, n_classes))
    found = tifffile.imread(sunk(tmp_path / "a.probability.tif", image))
    np.testing.assert_array_equal(found.reshape(image.shape), image)
    assert found.dtype == image.dtype


def test_a_mask_has_the_colours_of_its_classes(tmp_path):
    mask = np.arange(3, dtype=np.uint8).repeat(20)[:, None].repeat(30, axis=1)
    path = sunk(tmp_path / "a.mask.tif", mask, palette(3))
    np.testing.assert_array_equal(open_page(path, 0), mask)
    with tifffile.TiffFile(path) as file:
        colours = file.pages[0].colormap[:, :3].T
    np.testing.assert_array_equal(colours, palette(3).astype(int) * 257)


@pytest.mark.parametrize("pixel_size_nm", [0.05, 2.5, 1234.5])
def test_the_pixel_size_comes_back(tmp_path, pixel_size_nm):
    path = sunk(tmp_path / "a.tif", probabilities((20, 20)), pixel_size_nm=pixel_size_nm)
    assert read_micrograph(str(path)).pixel_size_nm == pytest.approx(pixel_size_nm)
    with tifffile.TiffFile(path) as file:
        assert 'PhysicalSizeYUnit="nm"' in file.ome_metadata
        per_cm, of = file.pages[0].tags["YResolution"].value
    assert 1e7 * of / per_cm == pytest.approx(pixel_size_nm)


def test_an_unknown_pixel_size_is_left_out(tmp_path):
    path = sunk(tmp_path / "a.tif", probabilities((20, 20)), pixel_size_nm=np.nan)
    assert np.isnan(read_micrograph(str(path)).pixel_size_nm)


def test_the_same_tiles_make_the_same_bytes(tmp_path):
    image = probabilities((40, 50))
    first, second = (sunk(tmp_path / str(i) / "a.tif", image).read_bytes() for i in range(2))
    assert first == second


@given(
    st.tuples(st.integers(1, 80), st.integers(1, 80)),
    st.integers(1, 4),
    st.sampled_from([None, 2]),
    st.randoms(),
)
@settings(max_examples=30, deadline=None)
def test_parts_of_several_tiles_may_come_in_any_order(size, tiles, n_classes, random):
    image = probabilities(size if n_classes is None else (*size, n_classes))
    parts = list(parts_of(image, tiles * TILE_PX))
    random.shuffle(parts)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        with sink_of(path, image, workers=2) as sink:
            for part in parts:
                sink.put(*part)
        np.testing.assert_array_equal(tifffile.imread(path).reshape(image.shape), image)
        assert [file.name for file in Path(folder).iterdir()] == ["a.tif"]


def test_it_is_a_big_tiff_of_plain_zlib(tmp_path):
    """What Fiji, Bio-Formats, napari and libtiff read: no predictor, no rare codec."""
    image = probabilities((40, 50, 3))
    path = sunk(tmp_path / "a.tif", image)
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert (file.is_bigtiff, file.is_ome, page.is_tiled) == (True, True, True)
        assert (page.compression, page.predictor) == (8, 1)
        first, length = page.dataoffsets[0], page.databytecounts[0]
    tile = zlib.decompress(path.read_bytes()[first : first + length])
    expected = image[:TILE_PX, :TILE_PX]
    np.testing.assert_array_equal(np.frombuffer(tile, "f4").reshape(expected.shape), expected)
    with Image.open(sunk(tmp_path / "mask.tif", np.eye(40, dtype=np.uint8))) as mask:
        np.testing.assert_array_equal(np.asarray(mask), np.eye(40))


FOUR_TILES = [(0, 0), (16, 16), (0, 16), (16, 0)]


def put(path, n_tiles, failure=None, tile_shape=(TILE_PX, TILE_PX)):
    """Put tiles of a file that takes four, and fail after them, if asked to."""
    with TileSink(path, (32, 32), np.uint8, 1.0, tile_px=TILE_PX) as sink:
        for at in (FOUR_TILES * 8)[:n_tiles]:
            sink.put(np.zeros(tile_shape, np.uint8), *at)
        if failure:
            raise failure


def in_time(call, *arguments, **settings):
    """The error a call ends with; a test that would hang fails instead."""
    caught = []

    def guarded():
        try:
            call(*arguments, **settings)
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    return caught[0] if caught else None


@pytest.mark.parametrize("n_tiles", [0, 1, 4, 30])
def test_a_failure_in_the_block_is_told_and_leaves_no_file(tmp_path, n_tiles):
    failure = KeyError("mine")
    found = in_time(put, tmp_path / "a.tif", min(n_tiles, 4), failure)
    assert found is failure
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_tiles", [0, 1, 3, 5, 9, 30])
def test_a_wrong_number_of_tiles_is_an_error_and_leaves_no_file(tmp_path, n_tiles):
    assert in_time(put, tmp_path / "a.tif", n_tiles) is not None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("shape", [(40, 40), (15, 16), (16, 17), (32, 8)])
def test_tiles_of_a_wrong_shape_are_an_error_and_leave_no_file(tmp_path, shape):
    found = in_time(put, tmp_path / "a.tif", 4, tile_shape=shape)
    assert "does not fit into (32, 32)" in str(found)
    assert list(tmp_path.iterdir()) == []


def test_a_part_off_the_grid_is_an_error(tmp_path):
    image = probabilities((32, 32))
    with (
        pytest.raises(ValueError, match=r"\(16, 16\) at \(8, 0\)"),
        sink_of(tmp_path / "a", image) as f,
    ):
        f.put(image[:16, :16], 8, 0)


def test_what_fails_while_it_is_compressed_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(streams.imagecodecs, "deflate_encode", lambda *_, **__: 1 / 0)
    assert isinstance(in_time(put, tmp_path / "a.tif", 4), ZeroDivisionError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["begin", "end"])
def test_a_file_that_cannot_be_written_is_an_error(tmp_path, monkeypatch, moment):
    path = tmp_path / "a.tif"
    if moment == "begin":
        (tmp_path / "folder").write_text("in the way")
        path = tmp_path / "folder" / "a.tif"
    else:
        monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    assert isinstance(in_time(put, path, 4), OSError)
    assert not path.exists()


def test_an_old_file_survives_a_failure(tmp_path):
    path = sunk(tmp_path / "a.tif", probabilities((20, 20)))
    before = path.read_bytes()
    assert in_time(put, path, 3) is not None
    assert path.read_bytes() == before


def test_no_thread_is_left(tmp_path):
    before = threading.active_count()
    for n_tiles, failure in ((4, None), (4, KeyError()), (3, None), (30, None)):
        in_time(put, tmp_path / "a.tif", n_tiles, failure)
    assert threading.active_count() == before


def test_memory_holds_a_few_tiles_however_many_there_are(tmp_path, monkeypatch):
    """Whoever puts waits while the encoders are behind."""
    held, most, lock = [0], [0], threading.Lock()
    stream = streams.TileSink._stream

    def counted(self):
        for tile in stream(self):
            with lock:
                held[0] -= 1
            yield tile

    monkeypatch.setattr(streams.TileSink, "_stream", counted)
    with TileSink(tmp_path / "a.tif", (16, 16 * 200), np.uint8, 1.0, tile_px=TILE_PX) as sink:
        for number in range(200):
            sink.put(np.zeros((TILE_PX, TILE_PX), np.uint8), 0, TILE_PX * number)
            with lock:
                held[0] += 1
                most[0] = max(most[0], held[0])
    assert most[0] <= streams.QUEUED_A_WORKER + 2


@pytest.mark.parametrize("n_inputs", [None, 3])
def test_windows_of_a_streamed_page_are_those_of_its_map(tmp_path, n_inputs):
    page = probabilities((40, 30) if n_inputs is None else (n_inputs, 40, 30))
    path = tmp_path / "a.tif"
    settings = {} if n_inputs is None else {"planarconfig": "separate"}
    tifffile.imwrite(path, page, photometric="minisblack", metadata=None, **settings)
    with StreamedPage(path, 0) as streamed:
        assert (streamed.shape, streamed.dtype) == (page.shape, page.dtype)
        for window in (np.s_[..., 0:40, 0:30], np.s_[..., 3:17, 5:6], np.s_[..., 32:48, 24:40]):
            np.testing.assert_array_equal(streamed[window], page[window])


def test_large_pages_are_windowed_and_small_ones_mapped(tmp_path, monkeypatch):
    pages = [probabilities((40, 30)), probabilities((8, 9)), probabilities((60, 20))]
    write_pages(tmp_path / "a.tif", ((page, 1.0) for page in pages), compressed=False)
    monkeypatch.setattr(strips, "WHOLE_BYTES", pages[1].nbytes)
    found = windowed_pages(tmp_path / "a.tif", np.array([2, 1]))
    assert [isinstance(page, StreamedPage) for page in found] == [True, False]
    for page, expected in zip(found, [pages[2], pages[1]], strict=True):
        assert (page.shape, page.ndim, page.dtype) == (expected.shape, 2, expected.dtype)
        np.testing.assert_array_equal(page[..., 3:8, 2:9], expected[3:8, 2:9])
        np.testing.assert_array_equal(page[3:8, 2:9], expected[3:8, 2:9])


def test_a_page_that_ends_too_early_is_an_error(tmp_path):
    path = tmp_path / "a.tif"
    write_pages(path, [(probabilities((40, 30)), 1.0)], compressed=False)
    with StreamedPage(path, 0) as streamed:
        with path.open("r+b") as file:
            file.truncate(1000)
        with pytest.raises(OSError, match=r"a\.tif: ends before byte"):
            streamed[..., 0:40, 0:30]


def test_reading_a_page_in_windows_adds_nothing_to_the_memory_of_the_process(tmp_path):
    page = np.zeros((4096, 4096), np.float32)  # 64 MiB
    write_pages(tmp_path / "a.tif", [(page, 1.0)], compressed=False)
    del page
    with StreamedPage(tmp_path / "a.tif", 0) as streamed:
        before = resident_mib()
        for row in range(0, 4096, 512):
            assert not streamed[..., row : row + 512, 0:4096].any()
        assert resident_mib() - before < 24


def resident_mib():
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * resource.getpagesize() / 2**20
