"""What `verify` reads by bands: the rows that were written, and scikit-image's threshold."""

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

from tessera.files import write_pages
from verification import pages, scores
from verification.pages import Page
from verification.records import Unreadable


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("shape", [(600, 300), (256, 256), (1, 1000), (257, 5)])
def test_rows_are_those_that_were_written(tmp_path, compressed, shape):
    page = np.random.default_rng(0).normal(size=shape).astype("f4")
    write_pages(tmp_path / "a.tif", [(page[:1], 1.0), (page, 1.0)], compressed)
    found = Page(tmp_path, "a.tif", 1)
    assert found.shape == shape
    for top, end in ((0, shape[0]), (shape[0] // 3, shape[0] // 2 + 1), (shape[0] - 1, shape[0])):
        np.testing.assert_array_equal(found.rows(top, end), page[top:end])


def test_what_is_damaged_is_said(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.eye(300, dtype="u1"), compression="zlib", tile=(16, 16))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        where = file.pages[0].dataoffsets[-1]
    data[where : where + 9] = bytes(9)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(Unreadable) as caught:
        Page(tmp_path, "a.tif", 0).rows(290, 300)
    assert caught.value.args[0] == "a.tif"


class Held:
    """A page in memory."""

    def __init__(self, page):
        self.page, self.shape = page, page.shape

    def rows(self, top, end):
        return self.page[top:end]


@given(st.integers(0, 2**32 - 1), st.integers(1, 50), st.integers(1, 30), st.integers(1, 60))
@settings(max_examples=60)
def test_the_threshold_is_that_of_the_whole_page(seed, rows, columns, high):
    page = np.random.default_rng(seed).normal(size=(rows, columns)).astype("f4")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "TILE_PX", 2)
        patch.setattr(pages, "BAND_PX", high)
        assert scores._threshold(Held(page)) == threshold_otsu(page)
