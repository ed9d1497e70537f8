"""Instances: every whole number is one; with a boundary, components of the class are instances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.draw import disk
from skimage.segmentation import find_boundaries

from tessera.classes import IGNORE, ClassTable
from tessera.instances import encode_labels, touching
from tessera.values import UndeclaredValues

CLASSES = {"background": 0, "particle": 1, "edge": 2}
CORNERS = np.ones((3, 3))
label_maps = hnp.arrays(np.int32, (9, 11), elements=st.integers(0, 4))


def table(boundary="edge", outlines=False, **further):
    block = {"class": "particle", "boundary": boundary, "outlines": outlines}
    return ClassTable.from_config(CLASSES, instances=block, **further)


def components(codes):
    """Number of the component of each pixel of the class, corners counted."""
    return ndimage.label(codes == 1, CORNERS)


@given(label_maps, st.sampled_from([np.uint8, np.int8, np.uint16, np.int32, np.uint64, ">i4"]))
def test_any_whole_number_above_0_is_an_instance(labels, dtype):
    # As far apart as the type allows.
    labels = np.where(labels > 0, np.iinfo(dtype).max - labels.astype(dtype), 0).astype(dtype)
    codes, swallowed = encode_labels(labels, table(boundary=None))
    np.testing.assert_array_equal(codes, labels > 0)
    assert len(swallowed) == 0


@given(label_maps, st.booleans())
def test_no_component_holds_two_instances_and_no_pixel_leaves_them(labels, outlines):
    codes, swallowed = encode_labels(labels, table(outlines=outlines))
    np.testing.assert_array_equal(codes > 0, labels > 0)
    found, count = components(codes)
    for number in range(1, count + 1):
        assert len(np.unique(labels[found == number])) == 1
    kept = set(labels[codes == 1])
    assert kept | set(swallowed) == set(labels[labels > 0])
    assert not kept & set(swallowed)


@given(st.lists(st.tuples(st.integers(4, 35), st.integers(4, 35)), max_size=12), st.booleans())
def test_components_give_thick_instances_back(centres, outlines):
    """Squares of 7 px, of which none covers another: two of them touch, overlaps are left out."""
    labels = np.zeros((40, 40), np.uint16)
    for number, (row, column) in enumerate(centres, 1):
        square = labels[row - 3 : row + 4, column - 3 : column + 4]
        if not square.any():
            square[...] = 1000 * number
    codes, swallowed = encode_labels(labels, table(outlines=outlines))
    found, count = components(codes)
    assert len(swallowed) == 0
    assert count == len(np.unique(labels[labels > 0]))
    for number in range(1, count + 1):
        of = np.unique(labels[found == number]).item()
        rim = (labels == of) & (found != number)
        assert not ndimage.binary_erosion(labels == of, CORNERS, border_value=1)[rim].any()


@given(label_maps)
def test_outlines_are_those_of_scikit_image_and_hold_where_instances_touch(labels):
    codes, _ = encode_labels(labels, table(outlines=True))
    expected = find_boundaries(labels, connectivity=2, mode="inner", background=0)
    np.testing.assert_array_equal(codes == 2, expected)
    assert not (touching(labels) & ~expected).any()


@given(label_maps)
def test_instances_touch_where_a_neighbour_is_another(labels):
    padded = np.pad(labels, 1)
    expected = np.zeros(labels.shape, bool)
    for down in range(3):
        for right in range(3):
            other = padded[down : down + 9, right : right + 11]
            expected |= (labels > 0) & (other > 0) & (other != labels)
    np.testing.assert_array_equal(touching(labels), expected)


def test_two_discs_that_touch_are_two():
    labels = np.zeros((40, 60), np.int64)
    labels[disk((20, 20), 10.5)] = 70000
    labels[disk((20, 40), 10.5)] = 3
    assert components(encode_labels(labels, table(boundary=None))[0])[1] == 1
    codes, _ = encode_labels(labels, table())
    assert components(codes)[1] == 2
    assert 0 < (codes == 2).sum() < 20


def test_instances_of_which_nothing_is_left_are_named():
    codes, swallowed = encode_labels(np.array([[0, 0, 0], [5, 5, 5], [9, 9, 9]]), table())
    assert codes.tolist() == [[0, 0, 0], [2, 2, 2], [2, 2, 2]]
    assert swallowed.tolist() == [5, 9]


def test_numbers_below_0_are_an_error_unless_they_are_declared():
    labels = np.array([[-1, 0, 4]], np.int16)
    with pytest.raises(UndeclaredValues, match=r"-1 \(1 px\)"):
        encode_labels(labels, table())
    assert encode_labels(labels, table(ignore=-1))[0].tolist() == [[IGNORE, 0, 1]]
    assert encode_labels(labels, table(other="edge"))[0].tolist() == [[2, 0, 1]]


def test_where_only_instances_are_drawn_all_else_may_be_ignored():
    codes, _ = encode_labels(np.array([[0, 4]]), table(unlabelled="ignore"))
    assert codes.tolist() == [[IGNORE, 1]]


def test_ignored_numbers_are_no_instances():
    codes, _ = encode_labels(np.array([[8, 8, 9, 0]], np.uint8), table(ignore=9))
    assert codes.tolist() == [[1, 1, IGNORE, 0]]


def test_alpha_carries_no_instance_and_colours_are_refused():
    labels = np.array([[0, 3]], np.uint16)
    with_alpha = np.dstack([labels, labels + 7])
    assert encode_labels(with_alpha, table())[0].tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="colour"):
        encode_labels(np.zeros((2, 2, 3), np.uint8), table())
