"""Files: whole or not at all, and read back as they were written."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tessera.files import (
    map_page,
    map_pages,
    open_page,
    open_pages,
    write_pages,
    written_atomically,
)
from tessera.readers import read_micrograph


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
    for number, (found, (page, _)) in enumerate(zip(open_pages(path), pages(), strict=True)):
        for read in (found, open_page(path, number)):
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
    assert [read.max() for read in open_pages(tmp_path / "a.tif")] == [0, 1, 2]
    assert np.isnan(read_micrograph(str(tmp_path / "a.tif"), frame=0).pixel_size_nm)


def test_pages_that_fail_leave_no_file(tmp_path):
    def failing():
        yield from pages()
        raise ValueError("unreadable")

    with pytest.raises(ValueError, match="unreadable"):
        write_pages(tmp_path / "a.tif", failing(), compressed=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_pages_are_mapped_through_one_file(tmp_path, byte_order):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=byte_order) as file:
        for page, _ in pages():
            file.write(page, photometric="minisblack", metadata=None, contiguous=False)
    mapped = map_pages(path, [2, 0, 3, 1])
    for number, found in zip([2, 0, 3, 1], mapped, strict=True):
        expected = open_page(path, number)
        assert found.dtype == expected.dtype.newbyteorder(byte_order)
        np.testing.assert_array_equal(found, expected)
        with pytest.raises(ValueError, match="read-only"):
            found[0, 0] = 1


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_many_mapped_pages_keep_one_file_open(tmp_path):
    path = tmp_path / "a.tif"
    write_pages(path, ((np.zeros((4, 4), np.uint8), 1.0) for _ in range(50)), compressed=False)
    before = len(list(Path("/proc/self/fd").iterdir()))
    mapped = map_pages(path, range(50))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
    assert len(mapped) == 50


def test_a_compressed_page_cannot_be_mapped(tmp_path):
    path = tmp_path / "a.tif"
    write_pages(path, pages(), compressed=True)
    with pytest.raises(ValueError, match="page 1 is compressed"):
        map_pages(path, [1])
