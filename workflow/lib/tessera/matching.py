"""Micrographs that may show the same area, from their landmarks, without comparing every pair.

Landmarks with the same key meet in a table, as words do in an index. What nearly everyone has, such
as the cells of a lattice, says nothing and is left out, as the stop words of a search engine are.
Of a landmark's like in another group only the first are kept. So time and memory are those of
sorting all landmarks, whatever the micrographs show.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from tessera.joining import ranks, spread
from tessera.landmarks import DOUBTS, KEY_BITS, POSES, matrices

MOST_GROUPS = 12
"""What more groups have is a stop word."""
MOST_OF_GROUP = 2
"""The like of a landmark in another group, those in its first micrographs: so the votes of a group
of thousands of micrographs of one area gather on a few."""
NEAR_BITS = 16
"""Codes that differ in more of their 63 bits are of different places; by chance 31 differ."""
LEAST_VOTES = 2
BIN_CELLS = 12
"""Landmarks vote for one offset if they differ by less than this, on their grid."""
MOST_PARTNERS = 8
"""Of a micrograph, the pairs with the most votes."""
MOST_BETWEEN_GROUPS = 32
CHUNK = 1 << 16
COLUMNS = ["first", "second", "calibrated", "turn", "votes"]


def candidates(landmarks: pd.DataFrame, groups: np.ndarray) -> pd.DataFrame:
    """Pairs of micrographs in different groups whose landmarks agree on how they lie.

    Parameters
    ----------
    landmarks : DataFrame
        As `landmarks.landmarks` gives them, of all micrographs, with the column `micrograph`: its
        position in `groups`.
    groups : (n,) array
        Group of each micrograph.

    Returns
    -------
    DataFrame
        first < second (positions); calibrated: whether nanometres relate them, or pixels; turn: the
        pose that the second has to take to lie as the first does; votes. The most votes come first.
        No more than `MOST_PARTNERS` rows a micrograph and `MOST_BETWEEN_GROUPS` two groups.
    """
    codes, _ = pd.factorize(np.asarray(groups), sort=True)
    found = [pd.DataFrame(columns=COLUMNS)]
    for (calibrated, _), of in landmarks.groupby(["calibrated", "octave"], sort=True):
        votes = _votes(of.reset_index(drop=True), codes)
        found.append(votes.assign(calibrated=calibrated)[COLUMNS])
    return _most_likely(pd.concat(found[1:] or found, ignore_index=True), codes)


def _most_likely(votes: pd.DataFrame, codes: np.ndarray) -> pd.DataFrame:
    """The best row of each pair of micrographs, as many as a micrograph and two groups may have."""
    order = ["votes", "first", "second", "calibrated", "turn"]
    ranked = votes.sort_values(order, ascending=[False, True, True, True, True])
    ranked = ranked.drop_duplicates(["first", "second"])
    # Among the best of either of its two: a micrograph that everything resembles displaces nothing.
    either = [ranked.groupby(end).cumcount() < MOST_PARTNERS for end in ("first", "second")]
    ranked = ranked[either[0] | either[1]]
    pair = np.sort(np.stack([codes[ranked[end].to_numpy(int)] for end in ("first", "second")]), 0)
    ranked = ranked[ranked.groupby([pair[0], pair[1]]).cumcount() < MOST_BETWEEN_GROUPS]
    return ranked.reset_index(drop=True)


def _votes(of: pd.DataFrame, codes: np.ndarray) -> pd.DataFrame:
    """Pairs of micrographs with the landmarks of one grid that agree on turn and offset."""
    micrograph = of["micrograph"].to_numpy()
    a, b = _matches(of, codes[micrograph])
    pairs = pd.DataFrame({"first": micrograph[a], "second": micrograph[b], "a": a, "b": b})
    pairs = pairs[pairs.duplicated(["first", "second"], keep=False)]
    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    at, pose = of[["row", "column"]].to_numpy(float), of["pose"].to_numpy()
    pairs["turn"] = TURNS[pose[a], pose[b]]
    turned = np.einsum("nij,nj->ni", MATRICES[pairs["turn"].to_numpy()], at[b])
    offsets = (at[a] - turned) / BIN_CELLS
    found = []
    # Offsets that a bin's edge parts are together in bins that lie half a bin further.
    for shift in product((0, 0.5), repeat=2):
        bins = np.floor(offsets + shift)
        of_bin = pairs.assign(down=bins[:, 0], across=bins[:, 1])
        place = ["first", "second", "turn", "down", "across"]
        of_bin = of_bin[of_bin.duplicated(place, keep=False)]
        counts = of_bin.groupby(place, as_index=False)[["a", "b"]].nunique()
        counts["votes"] = counts[["a", "b"]].min(axis=1)
        found.append(counts[counts["votes"] >= LEAST_VOTES])
    return pd.concat(found, ignore_index=True)


def _matches(of: pd.DataFrame, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of landmarks in different groups with near codes, each pair once, in order."""
    code, doubts = of["code"].to_numpy(), of["doubts"].to_numpy()
    micrograph = of["micrograph"].to_numpy()
    key = code & np.uint64((1 << KEY_BITS) - 1)
    known = _index(key, group, micrograph)
    keys_known, starts = np.unique(key[known], return_index=True)
    sizes = np.diff(np.append(starts, known.size))
    flips = _flips(doubts)
    pairs = [np.zeros((2, 0), int)]
    for start in range(0, len(of), CHUNK):
        asking = np.arange(start, min(start + CHUNK, len(of)))
        found = [np.zeros((2, 0), int)]
        for flip in flips:
            asked = key[asking] ^ flip[asking]
            hits, at = _looked_up(asked, keys_known)
            who, which = spread(sizes[at])
            a, b = asking[hits[who]], known[starts[at][who] + which]
            near = np.bitwise_count(code[a] ^ code[b]) <= NEAR_BITS
            near &= group[a] != group[b]
            found.append(np.stack([a[near], b[near]]))
        pairs.append(_first_of_each_group(np.concatenate(found, axis=1), group, micrograph))
    a, b = np.concatenate(pairs, axis=1)
    swapped = micrograph[a] > micrograph[b]
    a, b = np.where(swapped, b, a), np.where(swapped, a, b)
    distinct = np.unique(a * len(of) + b)
    return distinct // len(of), distinct % len(of)


