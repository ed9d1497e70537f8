"""Joins of sorted keys: the same as one entry after the other."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tessera.joining import ranks, spread


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=30))
def test_ranks_count_those_before(pairs):
    seen, expected = Counter(), []
    for pair in sorted(pairs):
        expected.append(seen[pair])
        seen[pair] += 1
    keys = np.array(sorted(pairs), int).reshape(-1, 2).T
    assert ranks(*keys).tolist() == expected


@given(st.lists(st.integers(0, 4), max_size=20))
def test_spread_counts_up_for_each(counts):
    who, which = spread(np.array(counts, int))
    expected = [(i, k) for i, count in enumerate(counts) for k in range(count)]
    assert list(zip(who.tolist(), which.tolist(), strict=True)) == expected
