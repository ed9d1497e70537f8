"""Shards: never across groups, and stable as groups grow."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from builders import annotated, expanded
from tessera.shards import assign_shards

SIZE = 64


def cut(ids, group="s1", shard_size=SIZE):
    """Shard name -> ids, of one annotated group."""
    rows = pd.DataFrame({"micrograph": sorted(ids), "group": group, "annotated": True})
    return rows.groupby(assign_shards(rows, shard_size))["micrograph"].agg(frozenset).to_dict()


def large_group(seed, n_ids=5_000):
    return {f"m{i}" for i in np.random.default_rng(seed).choice(10**7, n_ids, replace=False)}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_small_group_is_one_shard_of_its_name(size):
    rows = expanded(annotated(*((f"s{i}", size) for i in range(20))))
    assert assign_shards(rows, shard_size=3).tolist() == rows["group"].tolist()


def test_the_first_shard_of_a_large_group_has_its_name_too():
    assert cut({"m1", "m2", "m3"}, shard_size=1)["s1"] == {"m1"}


def test_unlabelled_rows_have_shards_of_their_own():
    rows = expanded([*annotated(("s1", 2)), *annotated(("s1", 3, {"cohort": "1", "mask": ""}))])
    assert dict(assign_shards(rows, SIZE).value_counts()) == {"s1": 2, "s1+unlabelled": 3}


@pytest.mark.parametrize("shard_size", [1, 7, 64])
def test_no_shard_straddles_a_group_or_mixes_annotated_rows_with_others(shard_size):
    groups = [("a", 150), ("ab", 40), ("b", 9)]
    others = [(*group, {"cohort": "1", "mask": ""}) for group in groups]
    rows = expanded(annotated(*groups, *others))
    by_shard = rows.groupby(assign_shards(rows, shard_size))
    assert (by_shard[["group", "annotated"]].nunique() == 1).all(axis=None)


def test_pieces_are_runs_of_ids_of_about_the_size_asked():
    ids = large_group(0, 40_000)
    pieces = cut(ids)
    assert 0.8 * SIZE < len(ids) / len(pieces) < 1.2 * SIZE
    ranges = sorted((min(piece), max(piece)) for piece in pieces.values())
    assert all(last < first for (_, last), (first, _) in pairwise(ranges))
    assert frozenset.union(*pieces.values()) == ids


@pytest.mark.parametrize("seed", range(3))
def test_one_id_more_changes_one_shard_or_cuts_it_in_two(seed):
    ids = large_group(seed)
    before = cut(ids)
    random = np.random.default_rng(seed)
    for new in (f"m{number}" for number in random.choice(10**7, 10)):
        after = cut(ids | {new})
        changed = {name for name in before if before[name] != after[name]}
        added = set(after) - set(before)
        assert len(changed) == 1
        assert len(added) <= 1
        (name,) = changed
        assert frozenset.union(*(after[part] for part in changed | added)) == before[name] | {new}


@pytest.mark.parametrize("seed", range(3))
def test_one_id_less_changes_one_shard_or_joins_two(seed):
    ids = large_group(seed)
    before = cut(ids)
    for old in sorted(ids)[:: 500 + seed]:
        after = cut(ids - {old})
        lost = set(before) - set(after)
        changed = {name for name in after if after[name] != before[name]}
        assert len(lost) <= 1
        assert len(changed | lost) <= 2
        touched = changed | lost
        joined = frozenset().union(*(after[name] for name in changed))
        assert joined == frozenset.union(*(before[name] for name in touched)) - {old}


def test_the_same_ids_are_cut_alike_whatever_group_they_are_in():
    ids = large_group(1)
    assert set(cut(ids, "a").values()) == set(cut(ids, "b").values())
