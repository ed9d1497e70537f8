"""Files: whole or not at all, and read back as they were written."""

import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tessera import files
from tessera.classes import palette
from tessera.files import TileSink, map_page, read_page, read_pages, write_pages, written_atomically
from tessera.readers import read_micrograph

TILE_PX = 16


def test_a_good_block_leaves_the_file_alone_in_its_folder(tmp_path):
    target = tmp_path / "deep" / "a.mask.tif"
    with written_atomically(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_a_failed_block_leaves_nothing_and_keeps_what_was_there(tmp_path):
    for target in (tmp_path / "new.txt", tmp_path / "old.txt"):
        if target.stem == "old":
            target.write_text("old")
        with suppress(KeyboardInterrupt), written_atomically(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [tmp_path / "old.txt"]
    assert (tmp_path / "old.txt").read_text() == "old"


def pages():
    random = np.random.default_rng(0)
    for shape, dtype in (((40, 30), "u1"), ((7, 300), "u2"), ((1, 1), "f4"), ((300, 20), "f8")):
        yield (random.random(shape) * 200).astype(dtype), 2.5


@pytest.mark.parametrize("compressed", [True, False])
def test_pages_come_back_as_they_were(tmp_path, compressed):
    path = tmp_path / "a.tif"
    write_pages(path, pages(), compressed)
    for number, (found, (page, _)) in enumerate(zip(read_pages(path), pages(), strict=True)):
        for read in (found, read_page(path, number)):
            np.testing.assert_array_equal(read, page)
            assert read.dtype == page.dtype
        assert read_micrograph(str(path), frame=number).pixel_size_nm == pytest.approx(2.5)


def test_uncompressed_pages_are_mapped_read_only(tmp_path):
    path = tmp_path / "a.tif"
    write_pages(path, pages(), compressed=False)
    for number, (page, _) in enumerate(pages()):
        mapped = map_page(path, number)
        assert isinstance(mapped, np.memmap)
        assert not mapped.flags.writeable
        np.testing.assert_array_equal(mapped, page)


def test_pages_of_equal_shape_are_pages_of_their_own(tmp_path):
    page = np.zeros((5, 6), np.uint8)
    write_pages(tmp_path / "a.tif", ((page + i, np.nan) for i in range(3)), compressed=True)
    assert [read.max() for read in read_pages(tmp_path / "a.tif")] == [0, 1, 2]
    assert np.isnan(read_micrograph(str(tmp_path / "a.tif"), frame=0).pixel_size_nm)


def test_pages_that_fail_leave_no_file(tmp_path):
    def failing():
        yield from pages()
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        write_pages(tmp_path / "a.tif", failing(), compressed=True)
    assert list(tmp_path.iterdir()) == []


def tiles_of(image):
    for row in range(0, image.shape[0], TILE_PX):
        for column in range(0, image.shape[1], TILE_PX):
            yield image[row : row + TILE_PX, column : column + TILE_PX]


def sunk(path, image, colourmap=None, pixel_size_nm=2.5):
    with TileSink(path, image.shape, image.dtype, TILE_PX, pixel_size_nm, colourmap) as sink:
        for tile in tiles_of(image):
            sink.put(tile)
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
    np.testing.assert_array_equal(read_page(path, 0), mask)
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


def put(path, n_tiles, failure=None, tile_shape=(TILE_PX, TILE_PX)):
    """Put tiles of a file that takes four, and fail after them, if asked to."""
    with TileSink(path, (32, 32), np.uint8, TILE_PX, 1.0) as sink:
        for _ in range(n_tiles):
            sink.put(np.zeros(tile_shape, np.uint8))
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


def test_tiles_of_a_wrong_shape_are_an_error_and_leave_no_file(tmp_path):
    assert in_time(put, tmp_path / "a.tif", 4, tile_shape=(40, 40)) is not None
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
    """Whoever puts waits while the writer is behind."""
    held, most, lock = [0], [0], threading.Lock()
    stream = files.TileSink._stream

    def counted(self):
        for tile in stream(self):
            with lock:
                held[0] -= 1
            yield tile

    monkeypatch.setattr(files.TileSink, "_stream", counted)
    with TileSink(tmp_path / "a.tif", (16, 16 * 200), np.uint8, TILE_PX, 1.0) as sink:
        for _ in range(200):
            sink.put(np.zeros((TILE_PX, TILE_PX), np.uint8))
            with lock:
                held[0] += 1
                most[0] = max(most[0], held[0])
    assert most[0] <= 6
