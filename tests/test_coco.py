"""COCO: outlines and run lengths give the mask that was encoded; what is broken is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as run_lengths

from tessera import coco
from tessera.classes import ClassTable
from tessera.regions import draw

TABLE = ClassTable.from_config({"background": 0, "particle": 9, "pore": 5})
masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def of(*annotations, **image):
    """A file of two pictures, the annotations on the second."""
    return {
        "images": [
            {"id": 7, "file_name": "a.tif", "height": 9, "width": 9},
            {"id": 3, "file_name": "b.tif", "height": 6, "width": 8, **image},
        ],
        "categories": [{"id": 2, "name": "pore"}, {"id": 1, "name": "particle"}],
        "annotations": [
            {"id": 100 + number, "image_id": 3, "category_id": 1, "iscrowd": 0, **annotation}
            for number, annotation in enumerate(annotations)
        ],
    }


def codes(data, number=1):
    picture = coco.picture(data, number)
    return draw(picture.regions, picture.shape, TABLE).codes


def uncompressed(mask):
    flat = mask.ravel(order="F")
    starts = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    counts = np.diff(np.concatenate([[0], starts]))
    return {"size": list(mask.shape), "counts": counts.tolist()}


def compressed(mask):
    encoded = run_lengths.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


@given(masks, st.sampled_from([uncompressed, compressed]))
def test_run_lengths_are_decoded(mask, encode):
    rows, columns = mask.shape
    data = of({"segmentation": encode(mask), "iscrowd": 1}, height=rows, width=columns)
    np.testing.assert_array_equal(codes(data), mask)


def test_outlines_are_columns_before_rows_and_parts_belong_together():
    parts = [[2, 1, 8, 1, 8, 3, 2, 3], [0, 5, 1, 5, 1, 6, 0, 6]]
    expected = np.zeros((6, 8), np.uint8)
    expected[1:3, 2:8] = expected[5, 0] = 1
    np.testing.assert_array_equal(codes(of({"segmentation": parts})), expected)


def test_regions_are_of_their_own_picture_and_named_by_category():
    box = [[0, 0, 2, 0, 2, 2, 0, 2]]
    data = of({"segmentation": box}, {"segmentation": box, "category_id": 2, "image_id": 7})
    assert coco.is_coco(data)
    assert coco.pictures(data) == ["a.tif", "b.tif"]
    assert (codes(data, 0).sum(), codes(data, 1).sum()) == (8, 4)
    assert [region.place for region in coco.picture(data, 0).regions] == ["annotation 101"]


def test_a_size_that_the_file_does_not_say_is_not_known():
    data = of()
    del data["images"][1]["width"]
    assert coco.picture(data, 1).shape is None


@pytest.mark.parametrize(
    ("annotation", "what"),
    [
        ({"segmentation": []}, "annotation 100: has no segmentation"),
        ({"bbox": [0, 0, 2, 2]}, "annotation 100: has no segmentation"),
        ({"segmentation": [[1, 2, 3]]}, "odd number"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6]], "category_id": 8}, "no category 8"),
        ({"segmentation": {"size": [6, 8], "counts": [40]}}, "do not make up 6 x 8 px"),
        ({"segmentation": {"size": [6, 8], "counts": [-2, 50]}}, "do not make up"),
        ({"segmentation": {"size": [6, 8], "counts": [0.5, 47.5]}}, "do not make up"),
        ({"segmentation": {"size": [6, 8], "counts": "5"}}, "do not make up"),
        ({"segmentation": {"size": [6, 8], "counts": "5p"}}, "the character 'p'"),
        ({"segmentation": {"size": [6, 8], "counts": "5P"}}, "end within a number"),
    ],
)
def test_regions_that_are_broken_are_named(annotation, what):
    with pytest.raises(ValueError, match=what):
        coco.picture(of(annotation), 1)


def test_lists_that_are_missing_are_named():
    with pytest.raises(ValueError, match="categories"):
        coco.pictures({"images": [], "annotations": []})
