"""Folds: which groups are held out together, decided by the sheet alone and stable as it grows.

The first cohort is split by scikit-learn; groups that join later go one by one to the lightest
fold, and nothing that was placed moves. A `fold` in the sheet pins its group.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from tessera.problems import BadInput, Problem, raise_if
from tessera.sheets import NO_FOLD

LEAVE_ONE_OUT = "leave-one-group-out"
PREDEFINED = "predefined"


def assign_folds(rows: pd.DataFrame, method: str, n_folds: int, sheet: str) -> pd.DataFrame:
    """Place every annotated, cross-validated group in a fold.

    Parameters
    ----------
    rows : DataFrame
        One row a micrograph, with group, cohort, fold, use, label, annotated.
    method : {'group-k-fold', 'leave-one-group-out', 'predefined'}
    n_folds : int
        Number of folds for 'group-k-fold'; the other methods find it in the rows.
    sheet : str
        Path of the sheet, for errors.

    Returns
    -------
    DataFrame, indexed by group
        fold, cohort (in which the group first appears), micrographs (of that cohort), pinned. Empty
        where nothing is cross-validated.

    Raises
    ------
    BadInput
        If there are fewer groups than folds, a pin names no fold, a group lacks a needed pin, or a
        fold is left empty, or every label is rarer than there are folds.
    """
    cv = rows[rows["annotated"] & (rows["use"] == "cv")]
    groups = _groups(cv)
    if groups.empty:
        return groups
    n_folds = _number_of_folds(groups, method, n_folds)
    raise_if(_faults(groups, method, n_folds, sheet))
    first = groups["cohort"] == groups["cohort"].min()
    if method == LEAVE_ONE_OUT:
        groups.loc[_unpinned_by_name(groups), "fold"] = _free(groups)
    elif not groups.loc[first, "pinned"].any():
        try:
            groups.loc[first, "fold"] = _split(cv[cv["group"].isin(groups.index[first])], n_folds)
        except ValueError as error:
            what = f"the labels cannot be spread over {n_folds} folds: {error}"
            raise BadInput([Problem("split", sheet, what)]) from error
    _place_lightest(groups, n_folds)
    raise_if(_empty_folds(groups, n_folds, sheet))
    return groups


def _groups(cv: pd.DataFrame) -> pd.DataFrame:
    """Each group with its first cohort, its size then, and its pin; in order of arrival."""
    cohort = cv.groupby("group")["cohort"].min()
    early = cv[cv["cohort"] == cv["group"].map(cohort)]
    groups = pd.DataFrame(
        {
            "fold": cv.groupby("group")["fold"].max(),
            "cohort": cohort,
            "micrographs": early.groupby("group").size(),
        }
    )
    groups["pinned"] = groups["fold"] != NO_FOLD
    order = {"cohort": groups["cohort"], "size": -groups["micrographs"], "group": groups.index}
    return groups.iloc[np.lexsort([order["group"], order["size"], order["cohort"]])]


def _number_of_folds(groups: pd.DataFrame, method: str, n_folds: int) -> int:
    if method == LEAVE_ONE_OUT:
        return len(groups)
    return int(groups["fold"].max()) + 1 if method == PREDEFINED else n_folds


def _faults(groups: pd.DataFrame, method: str, n_folds: int, sheet: str) -> Iterator[Problem]:
    for group, fold in groups["fold"].items():
        if method == PREDEFINED and fold == NO_FOLD:
            yield Problem(group, sheet, "`split: {method: predefined}` needs a fold for this group")
        if fold >= n_folds:
            yield Problem(group, sheet, f"pinned to fold {fold}, but folds are 0 to {n_folds - 1}")
    first = groups["cohort"] == groups["cohort"].min()
    available = len(groups) if groups.loc[first, "pinned"].any() else first.sum()
    if method == "group-k-fold" and available < n_folds:
        what = f"{n_folds} folds, but only {available} groups to cross-validate in the first cohort"
        yield Problem("split", sheet, what)
    if len(groups) < 2:
        what = f"only the group {groups.index[0]} to cross-validate; it takes at least two"
        yield Problem("split", sheet, what)


def _split(cv: pd.DataFrame, n_folds: int) -> pd.Series:
    """Fold of each group, by scikit-learn; stratified where every row carries a label."""
    # Here and not above: the import costs every cluster job a second, and few have to split.
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    first = cv[cv["cohort"] == cv["cohort"].min()].sort_values(["group", "micrograph"])
    labelled = (first["label"] != "").all()
    splitter = StratifiedGroupKFold(n_folds) if labelled else GroupKFold(n_folds)
    folds = {}
    parts = splitter.split(first, first["label"], first["group"])
    for fold, (_, held_out) in enumerate(parts):
        folds |= dict.fromkeys(first["group"].iloc[held_out], fold)
    return pd.Series(folds)


def _unpinned_by_name(groups: pd.DataFrame) -> pd.Index:
    """Groups without a pin by cohort and name: sizes may grow, and must not reorder them."""
    unpinned = groups[~groups["pinned"]]
    return unpinned.index[np.lexsort([unpinned.index, unpinned["cohort"]])]


def _free(groups: pd.DataFrame) -> list[int]:
    """Fold numbers that no pin has taken, one for each group without."""
    taken = set(groups["fold"])
    free = [fold for fold in range(len(groups)) if fold not in taken]
    return free[: int((~groups["pinned"]).sum())]


def _place_lightest(groups: pd.DataFrame, n_folds: int) -> None:
    """Give each group without a fold, in order of arrival, the lightest one."""
    placed = groups[groups["fold"] != NO_FOLD]
    weights = placed.groupby("fold")["micrographs"].sum().reindex(range(n_folds), fill_value=0)
    weights = weights.to_numpy().copy()
    for group in groups.index[groups["fold"] == NO_FOLD]:
        fold = int(np.argmin(weights))
        groups.loc[group, "fold"] = fold
        weights[fold] += groups.loc[group, "micrographs"]


def _empty_folds(groups: pd.DataFrame, n_folds: int, sheet: str) -> Iterator[Problem]:
    for fold in sorted(set(range(n_folds)) - set(groups["fold"])):
        yield Problem(f"fold {fold}", sheet, "no group is in this fold")


def moved(placed: pd.Series, folds: pd.DataFrame) -> list[tuple[str, str]]:
    """What a new assignment would do to groups that an earlier one has placed.

    Parameters
    ----------
    placed : Series
        Fold of each group in the earlier table.
    folds : DataFrame
        The new assignment, as `assign_folds` gives it.

    Returns
    -------
    list of (group, move)
        The move in words, from the fold it has to the one it would get. Groups that have left the
        sheet, and new ones, do not move.
    """
    both = placed.index.intersection(folds.index)
    pairs = ((group, placed[group], folds.loc[group, "fold"]) for group in both)
    return [(group, f"from fold {old} to fold {new}") for group, old, new in pairs if old != new]
