"""What would make a validation dishonest, looked for before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tessera.fingerprints import near_pairs
from tessera.matching import candidates
from tessera.overlaps import Overlap, overlap
from tessera.problems import Problem, raise_if
from tessera.tiles import share_names

FOLDS = "results/folds.tsv"
PICTURES = "results/leaks"

IDENTICAL, NEAR, OVERLAP = "identical", "near-identical", "overlap"
TURNS = (
    "",
    "mirrored left to right",
    "mirrored top to bottom",
    "turned by 180°",
    "mirrored along the diagonal",
    "turned by 90° clockwise",
    "turned by 90° anticlockwise",
    "mirrored along the other diagonal",
)
"""In words, what pose the second of a pair has to take."""

WHOLE = (0.0, 1.0, 0.0, 1.0)


@dataclass(frozen=True)
class Pair:
    """Two micrographs of different groups that show, wholly or partly, the same.

    Parameters
    ----------
    first, second : int
        Positions in the table of micrographs.
    kind : str
        `IDENTICAL`, `NEAR` or `OVERLAP`.
    lie : Overlap
    bits : int
        In which the fingerprints differ, of near-identical ones.
    """

    first: int
    second: int
    kind: str
    lie: Overlap
    bits: int = 0


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


def duplicates(micrographs: pd.DataFrame) -> list[Pair]:
    """Pairs of identical or near-identical micrographs in different groups.

    Parameters
    ----------
    micrographs : DataFrame
        With group, pixels_sha256 and fingerprint.

    Returns
    -------
    list of Pair
        Of several that are identical each in another group than the first is paired with the
        first, and the first alone is compared with others: whoever puts all that is named into one
        group has mended what is not named too.
    """
    groups, fingerprints = micrographs["group"].tolist(), micrographs["fingerprint"].tolist()
    first: dict[str, int] = {}
    exact = [
        (first[sha256], i, 0)
        for i, sha256 in enumerate(micrographs["pixels_sha256"])
        if first.setdefault(sha256, i) != i and groups[first[sha256]] != groups[i]
    ]
    alone = list(first.values())
    near = near_pairs([fingerprints[i] for i in alone], [groups[i] for i in alone])
    near = [(alone[i], alone[j], bits) for i, j, bits in near]
    return [
        Pair(i, j, kind, Overlap(0, 0.0, 0.0, WHOLE, WHOLE, 1.0, 1.0), bits)
        for kind, found in ((IDENTICAL, exact), (NEAR, near))
        for i, j, bits in found
    ]


def overlaps(
    micrographs: pd.DataFrame,
    landmarks: pd.DataFrame,
    page_of: Callable[[int], tuple[np.ndarray, float]],
    known: Iterable[Pair] = (),
) -> Iterator[Pair]:
    """Pairs of micrographs in different groups that show partly the same area.

    Parameters
    ----------
    micrographs : DataFrame
        With group and pixel_size_nm.
    landmarks : DataFrame
        As `landmarks.landmarks` gives them, with `micrograph`, a position in `micrographs`.
    page_of : callable
        The page of a micrograph, and how many of the micrograph's pixels one of its own spans.
    known : iterable of Pair
        What needs not be found again.
    """
    passed = {(pair.first, pair.second) for pair in known}
    sizes_nm = micrographs["pixel_size_nm"].to_numpy(float)
    found = candidates(useful(landmarks, sizes_nm), micrographs["group"].to_numpy())
    for row in found.sort_values(["first", "second"]).itertuples():
        if (row.first, row.second) in passed:
            continue
        pair = [int(row.first), int(row.second)]
        pages, spans = zip(*map(page_of, pair), strict=True)
        units = sizes_nm[pair] if row.calibrated else np.ones(2)
        first_px, second_px = units * spans
        lie = overlap(*pages, (first_px, second_px), int(row.turn))
        if lie is not None:
            in_px = replace(lie, top=lie.top * spans[0], left=lie.left * spans[0])
            yield Pair(*pair, OVERLAP, in_px)


def useful(landmarks: pd.DataFrame, sizes_nm: np.ndarray) -> pd.DataFrame:
    """Without the grids of nanometres, where all known pixel sizes are the same."""
    known = sizes_nm[np.isfinite(sizes_nm)]
    is_needed = known.size > 0 and not np.allclose(known, known[0], rtol=1e-3)
    return landmarks if is_needed else landmarks[~landmarks["calibrated"]]


def table_of(pairs: Sequence[Pair], micrographs: pd.DataFrame) -> pd.DataFrame:
    """One row a pair: names, groups and files of both, what they share, how they lie, picture."""
    rows = micrographs[["micrograph", "group", "file"]].to_dict("records")
    columns = [*(f"{which}{of}" for which in ("first", "second") for of in ("", "_group", "_file"))]
    columns += ["kind", "shared_percent", "down_px", "right_px", "turn", "correlation", "bits"]
    columns += ["picture"]
    table = []
    for pair in pairs:
        first, second = rows[pair.first], rows[pair.second]
        cells = [row[of] for row in (first, second) for of in ("micrograph", "group", "file")]
        lie = pair.lie
        cells += [pair.kind, round(100 * lie.share, 1), round(lie.top, 1), round(lie.left, 1)]
        cells += [TURNS[lie.turn], round(lie.correlation, 3), pair.bits]
        picture = picture_of(first["micrograph"], second["micrograph"])
        table.append([*cells, f"{PICTURES}/{picture}"])
    return pd.DataFrame(table, columns=columns)


def picture_of(first: str, second: str) -> str:
    """Name of the picture of a pair of micrographs."""
    return f"{first}--{second}.png"


def problems_of(table: pd.DataFrame, allowed: Collection[str]) -> list[Problem]:
    """Pairs as `table_of` has them whose setting is not `allowed`: duplicates, overlaps."""
    found = []
    for row in table.to_dict("records"):
        setting = "overlaps" if row["kind"] == OVERLAP else "duplicates"
        if setting not in allowed:
            found.append(Problem(row["first"], row["first_file"], described(row, setting)))
    return found


def described(row: Mapping[str, Any], setting: str) -> str:
    """What is wrong with a pair, in words."""
    second = f"{row['second']} ({row['second_file']})"
    if row["kind"] == OVERLAP:
        turn = f", {row['turn']}" if row["turn"] else ""
        what = f"shows {row['shared_percent']:.0f} % of the same area as {second}, which lies "
        what += f"{row['down_px']:+.0f} px down and {row['right_px']:+.0f} px right of it{turn}"
    elif row["kind"] == NEAR:
        what = f"is near-identical ({row['bits']} of 256 bits differ) to {second}"
    else:
        what = f"is identical to {second}"
    what += f", but they are in the groups {row['first_group']} and {row['second_group']}; see "
    what += f"{row['picture']}; give them one group (or accept it: split: {{{setting}: allow}})"
    return what
