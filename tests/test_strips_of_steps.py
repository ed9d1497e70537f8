"""What each step makes of pages: the same from strips, however high, as from whole arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon
from skimage.filters import threshold_otsu

from builders import in_strips, lazy, texture
from tessera import regions
from tessera.classes import IGNORE, ClassTable
from tessera.grids import nearest, resampled_mask
from tessera.instances import encode_labels
from tessera.metrics import confusion
from tessera.panels import labelled_panels, unlabelled_panels
from tessera.reduction import area_mean
from tessera.regions import Ellipse, Pixels, Polygons, Region, draw, within
from tessera.strips import LazyPage, rows_at
from tessera.surveys import structure_areas
from tessera.thresholds import BRIGHT, DARK, otsu_masks, otsu_threshold
from tessera.tiles import TileGrid, tile_table
from tessera.values import UndeclaredValues, encode, undeclared_px

sides = st.integers(1, 40)
seeds = st.integers(0, 2**32 - 1)
heights = st.integers(1, 45)


def codes(seed, shape, n_classes=3):
    """Class codes in patches, some of them ignored."""
    draw = np.random.default_rng(seed)
    patches = draw.integers(0, n_classes, (-(-shape[0] // 3), -(-shape[1] // 3)), np.uint8)
    mask = np.kron(patches, np.ones((3, 3), np.uint8))[: shape[0], : shape[1]]
    mask[draw.random(shape) < 0.1] = IGNORE
    return mask


@given(seeds, sides, sides, sides, sides, heights)
@settings(max_examples=60)
def test_masks_are_resampled_alike(seed, rows, columns, to_rows, to_columns, height):
    mask, shape = codes(seed, (rows, columns)), (to_rows, to_columns)
    whole = resampled_mask(mask, shape), nearest(mask, shape)
    assert all(isinstance(found, np.ndarray) for found in whole)
    with in_strips():
        for found, of in zip((resampled_mask, nearest), whole, strict=True):
            page = found(lazy(mask, height), shape)
            assert isinstance(page, LazyPage)
            np.testing.assert_array_equal(np.asarray(page), of)


@given(seeds, sides, sides, heights)
@settings(max_examples=60)
def test_masks_are_counted_alike(seed, rows, columns, height):
    true, pred = codes(seed, (rows, columns)), codes(seed + 1, (rows, columns))
    pred[pred == IGNORE] = 1
    grid = TileGrid(3, 7, 4, 1.0, 0)
    counts, tiles = confusion(true, pred, 3), tile_table(true, grid)
    areas = structure_areas(true, 3)
    with in_strips():
        of = lazy(true, height), lazy(pred, 1)
        np.testing.assert_array_equal(confusion(*of, 3), counts)
        assert tile_table(of[0], grid).equals(tiles)
        for found, expected in zip(structure_areas(of[0], 3), areas, strict=True):
            assert sorted(found) == sorted(expected)


@given(seeds, st.integers(2, 40), sides, heights, st.sampled_from([1e-3, 1, 1e4]))
@settings(max_examples=60)
def test_the_threshold_is_that_of_scikit_image_on_the_whole(seed, rows, columns, height, gain):
    page = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32) * gain
    page = page.astype(np.float32)
    expected = threshold_otsu(page)
    assert otsu_threshold(page) == expected
    with in_strips():
        of = lazy(page, height)
        assert otsu_threshold(of) == expected
        masks = {name: np.asarray(mask) for name, mask in otsu_masks(of)}
    np.testing.assert_array_equal(masks[BRIGHT], page > expected)
    np.testing.assert_array_equal(masks[DARK], page <= expected)


@given(seeds, st.lists(st.integers(0, 39)), heights)
def test_rows_are_picked_alike(seed, rows, height):
    page, rows = codes(seed, (40, 7)), np.sort(np.array(rows, int))
    with in_strips():
        np.testing.assert_array_equal(rows_at(lazy(page, height), rows), page[rows])


def test_pictures_are_alike():
    page, shape = (texture(0, (301, 203)) * 50 + 300).astype(np.uint16), (301, 203)
    entropy = texture(1, shape).clip(0, 1).astype(np.float32)
    true, pred = codes(0, shape), codes(1, shape)
    pred[pred == IGNORE] = 0
    shown = {labelled_panels: (page, true, pred), unlabelled_panels: (page, pred, entropy)}
    for panels, of in shown.items():
        expected = panels(*of, 3, 100)
        with in_strips():
            assert panels(*(lazy(each, 7) for each in of), 3, 100) == expected
    with in_strips():
        np.testing.assert_array_equal(area_mean(lazy(page, 7), (20, 30)), area_mean(page, (20, 30)))


CLASSES = {"background": 0, "cell": 1, "edge": 2}
TABLES = [
    ClassTable.from_config(CLASSES),
    ClassTable.from_config(CLASSES, nearest=True),
    ClassTable.from_config(CLASSES, other="edge", ignore=5),
    ClassTable.from_config({"a": [0, 0, 0], "b": [3, 3, 3]}, nearest=True),
]


def encoded(annotation, table):
    try:
        return np.asarray(encode(annotation, table)).tolist(), undeclared_px(annotation, table)
    except UndeclaredValues as error:
        return str(error), error.values


@given(seeds, sides, sides, heights, st.sampled_from(TABLES), st.sampled_from([None, 2, 3, 4]))
@settings(max_examples=100)
def test_values_are_encoded_alike(seed, rows, columns, height, table, channels):
    shape = (rows, columns) if channels is None else (rows, columns, channels)
    levels = np.random.default_rng(seed).integers(0, 6, shape).astype(np.uint8)
    if not table.is_grey and channels in (None, 2):
        return
    whole = encoded(levels, table)
    with in_strips():
        assert encoded(lazy(levels, height), table) == whole


INSTANCES = [
    {"class": "cell"},
    {"class": "cell", "boundary": "edge"},
    {"class": "cell", "boundary": "edge", "outlines": True},
]


@given(seeds, sides, sides, heights, st.sampled_from(INSTANCES), st.booleans())
@settings(max_examples=100)
def test_label_maps_are_encoded_alike(seed, rows, columns, height, instances, large):
    table = ClassTable.from_config(CLASSES, ignore=7, other="edge", instances=instances)
    labels = codes(seed, (rows, columns), 9).astype(np.int64) - 1
    labels = np.where(labels > 0, labels * (10**12 if large else 1), labels)
    mask, lost = encode_labels(labels, table)
    with in_strips():
        found, of_strips = encode_labels(lazy(labels, height), table)
        np.testing.assert_array_equal(np.asarray(found), mask)
    np.testing.assert_array_equal(of_strips, lost)


def forms(draws, shape):
    """Random polygons, ellipses and run lengths; with corners on pixels and between them."""
    counts = np.diff(np.sort(draws.integers(0, shape[0] * shape[1] + 1, 6)), prepend=0)
    counts = np.append(counts, shape[0] * shape[1] - counts.sum())
    corners = draws.uniform(0, shape, (2, draws.integers(3, 7), 2))
    radii, angle = tuple(draws.uniform(1, 20, 2)), draws.uniform(0, 6)
    return [
        Polygons([*np.round(corners * 2) / 2]),
        Ellipse(tuple(draws.uniform(0, shape)), radii, angle),
        Pixels(shape, counts),
        Polygons([corners[0]]),
    ]


@given(seeds, st.integers(2, 40), st.integers(2, 40), st.integers(1, 60))
@settings(max_examples=60)
def test_regions_are_drawn_alike(seed, rows, columns, piece):
    draws, shape = np.random.default_rng(seed), (rows, columns)
    table = ClassTable.from_config(CLASSES, ignore="unsure", instances=INSTANCES[1])
    drawn = [
        Region(f"region {name} {number}", name, form)
        for number in range(2)
        for name, form in zip(["cell", "edge", "unsure", "cell"], forms(draws, shape), strict=True)
    ]
    whole = draw(drawn, shape, table)
    with in_strips(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "PIECE_PX", piece)
        found = draw(drawn, shape, table)
        assert isinstance(found.codes, LazyPage)
        np.testing.assert_array_equal(np.asarray(found.codes), whole.codes)
    assert (found.overlaid_px, found.swallowed) == (whole.overlaid_px, whole.swallowed)


@given(seeds, st.integers(3, 9), st.sampled_from([1, 2, 10, 1e9]), st.integers(1, 90))
@settings(max_examples=200)
def test_pixels_within_an_outline_are_those_of_scikit_image(seed, n_corners, parts, piece):
    outline = np.random.default_rng(seed).uniform(-1, 30, (n_corners, 2))
    outline, shape = np.round(outline * parts) / parts - 0.5, (29, 28)
    expected, found = np.zeros(shape, int), np.zeros(shape, int)
    expected[polygon(*outline.T, shape)] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "PIECE_PX", piece)
        for where in within(outline, shape):
            np.add.at(found, where, 1)
    np.testing.assert_array_equal(found, expected)
