"""Values: annotations of every kind to codes; nothing undeclared slips through."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tessera.classes import IGNORE, ClassTable
from tessera.values import UndeclaredValues, encode, undeclared

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


def test_codes_follow_the_order_of_declaration():
    table = ClassTable.from_config({"b": 9, "a": 3})
    assert (table.names, len(table)) == (("b", "a"), 2)
    assert encode(np.array([[3, 9]]), table).tolist() == [[1, 0]]


# ------------------------------------------------------------------------------ the nearest value


def table_of(classes, ignore=None):
    return ClassTable.from_config(classes, ignore, nearest=True)


@given(
    hnp.arrays(np.uint8, (6, 7)),
    st.lists(st.integers(0, 255), min_size=3, max_size=6, unique=True),
)
def test_a_stray_grey_level_counts_as_the_nearest_declared_one(levels, declared):
    *classes, ignored = declared
    table = table_of(dict(zip("abcdef", classes, strict=False)), ignored)
    codes = encode(levels, table)
    for level, code in zip(levels.ravel().tolist(), codes.ravel().tolist(), strict=True):
        far = [abs(level - value) for value in declared]
        first = far.index(min(far))
        assert code == (IGNORE if first == len(classes) else first)
    np.testing.assert_array_equal(undeclared(levels, table), ~np.isin(levels, declared))


@given(hnp.arrays(np.uint8, (5, 6, 3)), st.sampled_from([1, 257]))
def test_a_stray_colour_counts_as_the_nearest_of_the_euclidean_distance(levels, scale):
    table = table_of({"black": 0, "red": [255, 0, 0], "blue": [0, 20, 250]}, ignore=200)
    drawn = levels.astype(np.uint8 if scale == 1 else np.uint16) * scale
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 20, 250], [200, 200, 200]])
    far = ((levels[..., None, :].astype(int) - colours) ** 2).sum(axis=-1)
    expected = np.array([0, 1, 2, IGNORE])[far.argmin(axis=-1)]
    np.testing.assert_array_equal(encode(drawn, table), expected)
    np.testing.assert_array_equal(undeclared(drawn, table), far.min(axis=-1) > 0)


def test_of_two_as_near_the_first_declared_counts_and_ignore_last():
    assert encode(np.array([[5]]), table_of({"a": 10, "b": 0})).tolist() == [[0]]
    assert encode(np.array([[5]]), table_of({"b": 0, "a": 10})).tolist() == [[0]]
    assert encode(np.array([[15]]), table_of({"b": 0, "a": 10}, ignore=20)).tolist() == [[1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint64, np.int64])
def test_levels_at_both_ends_of_a_type_have_a_nearest(dtype):
    ends = np.array([[np.iinfo(dtype).min, np.iinfo(dtype).max]], dtype)
    assert encode(ends, table_of({"low": 1, "high": 2})).tolist() == [[0, 1]]


def test_declared_values_do_not_move():
    table = table_of({"background": 0, "grain": 128, "pore": 255})
    levels = np.array([[0, 128, 255]], np.uint8)
    assert encode(levels, table).tolist() == [[0, 1, 2]]
    assert not undeclared(levels, table).any()


# -------------------------------------------------------------------------------- partly annotated


def test_what_is_not_drawn_over_the_micrograph_may_be_ignored():
    table = ClassTable.from_config({"matrix": 0, "red": [255, 0, 0]}, unlabelled="ignore")
    drawing = np.array([[[0, 0, 0], [255, 0, 0], [90, 90, 90], [254, 0, 0]]], np.uint8)
    assert encode(drawing, table).tolist() == [[0, 1, IGNORE, IGNORE]]
