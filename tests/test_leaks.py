"""Leaks: what would make a validation dishonest is found, and named."""

import pandas as pd
import pytest

from builders import problems_of, texture
from tessera.fingerprints import fingerprint
from tessera.leaks import audited, duplicates, missing_classes

CLASSES = ["background", "particle"]
FOLDS = {"a": "0", "b": "1", "c": "1"}


def micrographs(**folds):
    """Two micrographs a group."""
    return pd.DataFrame(
        {"group": group, "use": "cv" if fold else "test", "fold": fold, "rows": 10, "columns": 20}
        for group, fold in (FOLDS | folds).items()
        for _ in range(2)
    )


def tiles(*rows):
    """A tile a row: group, particle share, used[, use]."""
    made = []
    for group, share, used, *use in rows:
        placed = FOLDS.get(group)
        held = {"group": group, "fold": placed, "use": use[0] if use else "cv", "used": used}
        made.append(held | {"share_0": 1 - share, "share_1": share})
    return pd.DataFrame(made)


def test_the_table_has_one_row_a_group():
    cut = tiles(("a", 0.5, True), ("a", 0, False), ("b", 0.2, True), ("c", 1, True))
    table = audited(micrographs(t=None), cut, CLASSES).set_index("group")
    assert table.index.tolist() == ["a", "b", "c", "t"]
    assert table.loc["a"].to_dict() == {
        "use": "cv", "fold": "0", "micrographs": 2, "pixels": 400, "tiles_used": 1,
        "share_background": 0.75, "share_particle": 0.25,
    }  # fmt: skip
    assert table["fold"].isna().tolist() == [False, False, False, True]


def test_tiles_to_test_on_are_not_used():
    table = audited(micrographs(t=None), tiles(("t", 0.5, True, "test")), CLASSES)
    assert table.set_index("group").loc["t", "tiles_used"] == 0


@pytest.mark.parametrize("other", [{"fold": "1"}, {"fold": None}, {"use": "train"}])
def test_a_group_in_two_folds_is_refused(other):
    rows = micrographs()
    stray = rows[rows["group"] == "a"].tail(1).assign(**other)
    table = pd.concat([rows, stray], ignore_index=True)
    assert problems_of(audited, table, tiles(("a", 0, True)), CLASSES) == [
        ("a", "this group is in two folds, or used in two ways")
    ]


def missing(*rows):
    return [
        (problem.micrograph, problem.what) for problem in missing_classes(tiles(*rows), CLASSES)
    ]


def test_a_class_that_only_the_held_out_fold_shows_is_missing():
    found = missing(("a", 0.5, True), ("b", 0, True), ("c", 0, True))
    assert found == [("fold 0", "no training tile holds the class particle")]


def test_a_class_in_every_training_set_is_not_missing():
    assert missing(("a", 0.5, True), ("b", 0, True), ("c", 0.1, True)) == []


def test_tiles_that_do_not_train_do_not_count():
    rows = [("a", 0.5, True), ("b", 0, True)]
    unused, test = ("c", 0.5, False), ("t", 0.5, True, "test")
    assert [name for name, _ in missing(*rows, unused, test)] == ["fold 0"]
    assert missing(*rows, ("t", 0.5, True, "train")) == []


def test_without_folds_the_training_set_needs_every_class():
    assert missing(("t", 0, True, "train"), ("u", 1, True, "test")) == [
        ("the training set", "no training tile holds the class particle")
    ]
    assert missing(("t", 0.5, True, "train")) == []


def recorded(name, group, page, sha256):
    return {
        "micrograph": name, "group": group, "file": f"{name}.tif",
        "pixels_sha256": sha256, "fingerprint": fingerprint(page),
    }  # fmt: skip


def test_the_same_micrograph_in_two_groups_is_found():
    page = texture(0)
    table = pd.DataFrame(
        [
            recorded("m1", "a", page, "x"),
            recorded("m2", "b", page, "x"),
            recorded("m3", "c", 7 * page + 3, "y"),
            recorded("m4", "d", texture(1), "z"),
            recorded("m5", "a", page, "x"),
        ]
    )
    found = {(p.micrograph, p.what.split(", but")[0]) for p in duplicates(table)}
    near = "is near-identical (0 of 256 bits differ) to"
    assert found == {
        ("m1", "is identical to m2"), ("m2", "is identical to m5"),
        ("m1", f"{near} m3"), ("m2", f"{near} m3"), ("m3", f"{near} m5"),
    }  # fmt: skip


def test_the_same_micrograph_inside_a_group_is_no_leak():
    table = pd.DataFrame([recorded(name, "a", texture(0), "x") for name in ("m1", "m2")])
    assert duplicates(table) == []
