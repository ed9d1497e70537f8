"""Folds: scikit-learn's for the first cohort, and nothing that was placed ever moves."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from builders import SHEET, annotated, expanded, problems_of
from tessera.folds import LEAVE_ONE_OUT, PREDEFINED, assign_folds, moved

GROUP_K_FOLD = "group-k-fold"


def folds_of(cells, method=GROUP_K_FOLD, n_folds=3):
    return assign_folds(expanded(cells), method, n_folds, SHEET)


def placed(cells, method=GROUP_K_FOLD, n_folds=3):
    """Group -> fold."""
    return folds_of(cells, method, n_folds)["fold"].to_dict()


def partition(folds):
    """The sets of groups held out together, whatever the number of their fold."""
    return {frozenset(g for g in folds if folds[g] == fold) for fold in set(folds.values())}


def by_scikit_learn(splitter, groups, labels=None):
    parts = splitter.split(groups, labels, groups)
    return {frozenset(np.asarray(groups)[held_out]) for _, held_out in parts}


sizes = st.lists(st.integers(1, 9), min_size=3, max_size=12)


@given(sizes, st.integers(2, 3))
@settings(max_examples=10)
def test_the_first_cohort_is_split_as_by_group_k_fold(sizes, n_folds):
    cells = annotated(*((f"s{i:02}", size) for i, size in enumerate(sizes)))
    groups = [row["group"] for row in cells]
    expected = by_scikit_learn(GroupKFold(n_folds), groups)
    assert partition(placed(cells, n_folds=n_folds)) == expected


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_spread_as_by_stratified_group_k_fold(seed):
    random = np.random.default_rng(seed)
    groups = [(f"s{i:02}", int(random.integers(1, 6))) for i in range(12)]
    cells = annotated(*groups)
    for row in cells:
        row["label"] = str(random.choice(["grains", "particles"]))
    names, labels = ([row[key] for row in cells] for key in ("group", "label"))
    expected = by_scikit_learn(StratifiedGroupKFold(3), names, labels)
    assert partition(placed(cells)) == expected
    del cells[0]["label"]
    assert partition(placed(cells)) == by_scikit_learn(GroupKFold(3), names)


def test_labels_rarer_than_folds_are_bad_input():
    cells = annotated(*((f"s{i}", 1, {"label": f"label {i}"}) for i in range(4)))
    ((name, what),) = problems_of(folds_of, cells)
    assert name == "split"
    assert "labels" in what


FIRST = (("a", 5), ("b", 4), ("c", 3), ("d", 3), ("e", 1))


def test_later_groups_go_largest_first_to_the_lightest_fold_and_move_nothing():
    before = folds_of(annotated(*FIRST))
    late = [("f", 2), ("g", 7), ("h", 4)]
    later = [(*group, {"cohort": "1"}) for group in late]
    after = placed(annotated(*FIRST, *later, ("i", 9, {"cohort": "2"})))
    assert {group: after[group] for group in before.index} == before["fold"].to_dict()
    weights = before.groupby("fold")["micrographs"].sum()
    for group, size in (("g", 7), ("h", 4), ("f", 2), ("i", 9)):
        assert after[group] == weights.idxmin()
        weights[after[group]] += size


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 3)), max_size=6))
@settings(max_examples=10)
def test_a_later_delivery_moves_no_group(delivery):
    """Whatever arrives later, for old groups or new ones."""
    later = [(name, size, {"cohort": "1"}) for name, size in dict(delivery).items()]
    before, after = placed(annotated(*FIRST)), placed(annotated(*FIRST, *later))
    assert {group: after[group] for group in before} == before


def test_later_rows_of_an_old_group_weigh_nothing():
    new = [(f"n{i}", 2, {"cohort": "1"}) for i in range(5)]
    expected = placed(annotated(*FIRST, *new))
    for name, _ in FIRST:
        assert placed(annotated(*FIRST, *new, (name, 40, {"cohort": "1"}))) == expected


def test_rows_that_are_not_cross_validated_place_nothing():
    others = [("x", 9, {"use": "train"}), ("y", 9, {"use": "test"}), ("z", 9, {"mask": ""})]
    assert placed(annotated(*FIRST, *others)) == placed(annotated(*FIRST))
    assert folds_of(annotated(*others)).empty


@given(st.permutations(range(sum(size for _, size in FIRST))))
@settings(max_examples=10)
def test_the_order_of_rows_does_not_matter(order):
    cells = annotated(*FIRST)
    assert placed([cells[i] for i in order]) == placed(cells)


def test_pins_are_honoured_and_the_rest_fills_up():
    pinned = [("a", 5, {"fold": "2"}), ("e", 1, {"fold": "2"})]
    folds = folds_of(annotated(*pinned, ("b", 4), ("c", 3), ("d", 3)))
    assert folds["fold"].to_dict() == {"a": 2, "e": 2, "b": 0, "c": 1, "d": 1}
    assert folds.index[folds["pinned"]].tolist() == ["a", "e"]


def test_a_pin_of_a_later_cohort_leaves_the_first_alone():
    late = ("z", 50, {"cohort": "1", "fold": "1"})
    assert placed(annotated(*FIRST, late)) == placed(annotated(*FIRST)) | {"z": 1}


def test_leave_one_group_out():
    folds = placed(annotated(*FIRST), LEAVE_ONE_OUT)
    assert sorted(folds.values()) == [0, 1, 2, 3, 4]
    more = placed(annotated(*FIRST, ("0", 9, {"cohort": "1"})), LEAVE_ONE_OUT)
    assert more == folds | {"0": 5}
    pinned = placed(annotated(("a", 1), ("b", 1, {"fold": "0"}), ("c", 1)), LEAVE_ONE_OUT)
    assert pinned == {"b": 0, "a": 1, "c": 2}


def test_predefined():
    pins = {"a": 0, "b": 1, "c": 2, "d": 0}
    cells = annotated(*((name, 2, {"fold": str(fold)}) for name, fold in pins.items()))
    assert placed(cells, PREDEFINED) == pins


@pytest.mark.parametrize(
    ("cells", "method", "name", "what"),
    [
        (annotated(("a", 9), ("b", 9)), GROUP_K_FOLD, "split", "3 folds, but only 2 groups"),
        (annotated(("a", 9)), LEAVE_ONE_OUT, "split", "only the group a"),
        (annotated(*FIRST, ("x", 1, {"fold": "3"})), GROUP_K_FOLD, "x", "folds are 0 to 2"),
        (annotated(*FIRST, ("x", 1, {"fold": "0"})), PREDEFINED, "a", "needs a fold"),
        (
            annotated(*((name, 1, {"fold": "02"[i]}) for i, name in enumerate("ab"))),
            PREDEFINED, "fold 1", "no group is in this fold",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_split_is_bad_input(cells, method, name, what):
    problems = problems_of(folds_of, cells, method)
    assert any(who == name and what in why for who, why in problems)


def test_every_missing_pin_is_told_at_once():
    problems = problems_of(folds_of, annotated(*FIRST, ("x", 1, {"fold": "0"})), PREDEFINED)
    assert [name for name, _ in problems] == [name for name, _ in FIRST]


def test_moved_names_the_groups_that_would_move():
    folds = folds_of(annotated(*FIRST))
    assert moved(folds["fold"], folds) == []
    new = int(folds.loc["a", "fold"])
    old = pd.Series({**folds["fold"].drop("e"), "a": (new + 1) % 3, "gone": 0})
    assert moved(old, folds) == [("a", f"from fold {old['a']} to fold {new}")]
