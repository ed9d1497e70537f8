"""Percentiles, mean and deviation of pages larger than memory, a strip of rows at a time.

They are those that numpy gives of all pixels at once in float32, bit for bit, however high the
strips are: percentiles are picked from exact counts, and sums add the same numbers in the same
order. Several pages count as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tessera.strips import Page, strips

HALF_BITS = 16
HALF = 2**HALF_BITS
SIGN = np.uint32(2**31)

BLOCK = 8192
"""Pixels that numpy turns into float64 and sums at once: `numpy.getbufsize`."""
BLOCKS_AT_ONCE = 128
LEAF = 2**20
"""Numbers summed in memory at once; any number from 128 on gives the same sum."""


@dataclass(frozen=True)
class Pixels:
    """Pages whose pixels count as those of one.

    Parameters
    ----------
    pages : callable
        Gives them, one by one and in the same order each time.
    size : int
        Pixels of all of them.
    """

    pages: Callable[[], Iterable[Page]]
    size: int

    @classmethod
    def of(cls, page: Page) -> Pixels:
        """Those of one page."""
        return cls(lambda: [page], page.size)

    def strips(self) -> Iterator[np.ndarray]:
        """Strips of rows, in float32."""
        return (strip.astype(np.float32) for page in self.pages() for strip in strips(page))


def percentiles(pixels: Pixels, percents: Sequence[float]) -> np.ndarray:
    """What `numpy.percentile` gives of all pixels in float32, in two passes.

    Parameters
    ----------
    pixels : Pixels
        Finite numbers.
    percents : sequence of float
        0 to 100.

    Returns
    -------
    float64 array, one value a percent

    Notes
    -----
    The bits of a float32 are a whole number that grows with it. The first pass counts the upper
    16 of them, the second the lower 16 of those whose upper ones are wanted.

    Examples
    --------
    >>> percentiles(Pixels.of(np.array([[1, 2], [4, 3]])), [0, 50])
    array([1. , 2.5])
    """
    size = pixels.size
    place = (size - 1) * (np.asarray(percents, float) / 100)
    below = np.floor(place).astype(np.int64)
    share = place - below
    low, high = _ranked(pixels, np.array([below, np.minimum(below + 1, size - 1)]))
    step = high - low  # as numpy does it, from the nearer end
    return np.where(share >= 0.5, high - step * (1 - share), low + step * share)


def _ranked(pixels: Pixels, ranks: np.ndarray) -> np.ndarray:
    """The pixels of some ranks in the order of all of them, in float32."""
    first = np.zeros(HALF, np.int64)
    for keys in _keys(pixels):
        first += np.bincount(keys >> HALF_BITS, minlength=HALF)
    upper, rest = _found(first, ranks)
    second = {half: np.zeros(HALF, np.int64) for half in np.unique(upper)}
    for keys in _keys(pixels):
        halves = keys >> HALF_BITS
        for half, counts in second.items():
            counts += np.bincount(keys[halves == half] & (HALF - 1), minlength=HALF)
    keys = np.empty(ranks.shape, np.uint32)
    for place, half in np.ndenumerate(upper):
        keys[place] = half * HALF + _found(second[half], rest[place])[0]
    return np.where(keys & SIGN, keys ^ SIGN, ~keys).view(np.float32)


def _keys(pixels: Pixels) -> Iterator[np.ndarray]:
    """Of each strip, whole numbers in the order of its pixels."""
    for strip in pixels.strips():
        # Of the two zeros one: they are equal, and their bits are not.
        bits = (strip.ravel() + np.float32(0)).view(np.uint32)
        yield np.where(bits & SIGN, ~bits, bits | SIGN)


def _found(counts: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where ranks fall among counted values, and their rank among those."""
    up_to = np.cumsum(counts)
    place = np.searchsorted(up_to, ranks, side="right")
    return place, ranks - (up_to[place] - counts[place])


def mean_of(pixels: Pixels, function: Callable[[np.ndarray], np.ndarray]) -> float:
    """Mean, in float64, of what a function makes of the float32 pixels, itself in float32."""
    stream, size, total = _Stream(pixels), pixels.size, 0.0
    at_once = BLOCK * BLOCKS_AT_ONCE
    for start in range(0, size, at_once):
        taken = function(stream.take(min(at_once, size - start)))
        whole = taken.size // BLOCK * BLOCK
        blocks = taken[:whole].reshape(-1, BLOCK).sum(axis=1, dtype=np.float64).tolist()
        if whole < taken.size:
            blocks.append(float(taken[whole:].sum(dtype=np.float64)))
        for block in blocks:
            total += block
    return total / size


def deviation_of(
    pixels: Pixels, mean: float, function: Callable[[np.ndarray], np.ndarray]
) -> float:
    """Standard deviation from a mean; otherwise as `mean_of`."""
    stream, size = _Stream(pixels), pixels.size

    def summed(count: int) -> float:
        # Halved as numpy halves it, so that the same numbers meet.
        if count > LEAF:
            half = count // 2
            half -= half % 8
            return summed(half) + summed(count - half)
        apart = function(stream.take(count)) - np.float64(mean)
        return float(np.add.reduce(np.multiply(apart, apart, out=apart)))

    return float(np.sqrt(summed(size) / size))


class _Stream:
    """Pixels one after the other."""

    def __init__(self, pixels: Pixels) -> None:
        self._strips = pixels.strips()
        self._rest = np.empty(0, np.float32)

    def take(self, count: int) -> np.ndarray:
        """The next pixels, an array of their own."""
        parts, missing = [], count
        while missing:
            if not self._rest.size:
                self._rest = next(self._strips).ravel()
            parts.append(self._rest[:missing])
            self._rest = self._rest[missing:]
            missing -= parts[-1].size
        return np.concatenate(parts)
