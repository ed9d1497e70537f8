"""Regions: known shapes cover known pixels, the order of the file counts, all faults are told."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as run_lengths
from scipy import ndimage

from tessera.classes import IGNORE, ClassTable
from tessera.regions import Ellipse, Pixels, Polygons, Region, draw

SHAPE = (30, 40)
TABLE = ClassTable.from_config({"background": 0, "particle": 1, "pore": 2}, ignore="unsure")


def box(top, left, bottom, right):
    corners = [[top, left], [top, right], [bottom, right], [bottom, left]]
    return Polygons([np.array(corners, float)])


def pixels(inside):
    flat = inside.T.ravel()
    changes = np.flatnonzero(np.diff(np.append(False, flat)))
    return Pixels(inside.shape, np.diff([0, *changes, flat.size]))


def region(name, form, place="region 1"):
    return Region(place, name, form)


def drawn(*regions, table=TABLE, shape=SHAPE):
    return draw(regions, shape, table)


@given(st.integers(0, 30), st.integers(0, 40), st.integers(0, 30), st.integers(0, 40))
def test_a_box_from_edge_to_edge_covers_the_pixels_between(top, left, bottom, right):
    (top, bottom), (left, right) = sorted((top, bottom)), sorted((left, right))
    expected = np.zeros(SHAPE, np.uint8)
    expected[top:bottom, left:right] = 1
    found = drawn(region("particle", box(top, left, bottom, right))).codes
    np.testing.assert_array_equal(found, expected)


def distance(outline, shape):
    """Of each pixel's centre from an outline."""
    row, column = np.mgrid[: shape[0], : shape[1]] + 0.5
    nearest = np.full(shape, np.inf)
    for (r0, c0), (r1, c1) in zip(outline, outline[1:] + outline[:1], strict=True):
        squared = (r1 - r0) ** 2 + (c1 - c0) ** 2 or 1.0
        along = np.clip(((row - r0) * (r1 - r0) + (column - c0) * (c1 - c0)) / squared, 0, 1)
        off = np.hypot(row - r0 - along * (r1 - r0), column - c0 - along * (c1 - c0))
        nearest = np.minimum(nearest, off)
    return nearest


corners = st.tuples(st.floats(0, 30), st.floats(0, 40)).map(lambda at: tuple(np.round(at, 2)))


@given(st.lists(corners, min_size=3, max_size=9))
def test_a_pixel_belongs_to_a_polygon_if_its_centre_lies_inside(outline):
    found = drawn(region("particle", Polygons([np.array(outline)]))).codes
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    crossings = np.zeros(SHAPE, int)
    for (r0, c0), (r1, c1) in zip(outline, outline[1:] + outline[:1], strict=True):
        if r0 != r1:
            between = (min(r0, r1) <= row) & (row < max(r0, r1))
            crossings += between & (column < c0 + (row - r0) / (r1 - r0) * (c1 - c0))
    clear = distance(outline, SHAPE) > 1e-6  # centres on the outline are the next test's
    np.testing.assert_array_equal(found[clear], (crossings % 2)[clear])


def test_centres_on_the_outline_belong_to_it():
    triangle = Polygons([np.array([[0, 0], [4, 4], [4, 0]], float)])
    found = drawn(region("particle", triangle), shape=(4, 4)).codes
    np.testing.assert_array_equal(found, np.tri(4))


