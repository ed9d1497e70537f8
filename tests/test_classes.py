"""Classes: a table that says for every value, and every name, what it stands for."""

import numpy as np
import pytest

from tessera.classes import IGNORE, ClassTable, Instances, palette


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


def test_colours_of_neighbouring_codes_differ():
    assert palette(2).tolist() == [[0, 0, 0], [230, 159, 0]]
    assert len(np.unique(palette(8), axis=0)) == 8
    assert (palette(20)[1:] != palette(20)[:-1]).any(axis=1).all()
    assert palette(20)[1:].any(axis=1).all()


EDGED = {"a": 0, "b": 1, "edge": 2}


@pytest.mark.parametrize(
    ("further", "what"),
    [
        ({"ignore": "b"}, "`ignore: b` is a class"),
        ({"other": "b", "nearest": True}, "`other: b` and `nearest: true` both say"),
        ({"nearest": True, "unlabelled": "ignore"}, "`nearest: true` and `unlabelled: ignore`"),
        ({"other": "a", "unlabelled": "ignore"}, "`other: a` and `unlabelled: ignore`"),
        ({"nearest": True, "instances": {"class": "b"}}, "a label map has no nearest"),
        ({"instances": {"class": "c"}}, "`instances: class: c` is none of the classes"),
        ({"instances": {"class": "a"}}, "is the background"),
        ({"instances": {"class": "b", "boundary": "c"}}, "boundary: c` is none of"),
        ({"instances": {"class": "b", "boundary": "b"}}, "a class of its own"),
        ({"instances": {"class": "b", "boundary": "a"}}, "a class of its own"),
        ({"instances": {"class": "b", "outlines": True}}, "needs a `boundary`"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(further, what):
    with pytest.raises(ValueError, match=what):
        ClassTable.from_config(EDGED, **further)


def test_instances_are_a_class_and_their_boundary_another():
    block = {"class": "b", "boundary": "edge", "outlines": True}
    assert ClassTable.from_config(EDGED, instances=block).instances == Instances(1, 2, True)
    assert ClassTable.from_config(EDGED, instances={"class": "b"}).instances == Instances(1)


def test_names_of_regions_are_those_of_classes():
    table = ClassTable.from_config(EDGED, ignore="unsure")
    assert [table.code_of_region(name) for name in (*EDGED, "unsure")] == [0, 1, 2, IGNORE]
    with pytest.raises(ValueError, match="'B' is none of the classes a, b, edge"):
        table.code_of_region("B")
    with pytest.raises(ValueError, match="'B' is none"):  # what is drawn is not left out
        ClassTable.from_config(EDGED, unlabelled="ignore").code_of_region("B")
    assert ClassTable.from_config(EDGED, other="edge").code_of_region("B") == 2


@pytest.mark.parametrize(
    ("classes", "further", "by_colour"),
    [
        ({"a": 0, "b": 1}, {}, False),
        ({"a": 0, "b": [1, 1, 1]}, {}, True),
        ({"a": 0, "b": 1}, {"ignore": [9, 9, 9]}, True),
        ({"a": 0, "b": 1}, {"ignore": "unsure"}, False),
        ({"a": 0, "b": [1, 1, 1]}, {"instances": {"class": "b"}}, False),
    ],
)
def test_a_palette_goes_by_colour_as_soon_as_a_colour_is_declared(classes, further, by_colour):
    assert ClassTable.from_config(classes, **further).by_colour == by_colour
