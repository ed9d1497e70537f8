"""Crops: the same of arrays and of lazy pages; data bars by what files state, or by their rows."""

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from data_bars import MAKERS, image
from samples_of_formats import FEI, TESCAN, levels, with_tag
from tessera.crops import COLUMNS, Crop
from tessera.data_bars import crop_of
from tessera.readers import UnreadableFile, read_micrograph
from tessera.strips import LazyPage

PIXELS = st.integers(0, 4)


@given(
    sides=st.tuples(PIXELS, PIXELS, PIXELS, PIXELS),
    block_rows=st.integers(1, 5),
    span=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_a_lazy_page_is_cropped_as_an_array_is(sides, block_rows, span):
    page, crop = levels(shape=(9, 11)), Crop(*sides)
    top, bottom, left, right = sides
    wanted = page[top : 9 - bottom, left : 11 - right]
    lazy = crop.of(LazyPage(page.shape, page.dtype, lambda a, b: page[a:b], block_rows))
    np.testing.assert_array_equal(crop.of(page), wanted)
    np.testing.assert_array_equal(np.asarray(lazy), wanted)
    np.testing.assert_array_equal(lazy[min(span) : max(span)], wanted[min(span) : max(span)])
    assert crop.whole(wanted.shape) == page.shape
    assert len(COLUMNS) == len(sides)


def test_a_crop_that_leaves_nothing_is_refused():
    with pytest.raises(UnreadableFile, match=r"nothing of its 20 x 10 px is left .*bottom 20 px"):
        Crop(bottom=20).of(np.zeros((20, 10)))


def test_found_or_stated():
    bare = image()
    barred = np.concatenate([bare, MAKERS["FEI"]()])
    assert crop_of(barred, None) == crop_of(bare, "auto") == Crop()
    assert crop_of(barred, {"bottom": 7, "left": 2}) == Crop(bottom=7, left=2)
    assert crop_of(barred, "auto") == Crop(bottom=46)
    assert crop_of(barred, "auto", scanned_rows=460) == Crop(bottom=barred.shape[0] - 460)
    assert crop_of(barred, "auto", scanned_rows=barred.shape[0]) == Crop()


@pytest.mark.parametrize(
    ("said", "rows"),
    [
        ("[Image]\r\nResolutionX=31\r\nResolutionY=16\r\n[PrivateFei]\r\nDatabarHeight=3\r\n", 16),
        ("[Image]\r\nResolutionX=31\r\nResolutionY=16\r\n", 16),
        ("[Image]\r\nResolutionX=31\r\nResolutionY=19\r\n[PrivateFei]\r\nDatabarHeight=3\r\n", 19),
        # What does not fit the picture is of another one.
        ("[Image]\r\nResolutionX=31\r\nResolutionY=15\r\n[PrivateFei]\r\nDatabarHeight=3\r\n", 0),
        ("[Image]\r\nResolutionX=62\r\nResolutionY=16\r\n", 0),
        ("[Image]\r\nResolutionX=31\r\nResolutionY=38\r\n", 0),
        ("[Image]\r\nResolutionX=31\r\nResolutionY=tall\r\n", 0),
        ("", 0),
    ],
)
def test_what_fei_states_of_the_rows_that_were_scanned(tmp_path, said, rows):
    with_tag(34682, "s", FEI + said)(tmp_path / "a.tif")
    recording = read_micrograph(str(tmp_path / "a.tif"))
    assert recording.scanned_rows == rows
    assert recording.pixels.shape == (19, 31)
    assert recording.pixel_size_nm == pytest.approx(3.5)


@pytest.mark.parametrize(("strip", "rows"), [(3, 16), (0, 19), (19, 0), (-2, 0), ("none", 0)])
def test_what_tescan_states_of_the_strip_below(tmp_path, strip, rows):
    said = TESCAN.replace(b"ImageStripSize=3", f"ImageStripSize={strip}".encode())
    with_tag(50431, "B", said)(tmp_path / "a.tif")
    assert read_micrograph(str(tmp_path / "a.tif")).scanned_rows == rows


def test_a_tiff_of_no_maker_states_nothing(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", levels())
    assert read_micrograph(str(tmp_path / "a.tif")).scanned_rows == 0