@pytest.mark.parametrize("seed", range(20))
def test_polygons_are_those_of_cocos_own_library_but_for_few_pixels_on_the_rim(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    radii = rng.uniform(20, 45, 12)
    outline = np.column_stack([50 + radii * np.sin(angles), 60 + radii * np.cos(angles)])
    found = drawn(region("particle", Polygons([outline])), shape=(100, 120)).codes > 0
    flat = outline[:, ::-1].ravel().tolist()
    oracle = run_lengths.decode(run_lengths.frPyObjects([flat], 100, 120))[..., 0] > 0
    differ = oracle != found
    assert distance(outline.tolist(), found.shape)[differ].max(initial=0) < 0.5
    assert differ.sum() < 0.01 * found.sum()


@given(
    st.tuples(st.floats(0, 30), st.floats(0, 40)),
    st.tuples(st.floats(0.6, 15), st.floats(0.6, 15)),
    st.floats(-7, 7),
)
def test_an_ellipse_holds_the_centres_within_it(centre, radii, angle):
    found = drawn(region("particle", Ellipse(centre, radii, angle))).codes > 0
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    down, right = row - centre[0], column - centre[1]
    # As a canvas turns it: clockwise, for rows go down.
    along = right * np.cos(angle) + down * np.sin(angle)
    across = down * np.cos(angle) - right * np.sin(angle)
    far = (along / radii[0]) ** 2 + (across / radii[1]) ** 2
    clear = abs(far - 1) > 1e-6
    np.testing.assert_array_equal(found[clear], (far < 1)[clear])


def test_several_outlines_of_a_region_are_its_parts():
    two = Polygons([*box(0, 0, 4, 4).outlines, *box(2, 2, 6, 6).outlines])
    expected = np.zeros(SHAPE, np.uint8)
    expected[0:4, 0:4] = expected[2:6, 2:6] = 1
    np.testing.assert_array_equal(drawn(region("particle", two)).codes, expected)


def test_the_later_region_counts_and_what_it_hides_is_counted():
    first, second = region("particle", box(0, 0, 10, 10)), region("pore", box(5, 5, 10, 20))
    one, other = drawn(first, second), drawn(second, first)
    assert (one.codes[7, 7], other.codes[7, 7]) == (2, 1)
    assert one.overlaid_px == other.overlaid_px == 25
    assert drawn(first, region("particle", box(5, 5, 10, 20))).overlaid_px == 0


def test_ignored_regions_win_wherever_they_stand():
    unsure, sure = region("unsure", box(0, 0, 10, 10)), region("particle", box(5, 5, 20, 20))
    for order in ((unsure, sure), (sure, unsure)):
        found = drawn(*order)
        assert (found.codes[:10, :10] == IGNORE).all()
        assert (found.codes == 1).sum() == 15 * 15 - 25
        assert found.overlaid_px == 0


def test_what_nobody_has_drawn_is_background_or_ignored():
    assert drawn().codes.tolist() == np.zeros(SHAPE).tolist()
    partial = ClassTable.from_config({"background": 0, "particle": 1}, unlabelled="ignore")
    known = [region("background", box(0, 0, 2, 40)), region("particle", box(2, 0, 3, 40))]
    found = drawn(*known, table=partial).codes
    assert found[:4, 0].tolist() == [0, 0, 1, IGNORE]


def test_regions_that_touch_are_kept_apart_by_a_boundary_when_asked():
    pair = region("particle", box(0, 0, 10, 10)), region("particle", box(0, 10, 10, 20))
    together = ClassTable.from_config({"none": 0, "particle": 1, "edge": 2})
    assert ndimage.label(drawn(*pair, table=together).codes == 1)[1] == 1
    block = {"class": "particle", "boundary": "edge"}
    apart = ClassTable.from_config({"none": 0, "particle": 1, "edge": 2}, instances=block)
    found = drawn(*pair, table=apart).codes
    assert ndimage.label(found == 1, np.ones((3, 3)))[1] == 2
    assert found[5].tolist() == [1] * 9 + [2, 2] + [1] * 9 + [0] * 20
    thin = region("particle", box(0, 10, 10, 11), "region 2")
    assert drawn(pair[0], thin, table=apart).swallowed == ["region 2"]


def test_pixels_are_taken_as_they_are():
    inside = np.random.default_rng(0).random(SHAPE) < 0.3
    np.testing.assert_array_equal(drawn(region("pore", pixels(inside))).codes, 2 * inside)


def test_every_region_that_does_not_fit_is_told():
    bad = [
        region("grain", box(0, 0, 1, 1), "region 1"),
        region("pore", box(0, 0, 31.5, 1), "region 2"),
        region("pore", Polygons([np.array([[0, 0], [1, 1]])]), "region 3"),
        region("pore", Ellipse((31, 5), (3, 3)), "region 4"),
        region("pore", pixels(np.zeros((2, 2), bool)), "region 5"),
    ]
    with pytest.raises(ValueError) as caught:
        drawn(*bad, region("particle", box(0, 0, 1, 1)))
    said = str(caught.value)
    assert "region 1: 'grain' is none of the classes background, particle, pore" in said
    assert "region 2: its corner at row 31.5, column 1 is outside of the picture, 30 x 40" in said
    assert "region 3: 2 corners" in said
    assert "region 4: its centre at row 31, column 5" in said
    assert "region 5: it is of 2 x 2 px, the picture 30 x 40" in said


def test_editors_round_so_outlines_may_reach_a_pixel_beyond():
    found = drawn(region("pore", box(-1, -0.5, 31, 41)))
    assert (found.codes == 2).all()


@pytest.mark.parametrize("corner", [np.nan, np.inf])
def test_coordinates_are_numbers(corner):
    with pytest.raises(ValueError, match="outside"):
        drawn(region("pore", box(0, 0, corner, 1)))


def test_other_takes_regions_of_undeclared_names():
    table = ClassTable.from_config({"none": 0, "rest": 1}, other="rest")
    assert drawn(region("grain", box(0, 0, 1, 1)), table=table).codes.sum() == 1
