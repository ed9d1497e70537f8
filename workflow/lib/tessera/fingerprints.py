"""Perceptual fingerprints: near-identical micrographs found without comparing every pair.

A fingerprint is 256 bits, the signs of the low spatial frequencies of a micrograph against their
median (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). It
survives another brightness, contrast, bit depth, format and mild noise; two fields of view differ
in about half the bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from scipy.fft import dctn
from skimage.transform import resize

from tessera.joining import ranks, spread
from tessera.reduction import area_mean
from tessera.strips import Page

SIDE = 16
SAMPLED_SIDE = 64
LARGEST_PX = 1024
NEAR_BITS = 15
"""Two fingerprints that differ in at most this many of the 256 bits are near-identical."""

BANDS = NEAR_BITS + 1
CROWDED, MOST_PARTNERS = 64, 4
"""Partners in a band, on average, from where on it is cut again; and if that is of no use."""
LEVELS = 2
CHUNK = 1 << 20


def fingerprint(page: Page) -> str:
    """64 hex digits from a (rows, columns) page; none where it is constant or not finite.

    Nothing is to be seen in such a page, so it is like no other.
    """
    scale = max(1.0, max(page.shape) / LARGEST_PX)
    # First without a float copy: a large page would cost several times its memory.
    grey = area_mean(page, tuple(max(1, round(side / scale)) for side in page.shape))
    if not np.isfinite(grey).all() or grey.min() == grey.max():
        return ""
    grey = resize(grey, (SAMPLED_SIDE, SAMPLED_SIDE), order=1, anti_aliasing=True)
    # The mean (zero frequency) says nothing of the picture; a 17th row and column replace it.
    spectrum = dctn(grey, norm="ortho")[1 : SIDE + 1, 1 : SIDE + 1]
    return np.packbits(spectrum > np.median(spectrum)).tobytes().hex()


def near_pairs(fingerprints: Sequence[str], groups: Sequence[str]) -> list[tuple[int, int, int]]:
    """Pairs of near-identical fingerprints in different groups.

    Parameters
    ----------
    fingerprints : sequence of str
        As `fingerprint` gives them; empty ones are near to none.
    groups : sequence of str

    Returns
    -------
    list of (i, j, bits)
        Positions i < j and the bits in which they differ, at most `NEAR_BITS`. Of equal
        fingerprints each in another group than the first is paired with the first, and the first
        alone with others.

    Notes
    -----
    Of 16 bands of 16 bits, at least one is the same in two fingerprints that differ in 15 bits. So
    only those that share a band are compared. Where that would be very many, the bits outside the
    band are cut into 16 bands again, by the same reasoning. Where even two bands of nearly all
    micrographs are the same, each is compared with the next `MOST_PARTNERS` of them: a pair may
    then be missed, but time and memory grow with the number of micrographs, not with its square.
    """
    first: dict[str, int] = {}
    pairs = []
    for i, (found, group) in enumerate(zip(fingerprints, groups, strict=True)):
        if first.setdefault(found, i) != i and found and groups[first[found]] != group:
            pairs.append((first[found], i, 0))
    distinct = np.array([i for found, i in first.items() if found], int)
    if distinct.size:
        digits = "".join(fingerprints[i] for i in distinct)
        packed = np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(distinct.size, -1)
        _, codes = np.unique([groups[i] for i in distinct], return_inverse=True)
        pairs += [
            (*sorted((int(distinct[a]), int(distinct[b]))), int(bits))
            for a, b, bits in _near(packed, codes)
        ]
    return sorted(pairs)


def _near(packed: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(pairs, 3) positions and bits, of (n, 32) packed fingerprints."""
    bits = np.unpackbits(packed, axis=1)
    compared = _compared(bits, groups, np.arange(len(bits)), np.arange(bits.shape[1]), LEVELS)
    found = [np.zeros((2, 0), int)]
    for a, b in compared:
        distance = np.bitwise_count(packed[a] ^ packed[b]).sum(axis=1, dtype=int)
        near = distance <= NEAR_BITS
        pair = np.minimum(a, b)[near] * len(bits) + np.maximum(a, b)[near]
        pair, where = np.unique(pair, return_index=True)
        found.append(np.stack([pair, distance[near][where]]))
    pair, distance = np.concatenate(found, axis=1)
    pair, where = np.unique(pair, return_index=True)
    return np.stack([pair // len(bits), pair % len(bits), distance[where]], axis=1)


def _compared(
    bits: np.ndarray, groups: np.ndarray, members: np.ndarray, columns: np.ndarray, levels: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of those in different groups that share a band of some columns, chunk by chunk."""
    for band in np.array_split(columns, BANDS):
        value = bits[np.ix_(members, band)] @ (1 << np.arange(band.size))
        order = np.lexsort((groups[members], value))
        here, value = members[order], value[order]
        ends = np.searchsorted(value, value, side="right")
        # A group's own lie together, and are passed over.
        own = np.bincount(np.cumsum(ranks(value, groups[here]) == 0) - 1)
        start = np.repeat(np.cumsum(own), own)
        partners = ends - start
        sizes = ends - np.searchsorted(value, value)
        crowded = np.bincount(ends, partners, len(here) + 1)[ends] > CROWDED * sizes
        if levels > 1:
            rest = np.setdiff1d(columns, band)
            for end in np.unique(ends[crowded]):
                yield from _compared(bits, groups, here[ends == end], rest, levels - 1)
            partners = np.where(crowded, 0, partners)
        else:
            partners = np.where(crowded, np.minimum(partners, MOST_PARTNERS), partners)
        for part in _chunks(partners):
            who, which = spread(partners[part])
            yield here[part][who], here[start[part][who] + which]


def _chunks(counts: np.ndarray) -> Iterator[slice]:
    """Slices whose counts add up to about `CHUNK` each."""
    total = np.append(0, np.cumsum(counts))
    cuts = np.searchsorted(total, np.arange(0, total[-1], CHUNK))
    for start, end in pairwise([*cuts, len(counts)]):
        yield slice(start, end)
