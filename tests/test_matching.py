"""Candidates: micrographs whose landmarks agree meet, whatever crowd they are in."""

import numpy as np
import pandas as pd
import pytest

from tessera import matching
from tessera.landmarks import landmarks
from tessera.matching import candidates

COLUMNS = ["calibrated", "octave", "row", "column", "pose", "code", "doubts", "micrograph"]


def drawn(n_micrographs, each=20, seed=0):
    """Landmarks at random places with random codes."""
    random = np.random.default_rng(seed)
    n = n_micrographs * each
    table = pd.DataFrame(
        {"row": random.integers(0, 1000, n), "column": random.integers(0, 1000, n)}
    )
    table["code"] = random.integers(0, 2**63, n, np.uint64)
    shifts = np.argsort(random.random((n, 32)), axis=1)[:, :4].astype(np.uint64)
    table["doubts"] = (np.uint64(1) << shifts).sum(axis=1, dtype=np.uint64)
    table["micrograph"] = np.repeat(np.arange(n_micrographs), each)
    return table.assign(calibrated=False, octave=np.int8(0), pose=np.uint8(0))[COLUMNS]


def moved(table, micrograph, to, down, right):
    """The landmarks of a micrograph again, in another, moved."""
    copy = table[table["micrograph"] == micrograph]
    return copy.assign(row=copy["row"] + down, column=copy["column"] + right, micrograph=to)


def test_shared_landmarks_make_a_candidate():
    table = drawn(50)
    twin = moved(table, 7, 50, 30, -40).head(5)
    found = candidates(pd.concat([table, twin], ignore_index=True), np.arange(51))
    assert found[["first", "second", "turn", "votes"]].to_numpy().tolist() == [[7, 50, 0, 5]]


def test_doubtful_bits_may_differ_and_few_others():
    table = drawn(30)
    twin = moved(table, 3, 30, 0, 9)
    twin["code"] ^= twin["doubts"] ^ np.uint64(0b111 << 50)
    found = candidates(pd.concat([table, twin], ignore_index=True), np.arange(31))
    assert found[["first", "second"]].to_numpy().tolist() == [[3, 30]]
    twin["code"] ^= np.uint64(0x7FFFC000 << 32)
    assert candidates(pd.concat([table, twin], ignore_index=True), np.arange(31)).empty


def test_places_that_disagree_are_no_candidate():
    table = drawn(30)
    twin = moved(table, 3, 30, 0, 0)
    twin["row"] = np.arange(len(twin)) * 5000
    assert candidates(pd.concat([table, twin], ignore_index=True), np.arange(31)).empty


def test_micrographs_of_a_group_are_no_candidates():
    table = drawn(30)
    table = pd.concat([table, moved(table, 3, 30, 5, 5)], ignore_index=True)
    assert candidates(table, np.array([*"ab" * 15, "b"])).empty
    assert len(candidates(table, np.array([*"ab" * 15, "a"]))) == 1


def test_nothing_has_no_candidates():
    assert candidates(drawn(0), np.array([])).empty
    assert candidates(drawn(1), np.array(["a"])).empty


def test_a_series_of_one_area_meets_its_twin():
    """Thousands of micrographs of one area in one group, and one in another."""
    table = drawn(1, each=30)
    series = [moved(table, 0, i, 0, i % 7) for i in range(300)]
    series.append(moved(table, 0, 300, 50, 60))
    found = candidates(pd.concat(series, ignore_index=True), np.array([*"a" * 300, "b"]))
    assert 1 <= len(found) <= matching.MOST_BETWEEN_GROUPS
    assert set(found["second"]) == {300}
    assert found["votes"].max() == 30


def test_what_everyone_has_is_a_stop_word():
    table = drawn(60)
    stamp = [moved(table, 0, i, 0, 0) for i in range(60)]
    table = pd.concat([table, *stamp], ignore_index=True)
    assert candidates(table, np.arange(60)).empty


@pytest.mark.parametrize("groups", ["each", "one and one", "few"])
@pytest.mark.parametrize("alike", [False, True])
def test_work_does_not_grow_with_the_square(groups, alike, monkeypatch):
    """Counted, not timed: codes compared, for four times as many micrographs."""
    compared = []
    whole = matching.spread
    monkeypatch.setattr(matching, "spread", lambda n: compared.append(n.sum()) or whole(n))
    counts = []
    for n in (100, 400):
        compared.clear()
        table = drawn(n)
        if alike:
            table["code"] = np.uint64(5)
        of = {"each": np.arange(n), "one and one": np.arange(n) == 0, "few": np.arange(n) % 5}
        candidates(table, of[groups])
        counts.append(sum(compared))
    assert counts[1] <= max(5 * counts[0], 100)


def test_lattices_make_few_candidates():
    rows, columns = np.indices((400, 400))
    pages = []
    for seed in range(16):
        random = np.random.default_rng(seed)
        waves = np.cos(rows / 4 + random.random() * 6) + np.cos(columns / 4 + random.random() * 6)
        pages.append(waves + random.normal(0, 0.3, waves.shape))
    tables = [landmarks(page, float("nan")).assign(micrograph=i) for i, page in enumerate(pages)]
    assert len(candidates(pd.concat(tables, ignore_index=True), np.arange(16))) <= 16 * 8
