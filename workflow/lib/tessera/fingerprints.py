"""Perceptual fingerprints: near-identical micrographs found without comparing every pair.

A fingerprint is 256 bits, the signs of the low spatial frequencies of a micrograph against their
median (Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). It
survives another brightness, contrast, bit depth, format and mild noise; two fields of view differ
in about half the bits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.fft import dctn
from skimage.transform import resize

SIDE = 16
SAMPLED_SIDE = 64
NEAR_BITS = 15
"""Two fingerprints that differ in at most this many of the 256 bits are near-identical."""


def fingerprint(page: np.ndarray) -> str:
    """64 hex digits from a (rows, columns) array."""
    grey = resize(
        page.astype(np.float32), (SAMPLED_SIDE, SAMPLED_SIDE), order=1, anti_aliasing=True
    )
    # The mean (zero frequency) says nothing of the picture; a 17th row and column replace it.
    spectrum = dctn(grey, norm="ortho")[1 : SIDE + 1, 1 : SIDE + 1]
    return np.packbits(spectrum > np.median(spectrum)).tobytes().hex()


def near_pairs(fingerprints: Sequence[str]) -> list[tuple[int, int, int]]:
    """Pairs of near-identical fingerprints.

    Parameters
    ----------
    fingerprints : sequence of str

    Returns
    -------
    list of (i, j, bits)
        Positions i < j and the bits in which they differ, at most `NEAR_BITS`.

    Notes
    -----
    Of 16 bands of 16 bits, at least one is the same in two fingerprints that differ in 15 bits. So
    only those that share a band are compared, and no pair is missed.
    """
    bits = np.array([np.frombuffer(bytes.fromhex(f), np.uint8) for f in fingerprints])
    bands: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for i, row in enumerate(bits):
        for band in range(NEAR_BITS + 1):
            bands[band, row[2 * band : 2 * band + 2].tobytes()].append(i)
    shared = {(i, j) for ids in bands.values() for k, i in enumerate(ids) for j in ids[k + 1 :]}
    distances = ((i, j, int(np.bitwise_count(bits[i] ^ bits[j]).sum())) for i, j in sorted(shared))
    return [(i, j, distance) for i, j, distance in distances if distance <= NEAR_BITS]