def _looked_up(asked: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the keys that are known, and where they lie among the known, in order."""
    if known.size == 0:
        return np.zeros(0, int), np.zeros(0, int)
    # In order, neighbours are found in the same part of memory: several times as fast.
    order = np.argsort(asked)
    at = np.minimum(np.searchsorted(known, asked[order]), known.size - 1)
    is_known = known[at] == asked[order]
    return order[is_known], at[is_known]


def _index(key: np.ndarray, group: np.ndarray, micrograph: np.ndarray) -> np.ndarray:
    """Positions by key, without stop words, and of each group the first few."""
    order = np.lexsort((micrograph, group, key))
    kept = order[ranks(key[order], group[order]) < MOST_OF_GROUP]
    return kept[~_is_common(key[kept], group[kept])]


def _first_of_each_group(
    pairs: np.ndarray, group: np.ndarray, micrograph: np.ndarray
) -> np.ndarray:
    """Of the pairs of each landmark those with the first of other groups, none of a stop word."""
    a, b = np.unique(pairs, axis=1)
    order = np.lexsort((b, micrograph[b], group[b], a))
    a, b = a[order], b[order]
    first = ranks(a, group[b]) < MOST_OF_GROUP
    a, b = a[first], b[first]
    kept = ~_is_common(a, group[b])
    return np.stack([a[kept], b[kept]])


def _is_common(key: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Whether more than `MOST_GROUPS` groups have the key of an entry; sorted by key and group."""
    is_first = ranks(key, group) == 0
    _, inverse = np.unique(key, return_inverse=True)
    return np.bincount(inverse, is_first)[inverse] > MOST_GROUPS


def _flips(doubts: np.ndarray) -> np.ndarray:
    """(2 ** DOUBTS, n) masks: all ways to change the doubtful bits of each key."""
    masks = [np.zeros_like(doubts)]
    left = doubts.copy()
    for _ in range(DOUBTS):
        lowest = left & (~left + np.uint64(1))
        masks += [mask | lowest for mask in masks]
        left ^= lowest
    return np.stack(masks)


MATRICES = matrices(np.arange(POSES))


def _turns() -> np.ndarray:
    """(first, second) table of the pose that brings the second's landmark into the first's."""
    relative = np.einsum("aji,bjk->abik", MATRICES, MATRICES)
    return (relative[:, :, None] == MATRICES).all((-2, -1)).argmax(-1)


TURNS = _turns()
