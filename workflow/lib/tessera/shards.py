"""Shards: the micrographs that one job handles.

A shard never straddles a group and never mixes annotated rows with others. Small groups are one
shard; large ones are cut where the hash of an id says so, so that a row more or less changes one
shard and leaves the others as they are, names included.
"""

from __future__ import annotations

import hashlib
from collections import Counter

import pandas as pd

UNLABELLED = "+unlabelled"
"""Marks the shards of rows without a mask; a `+` cannot stand in a group's name."""


def assign_shards(rows: pd.DataFrame, shard_size: int) -> pd.Series:
    """The shard of every row.

    Parameters
    ----------
    rows : DataFrame
        With micrograph, group and annotated, sorted by micrograph.
    shard_size : int
        Up to this many micrographs a group is one shard; beyond, about this many make one.

    Returns
    -------
    Series of str, indexed like `rows`
        `{group}`, or `{group}+unlabelled`, for the first shard, with `+{hash}` of the id before it
        for each further one.
    """
    base = rows["group"].where(rows["annotated"], rows["group"] + UNLABELLED).tolist()
    sizes = Counter(base)
    cut = dict.fromkeys(sizes, "")  # what the cut before adds to the name
    shards = []
    for name, micrograph in zip(base, rows["micrograph"], strict=True):
        shards.append(name + cut[name])
        if sizes[name] > shard_size:
            of_id = hashlib.sha256(micrograph.encode()).hexdigest()
            if int(of_id, 16) % shard_size == 0:
                cut[name] = f"+{of_id[:8]}"
    return pd.Series(shards, rows.index, dtype=object, name="shard")
