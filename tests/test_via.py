"""The VGG Image Annotator: every shape that has an area, in the forms that it writes files in."""

import numpy as np
import pytest

from tessera import via
from tessera.classes import ClassTable
from tessera.regions import draw

TABLE = ClassTable.from_config({"background": 0, "particle": 9, "pore": 5})
RECT = {"name": "rect", "x": 2, "y": 1, "width": 5, "height": 3}


def region(shape, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes or {"type": "particle"}}


def of(*regions):
    entry = {"filename": "b.tif", "size": 77, "regions": list(regions), "file_attributes": {}}
    other = {"filename": "a.tif", "size": 5, "regions": [], "file_attributes": {}}
    return {"a.tif5": other, "b.tif77": entry}


def codes(data, shape=(6, 8)):
    return draw(via.picture(data, 1).regions, shape, TABLE).codes


def numbered(data):
    """As VIA 1 writes it."""
    regions = data["b.tif77"]["regions"]
    return {**data, "b.tif77": {**data["b.tif77"], "regions": dict(enumerate(regions))}}


def project(data):
    return {"_via_settings": {}, "_via_img_metadata": data, "_via_attributes": {}}


@pytest.mark.parametrize("form", [dict, numbered, project])
def test_every_form_of_file_is_read(form):
    data = form(of(region(RECT), region({**RECT, "width": 1}, type="pore")))
    assert via.is_via(data)
    assert via.pictures(data) == ["a.tif", "b.tif"]
    expected = np.zeros((6, 8), np.uint8)
    expected[1:4, 2:7] = 1
    expected[1:4, 2] = 2
    np.testing.assert_array_equal(codes(data), expected)
    assert via.picture(data, 1).shape is None


def test_polygons():
    shape = {"name": "polygon", "all_points_x": [0, 8, 8, 0], "all_points_y": [2, 2, 4, 4]}
    expected = np.zeros((6, 8), np.uint8)
    expected[2:4] = 1
    np.testing.assert_array_equal(codes(of(region(shape))), expected)


def test_circles_and_ellipses():
    row, column = np.mgrid[:30, :40] + 0.5
    circle = {"name": "circle", "cx": 22, "cy": 11, "r": 7.2}
    expected = (column - 22) ** 2 + (row - 11) ** 2 < 7.2**2
    np.testing.assert_array_equal(codes(of(region(circle)), (30, 40)), expected)
    ellipse = {"name": "ellipse", "cx": 22, "cy": 14, "rx": 12.3, "ry": 4.1}
    expected = ((column - 22) / 12.3) ** 2 + ((row - 14) / 4.1) ** 2 < 1
    np.testing.assert_array_equal(codes(of(region(ellipse)), (30, 40)), expected)
    # Turned clockwise by an eighth: it points down to the right.
    turned = codes(of(region({**ellipse, "theta": np.pi / 4})), (30, 40))
    assert turned[14 + 7, 22 + 7] == turned[14 - 7, 22 - 7] == 1
    assert turned[14 - 7, 22 + 7] == turned[14 + 7, 22 - 7] == 0


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        ({"type": "pore"}, "pore"),
        ({"type": " pore "}, "pore"),
        ({"class": "pore", "seen by": "me"}, "pore"),
        ({"type": {"pore": True, "particle": False}}, "pore"),
    ],
)
def test_the_class_is_an_attribute(attributes, name):
    assert via.picture(of(region(RECT, **attributes)), 1).regions[0].name == name


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (region({"name": "polyline"}), "region 2: a polyline has no area"),
        (region({"name": "point", "cx": 1, "cy": 1}), "region 2: a point has no area"),
        ({"shape_attributes": RECT, "region_attributes": {}}, "region 2: has no attribute"),
        (region(RECT, type="pore", seen="me"), "attributes type, seen, none called `class`"),
        (region(RECT, type={"pore": True, "particle": True}), "2 classes: pore, particle"),
        (region(RECT, type={}), "0 classes"),
    ],
)
def test_regions_that_are_broken_are_named(broken, what):
    with pytest.raises(ValueError, match=what):
        via.picture(of(region(RECT), broken), 1)


@pytest.mark.parametrize("data", [[], {}, {"a": 1}, {"a": {"filename": "b.tif"}}, None])
def test_what_is_no_file_of_via_is_none(data):
    assert not via.is_via(data)
