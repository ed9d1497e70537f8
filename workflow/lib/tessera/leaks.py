"""What would make a validation dishonest, looked for before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from tessera.fingerprints import near_pairs
from tessera.problems import Problem, raise_if
from tessera.tiles import share_names

FOLDS = "results/folds.tsv"


def audited(micrographs: pd.DataFrame, tiles: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The table of folds, made from what the steps before have really read.

    Parameters
    ----------
    micrographs : DataFrame
        One row a micrograph, with shard, group, use, fold, rows, columns.
    tiles : DataFrame
        One row a tile, with group and the share of each class.
    classes : sequence of str

    Returns
    -------
    DataFrame
        One row a group, by fold and name: group, use, fold (empty where nothing is held out),
        micrographs, pixels, tiles used, and the mean share of each class.

    Raises
    ------
    BadInput
        If a group is in two folds, or used in two ways.
    """
    by_group = micrographs.groupby("group")
    straddling = by_group[["use", "fold"]].nunique(dropna=False).max(axis=1) > 1
    raise_if(
        Problem(group, FOLDS, "this group is in two folds, or used in two ways")
        for group in by_group.groups
        if straddling[group]
    )
    table = by_group[["use", "fold"]].first()
    table["micrographs"] = by_group.size()
    table["pixels"] = (
        (micrographs["rows"] * micrographs["columns"]).groupby(micrographs["group"]).sum()
    )
    learnt = tiles["used"] & (tiles["use"] != "test")
    table["tiles_used"] = learnt.groupby(tiles["group"]).sum()
    shares = tiles.groupby("group")[share_names(len(classes))].mean().round(6)
    table = table.join(shares.set_axis([f"share_{name}" for name in classes], axis=1))
    order = table.assign(number=pd.to_numeric(table["fold"]), name=table.index)
    return table.loc[order.sort_values(["use", "number", "name"]).index].reset_index()


def missing_classes(tiles: pd.DataFrame, classes: Sequence[str]) -> Iterator[Problem]:
    """The classes that the networks of a fold would never see in training."""
    learnt = tiles[tiles["used"] & (tiles["use"] != "test")]
    for fold in sorted(set(learnt["fold"].dropna())) or [None]:
        shares = learnt.loc[learnt["fold"] != fold, share_names(len(classes))].sum()
        name = f"fold {fold}" if fold is not None else "the training set"
        for code, total in enumerate(shares):
            if total == 0:
                what = f"no training tile holds the class {classes[code]}"
                yield Problem(name, FOLDS, what)


def duplicates(micrographs: pd.DataFrame) -> list[Problem]:
    """Pairs of identical or near-identical micrographs in different groups.

    Parameters
    ----------
    micrographs : DataFrame
        With micrograph, group, file, pixels_sha256 and fingerprint.
    """
    rows = micrographs.to_dict("records")
    pairs = [
        (rows[i], rows[j], bits)
        for i, j, bits in near_pairs(micrographs["fingerprint"].tolist())
        if rows[i]["group"] != rows[j]["group"]
    ]
    return [_duplicate(first, second, bits) for first, second, bits in pairs]


def _duplicate(first: dict, second: dict, bits: int) -> Problem:
    same = first["pixels_sha256"] == second["pixels_sha256"]
    how = "identical to" if same else f"near-identical ({bits} of 256 bits differ) to"
    what = f"is {how} {second['micrograph']}, but they are in the groups {first['group']} and "
    what += f"{second['group']}; give them one group (or accept it: split: {{duplicates: allow}})"
    return Problem(first["micrograph"], first["file"], what)
