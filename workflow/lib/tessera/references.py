"""References: the micrographs whose grey levels fix the scale of their group.

With `normalise: {by: group}` all micrographs of a group have one scale, whatever shards they are
in. It is that of the group's annotated micrographs, or of all where none is, and of these of the
first cohort that has any. So neither what joins later nor an unlabelled micrograph beside annotated
ones moves a scale; and since a group is in one fold, none depends on what is held out elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tessera.methods import GROUP, Z_SCORE

MOST = 64
"""The first by their ids, of more: each shard of a group reads them."""


def references(
    rows: pd.DataFrame, positions: Mapping[str, Sequence[int]], settings: Mapping[str, Any]
) -> dict[str, dict[str, list[str]]]:
    """The references of each group, by their shards; none where every micrograph has its own scale.

    Parameters
    ----------
    rows : DataFrame
        micrograph, group, annotated, cohort.
    positions : mapping
        Of the rows of each shard, by its name.
    settings : mapping
        The config of `normalise`.
    """
    if settings["by"] != GROUP or settings["method"] != Z_SCORE:
        return {}
    shards = {row: shard for shard, of in positions.items() for row in of}
    table = rows[["group", "micrograph", "cohort"]].assign(
        rest=~rows["annotated"], shard=[shards[row] for row in range(len(rows))]
    )
    table = table.sort_values(["group", "rest", "cohort", "micrograph"])
    first = table.groupby("group")[["rest", "cohort"]].transform("first")
    table = table[(table[["rest", "cohort"]] == first).all(axis=1)]
    table = table[table.groupby("group").cumcount() < MOST]
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for group, shard, name in table[["group", "shard", "micrograph"]].itertuples(index=False):
        found[group][shard].append(name)
    return {group: dict(of) for group, of in found.items()}
