"""Classes: annotations of every kind to codes; nothing undeclared slips through."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tessera.classes import IGNORE, ClassTable, palette
from tessera.values import UndeclaredValues, encode

GREY = ClassTable.from_config({"background": 0, "grain": 128, "pore": 255})
COLOUR = ClassTable.from_config({"background": 0, "oxide": [255, 0, 0], "metal": [0, 10, 255]})

codes = hnp.arrays(np.uint8, (5, 7), elements=st.integers(0, 2))


def drawn(codes, table, dtype=np.uint8):
    """The annotation in which a mask of codes is drawn: the inverse of `encode`."""
    values = table.values
    if not table.is_grey:
        values = [(value,) * 3 if isinstance(value, int) else value for value in values]
    return np.array(values, dtype)[codes]


@given(codes, st.sampled_from([np.uint8, np.uint16, np.int32, ">u2"]))
def test_grey_levels(codes, dtype):
    np.testing.assert_array_equal(encode(drawn(codes, GREY, dtype), GREY), codes)


@given(codes)
def test_colours_of_8_and_16_bits(codes):
    rgb = drawn(codes, COLOUR)
    np.testing.assert_array_equal(encode(rgb, COLOUR), codes)
    np.testing.assert_array_equal(encode(rgb.astype(np.uint16) * 257, COLOUR), codes)


@given(codes, st.integers(0, 255))
def test_alpha_carries_no_class(codes, alpha):
    for table in (GREY, COLOUR):
        annotation = np.atleast_3d(drawn(codes, table))
        with_alpha = np.dstack([annotation, np.full(codes.shape, alpha, np.uint8)])
        np.testing.assert_array_equal(encode(with_alpha, table), codes)


@given(codes)
def test_grey_drawn_in_colour(codes):
    np.testing.assert_array_equal(encode(np.dstack([drawn(codes, GREY)] * 3), GREY), codes)


def test_ignored_pixels_get_their_own_code():
    table = ClassTable.from_config({"background": 0, "grain": 1}, ignore=7)
    assert encode(np.array([[0, 1, 7]]), table).tolist() == [[0, 1, IGNORE]]
    table = ClassTable.from_config({"background": 0, "grain": 1}, ignore=[9, 9, 0])
    assert encode(np.array([[[0, 0, 0], [9, 9, 0]]], np.uint8), table).tolist() == [[0, IGNORE]]


def test_other_takes_what_is_not_declared():
    table = ClassTable.from_config({"background": 0, "grain": 1, "rest": 2}, 9, other="rest")
    assert encode(np.array([[0, 1, 2, 9, 77, 300]]), table).tolist() == [[0, 1, 2, IGNORE, 2, 2]]


def test_undeclared_values_are_told_with_their_pixels_most_first():
    with pytest.raises(UndeclaredValues, match=r"3 \(2 px\), 127 \(1 px\)") as caught:
        encode(np.array([[0, 127, 3, 3, 255]], np.uint8), GREY)
    assert caught.value.values == [(3, 2), (127, 1)]
    with pytest.raises(UndeclaredValues) as caught:
        encode(np.array([[[0, 0, 0], [0, 0, 1]]], np.uint8), COLOUR)
    assert caught.value.values == [((0, 0, 1), 1)]


def test_a_level_beyond_the_dtype_is_no_other_level():
    table = ClassTable.from_config({"background": 0, "grain": 256})
    with pytest.raises(UndeclaredValues):
        encode(np.array([[1]], np.uint8), table)
    assert encode(np.array([[0, 256]], np.uint16), table).tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("annotation", "table", "what"),
    [
        (np.zeros((2, 3), np.uint8), COLOUR, "grey"),
        (np.zeros((2, 3, 3), np.float32), COLOUR, "float32"),
        (np.zeros((2, 3, 5), np.uint8), GREY, r"\(2, 3, 5\)"),
    ],
)
def test_what_is_no_annotation_is_refused(annotation, table, what):
    with pytest.raises(ValueError, match=what):
        encode(annotation, table)


@pytest.mark.parametrize(
    ("classes", "ignore", "other", "what"),
    [
        ({"a": 0, "b": 5, "c": 5}, None, None, "5 stands for more than one"),
        ({"a": 0, "b": [1, 2, 3], "c": [1, 2, 3]}, None, None, "more than one"),
        ({"a": 0, "b": [0, 0, 0]}, None, None, "more than one"),
        ({"a": 0, "b": 1}, 1, None, "1 stands for more than one"),
        ({"a": 0, "b": 1}, None, "c", "none of the classes a, b"),
    ],
)
def test_tables_that_contradict_themselves_are_refused(classes, ignore, other, what):
    with pytest.raises(ValueError, match=what):
        ClassTable.from_config(classes, ignore, other)


def test_codes_follow_the_order_of_declaration():
    table = ClassTable.from_config({"b": 9, "a": 3})
    assert (table.names, len(table)) == (("b", "a"), 2)
    assert encode(np.array([[3, 9]]), table).tolist() == [[1, 0]]


def test_colours_of_neighbouring_codes_differ():
    assert palette(2).tolist() == [[0, 0, 0], [230, 159, 0]]
    assert len(np.unique(palette(8), axis=0)) == 8
    assert (palette(20)[1:] != palette(20)[:-1]).any(axis=1).all()
    assert palette(20)[1:].any(axis=1).all()
