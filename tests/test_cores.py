"""Cores: they tile the micrograph, in windows on the stride of the network."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.cores import cores, cut, stitch
from trained_networks import page_of

sizes = st.integers(1, 75)


@st.composite
def grids(draw):
    stride = 2 ** draw(st.integers(0, 3))
    return draw(sizes), draw(sizes), draw(st.integers(1, 9)) * stride, 2 * stride, stride


@given(grids())
def test_cores_tile_the_micrograph_and_windows_lie_on_the_stride(grid):
    height, width, _, halo_px, stride = grid
    hits = np.zeros((height, width), int)
    for core in cores(*grid):
        hits[core.rows, core.columns] += 1
        for size, wrote, read in (
            (height, core.rows, core.read_rows),
            (width, core.columns, core.read_columns),
        ):
            extended = -(-size // stride) * stride
            assert read.start % stride == read.stop % stride == wrote.start % stride == 0
            assert read.start == max(wrote.start - halo_px, 0)
            assert min(wrote.stop + halo_px, size) <= read.stop <= extended
    assert (hits == 1).all()


def test_cores_are_in_row_major_order():
    origins = [(core.rows.start, core.columns.start) for core in cores(5, 7, 4, 2, 2)]
    assert origins == [(0, 0), (0, 4), (4, 0), (4, 4)]


@given(grids(), st.sampled_from([None, 2]))
def test_stitching_inverts_cutting(grid, n_inputs):
    page = page_of(*grid[:2], n_inputs=n_inputs)
    parts = ((core, window[(..., *core.within)]) for core, window in cut(page, cores(*grid)))
    assert np.array_equal(stitch(parts, *grid[:2]), page)


@given(grids())
def test_windows_beyond_the_page_repeat_its_edge(grid):
    height, width, *_, stride = grid
    page = page_of(height, width)
    pads = [(0, -size % stride) for size in (height, width)]
    extended = np.pad(page, pads, mode="edge")
    for core, window in cut(page, cores(*grid)):
        assert np.array_equal(window, extended[core.read_rows, core.read_columns])


@pytest.mark.parametrize("grid", [(20, 20, 6, 8, 4), (20, 20, 8, 6, 4), (20, 20, 0, 8, 4)])
def test_cores_off_the_stride_are_refused(grid):
    with pytest.raises(ValueError, match=f"core_px {grid[2]} and halo_px {grid[3]}.*stride, 4"):
        cores(*grid)


def test_empty_micrographs_and_missing_parts_are_refused():
    with pytest.raises(ValueError, match="0 x 4 px"):
        cores(0, 4, 4, 4, 4)
    parts = [(core, w[core.within]) for core, w in cut(page_of(8, 8), cores(8, 8, 4, 4, 4))]
    with pytest.raises(ValueError, match="48 px written of 8 x 8"):
        stitch(parts[:-1], 8, 8)
