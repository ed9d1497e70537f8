"""Metrics: scikit-learn's on random masks, closed forms on squares and discs, honest intervals."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score, precision_score, recall_score

from tessera.classes import IGNORE
from tessera.metrics import COUNTS, bootstrap_interval, class_counts, confusion, scores


def scored(mask_true, mask_pred, n_classes=2):
    return scores(class_counts(confusion(mask_true, mask_pred, n_classes)))


@st.composite
def masks(draw):
    """True and predicted mask, and the number of classes; some pixels ignored."""
    n_classes = draw(st.integers(2, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    mask_true, mask_pred = random.integers(0, n_classes, (2, *shape), dtype=np.uint8)
    mask_true[random.random(shape) < 0.1] = IGNORE
    mask_true[0, 0] = 0
    return mask_true, mask_pred, n_classes


@given(masks())
@settings(max_examples=30)
def test_counts_and_scores_are_those_of_scikit_learn(case):
    mask_true, mask_pred, n_classes = case
    counted = mask_true != IGNORE
    flat, labels = (mask_true[counted], mask_pred[counted]), range(n_classes)
    np.testing.assert_array_equal(confusion(*case), confusion_matrix(*flat, labels=labels))
    found = scored(*case)
    oracles = {"dice": f1_score, "precision": precision_score, "recall": recall_score}
    for name, oracle in oracles.items():
        expected = oracle(*flat, labels=labels, average=None, zero_division=np.nan)
        np.testing.assert_allclose(found[name], expected)
    expected = jaccard_score(*flat, labels=labels, average=None, zero_division=0)
    np.testing.assert_allclose(found["iou"].fillna(0), expected)


@given(masks(), st.integers(0, 4))
@settings(max_examples=20)
def test_a_prediction_on_ignored_pixels_changes_nothing(case, code):
    mask_true, mask_pred, n_classes = case
    other = np.where(mask_true == IGNORE, code, mask_pred)
    np.testing.assert_array_equal(confusion(*case), confusion(mask_true, other, n_classes))


@given(masks())
@settings(max_examples=20)
def test_counts_of_parts_add_up_to_those_of_the_whole(case):
    mask_true, mask_pred, n_classes = case
    parts = [confusion(mask_true[s], mask_pred[s], n_classes) for s in np.s_[:5, 5:]]
    np.testing.assert_array_equal(sum(parts), confusion(*case))


def test_shifted_squares():
    mask_true, mask_pred = np.zeros((2, 40, 40), np.uint8)
    mask_true[10:20, 10:20] = 1
    mask_pred[13:23, 14:24] = 1
    overlap = 7 * 6
    found = scored(mask_true, mask_pred).loc[1]
    assert found["iou"] == pytest.approx(overlap / (200 - overlap))
    assert found[["dice", "precision", "recall"]].tolist() == pytest.approx([overlap / 100] * 3)


@pytest.mark.parametrize("distance", [0, 60, 150, 250])
def test_shifted_discs(distance):
    """The overlap of two discs is the lens of plane geometry."""
    radius = 100
    rows, columns = np.mgrid[:240, :500]
    discs = [np.hypot(rows - 120, columns - x) <= radius for x in (120, 120 + distance)]
    half = min(distance / (2 * radius), 1)
    lens = 2 * radius**2 * (np.arccos(half) - half * np.sqrt(1 - half**2))
    found = scored(*(disc.astype(np.uint8) for disc in discs)).loc[1, "iou"]
    assert found == pytest.approx(lens / (2 * np.pi * radius**2 - lens), abs=3e-3)


def test_a_class_that_is_nowhere_has_no_score():
    blank = np.zeros((3, 3), np.uint8)
    assert scored(blank, blank).loc[1].isna().all()
    assert scored(blank, blank).loc[0].tolist() == [1, 1, 1, 1]
    missed = scored(blank + 1, blank).loc[1]
    assert missed[["iou", "dice", "recall"]].tolist() == [0, 0, 0]
    assert np.isnan(missed["precision"])


def test_a_mask_without_an_annotated_pixel_counts_nothing():
    nothing = np.full((3, 3), IGNORE, np.uint8)
    assert not class_counts(confusion(nothing, nothing, 2))[COUNTS].any(axis=None)


@pytest.mark.parametrize(
    ("mask_true", "mask_pred"), [((2, 3), (3, 2)), ([[0, 2]], [[0, 0]]), ([[0, 0]], [[0, 2]])]
)
def test_masks_that_do_not_fit_are_refused(mask_true, mask_pred):
    made = [
        np.zeros(mask, np.uint8) if isinstance(mask, tuple) else np.array(mask, np.uint8)
        for mask in (mask_true, mask_pred)
    ]
    with pytest.raises(ValueError, match=r"shape|code 2"):
        confusion(*made, n_classes=2)


@pytest.mark.parametrize("n_groups", [2, 5, 30])
def test_the_interval_is_the_percentile_bootstrap_of_scipy(n_groups):
    values = np.random.default_rng(n_groups).beta(8, 2, n_groups)
    oracle = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    found = bootstrap_interval(values, seed=0)
    np.testing.assert_allclose(found, (oracle.low, oracle.high), atol=0.03 * np.ptp(values))


def test_the_interval_is_that_of_the_seed():
    first, again, other = (bootstrap_interval(np.arange(9.0), seed, 200) for seed in (0, 0, 1))
    assert first == again != other


def test_the_interval_covers_the_mean_about_as_often_as_it_says():
    samples = np.random.default_rng(0).normal(size=(300, 40))
    intervals = [bootstrap_interval(sample, seed=0, draws=300) for sample in samples]
    covered = np.mean([low <= 0 <= high for low, high in intervals])
    assert 0.9 < covered < 0.98


def test_a_smaller_level_is_inside_and_groups_without_a_score_are_left_out():
    values = np.random.default_rng(2).normal(size=20)
    low, high = bootstrap_interval(values, seed=0)
    inner_low, inner_high = bootstrap_interval(values, seed=0, level=0.5)
    assert low < inner_low < inner_high < high
    assert bootstrap_interval(np.append(values, np.nan), seed=0) == (low, high)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, np.nan]])
def test_one_group_has_no_interval(values):
    assert np.isnan(bootstrap_interval(np.array(values, float), seed=0)).all()
