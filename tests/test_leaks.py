"""Leaks: what would make a validation dishonest is found, and named."""

import numpy as np
import pandas as pd
import pytest
from skimage.transform import resize

import builders
from builders import texture
from tessera.fingerprints import fingerprint
from tessera.landmarks import landmarks
from tessera.leaks import (
    audited,
    duplicates,
    missing_classes,
    overlaps,
    problems_of,
    table_of,
    useful,
)

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
    assert builders.problems_of(audited, table, tiles(("a", 0, True)), CLASSES) == [
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
    told = problems_of(table_of(duplicates(table), table), ())
    assert [(p.micrograph, p.path, p.what.split(", but")[0]) for p in told] == [
        ("m1", "m1.tif", "is identical to m2 (m2.tif)"),
        ("m1", "m1.tif", "is near-identical (0 of 256 bits differ) to m3 (m3.tif)"),
    ]
    assert "groups a and b; see results/leaks/m1--m2.png" in told[0].what
    assert problems_of(table_of(duplicates(table), table), ["duplicates"]) == []


def test_the_same_micrograph_inside_a_group_is_no_leak():
    table = pd.DataFrame([recorded(name, "a", texture(0), "x") for name in ("m1", "m2")])
    assert duplicates(table) == []


def noisy(page, seed):
    """The same area recorded again: other noise, another contrast."""
    return 100 + 20 * (page + np.random.default_rng(seed).normal(0, 0.4, page.shape))


def found_in(pages, groups, sizes_nm=None):
    """Rows of the table of overlaps among pages."""
    sizes_nm = sizes_nm or [float("nan")] * len(pages)
    known = [landmarks(page, size) for page, size in zip(pages, sizes_nm, strict=True)]
    marks = pd.concat([table.assign(micrograph=i) for i, table in enumerate(known)])
    table = pd.DataFrame({"micrograph": [f"m{i}" for i in range(len(pages))], "group": groups})
    table = table.assign(file=table["micrograph"] + ".tif", pixel_size_nm=sizes_nm)
    pairs = list(overlaps(table, marks, lambda i: (pages[i], 1.0)))
    return table_of(pairs, table)


def test_an_area_in_two_groups_is_found_and_told():
    area = texture(5, (700, 900), 4)
    pages = [
        noisy(area[:400, :500], 1),
        noisy(area[150:550, 200:700], 2),
        texture(6, (400, 500), 4),
    ]
    (row,) = found_in(pages, ["a", "b", "c"]).to_dict("records")
    assert (row["first"], row["second"], row["kind"]) == ("m0", "m1", "overlap")
    assert row["shared_percent"] == pytest.approx(100 * 250 * 300 / 200_000, abs=1)
    assert (row["down_px"], row["right_px"]) == pytest.approx((150, 200), abs=2)
    (told,) = problems_of(pd.DataFrame([row]), ["duplicates"])
    assert "of the same area as m1 (m1.tif)" in told.what
    assert "groups a and b; see results/leaks/m0--m1.png" in told.what
    assert "overlaps: allow" in told.what
    assert found_in(pages, ["a", "a", "c"]).empty


def test_turned_and_mirrored_areas_are_found():
    area = texture(5, (700, 700), 4)
    first = noisy(area[:450, :450], 1)
    for change, said in [
        (np.rot90, "turned by 90° clockwise"),
        (np.flipud, "mirrored top to bottom"),
    ]:
        second = np.ascontiguousarray(change(noisy(area[200:650, 100:550], 2)))
        (row,) = found_in([first, second], ["a", "b"]).to_dict("records")
        assert row["turn"] == said
        assert (row["down_px"], row["right_px"]) == pytest.approx((200, 100), abs=2)


def test_pixel_sizes_relate_micrographs_of_different_scale():
    area = texture(5, (800, 800), 5)
    second = resize(area[150:650, 200:700], (250, 250), anti_aliasing=True)
    pages, sizes = [noisy(area[:500, :500], 1), noisy(second, 2)], [1.5, 3.0]
    (row,) = found_in(pages, ["a", "b"], sizes).to_dict("records")
    assert (row["down_px"], row["right_px"]) == pytest.approx((150, 200), abs=4)


def test_grids_of_nanometres_are_used_where_pixel_sizes_differ():
    table = landmarks(texture(0), 0.5)
    assert not useful(table, np.array([0.5, np.nan, 0.5]))["calibrated"].any()
    assert useful(table, np.array([0.5, 0.7]))["calibrated"].any()


def test_what_is_known_is_not_found_again():
    area = texture(5, (400, 400), 4)
    pages = [noisy(area, 1), noisy(area, 2)]
    known = [
        recorded(name, group, page, name)
        for name, group, page in zip("mn", "ab", pages, strict=True)
    ]
    table = pd.DataFrame(known).assign(pixel_size_nm=float("nan"))
    marks = pd.concat([landmarks(page, float("nan")).assign(micrograph=i)
                       for i, page in enumerate(pages)])  # fmt: skip
    found = duplicates(table)
    assert len(found) == 1
    assert list(overlaps(table, marks, lambda i: (pages[i], 1.0), found)) == []
    assert len(list(overlaps(table, marks, lambda i: (pages[i], 1.0)))) == 1
