"""Shards: the micrographs that one job handles.

A shard never straddles a group and never mixes annotated rows with others. Small groups are one
shard; large ones are cut where the hash of an id says so, so that a row more or less changes one
shard and leaves the others as they are, names included.
"""

from __future__ import annotations

import hashlib

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
    base = rows["group"].where(rows["annotated"], rows["group"] + UNLABELLED)
    large = base.map(base.value_counts()) > shard_size
    shards = base.copy()
    for name, ids in rows.loc[large, "micrograph"].groupby(base[large], sort=False):
        shards.loc[ids.index] = name + _suffixes(ids, shard_size)
    return shards.rename("shard")


def _suffixes(ids: pd.Series, shard_size: int) -> pd.Series:
    """What each id adds to the name: the hash of the cut before it, nothing before the first."""
    hashes = [hashlib.sha256(micrograph.encode()).hexdigest() for micrograph in ids]
    cuts = pd.Series(
        [f"+{h[:8]}" if int(h, 16) % shard_size == 0 else None for h in hashes],
        ids.index,
        dtype=object,
    )
    return cuts.shift().ffill().fillna("")
