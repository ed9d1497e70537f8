"""Whether two micrographs show partly the same area, and how they lie.

Both are brought to one grid and whitened, so that no spatial frequency outweighs the others, and
all offsets at which they share a tenth of the smaller one are tried at once: phase correlation
(Kuglin and Hines, The phase correlation image alignment method, Proceedings of the IEEE Conference
on Cybernetics and Society, 163, 1975). Three things have to hold, and each keeps out what the
others let pass: the best offset stands out from the noise of all offsets; no other offset comes
near it, as many do with lattices; and the grey levels agree all over what is shared, not in one
spot only, as with a data bar or a single line. The limits lie between what was measured of cuttings
that share an area and of all other pairs, among micrographs of superalloys, axons and simulated
particles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.ndimage import gaussian_filter

from tessera.landmarks import COLUMNS_MIRRORED, ROWS_MIRRORED, TRANSPOSED
from tessera.reduction import area_mean

SMALLER, LARGER = 256, 1024
"""Cells along the longer sides of the two on their grid, at most."""
LEAST_SHARE = 0.1
CLEAR, MOST_RIVALRY, LEAST_AGREEMENT, LEAST_PRODUCT = 9.0, 0.5, 0.2, 5.0
"""The best offset in standard deviations of all; the next best, of that, at most; the correlation
of the grey levels without the quarter of the area where they agree best, at least; and of that and
the first the product, lest a few particles that fall on others be taken for an area."""
SHADING, FINE = 16.0, 1.0
RINGS, HIGHEST = 64, 0.25
LIMIT = 3.0
"""Grey levels are clipped at so many standard deviations, lest a few bright spots decide."""
PEAK = 8
ATTEMPTS = 3
"""Searches: where grey levels agree in one spot only, as in a data bar, it is blanked in both."""
BLOCKS, LESS = 6, 0.75


@dataclass(frozen=True)
class Overlap:
    """How two micrographs lie that show partly the same area.

    Parameters
    ----------
    turn : int
        Pose that the second has to take to lie as the first does.
    top, left : float
        Where the second, so turned, begins, in pixels of the first as it was given.
    first, second : (top, bottom, left, right)
        What both show, in shares of the sides of the first and of the second, so turned.
    share : float
        Its area, of that of the smaller one.
    correlation : float
        Of the grey levels there, coarse shading left out.
    """

    turn: int
    top: float
    left: float
    first: tuple[float, float, float, float]
    second: tuple[float, float, float, float]
    share: float
    correlation: float


def posed(page: np.ndarray, pose: int) -> np.ndarray:
    """A page transposed and mirrored, as `landmarks.matrices` says it of coordinates."""
    page = page.T if pose & TRANSPOSED else page
    page = page[::-1] if pose & ROWS_MIRRORED else page
    return page[:, ::-1] if pose & COLUMNS_MIRRORED else page


def overlap(
    first: np.ndarray, second: np.ndarray, pixel_sizes: tuple[float, float], turn: int
) -> Overlap | None:
    """How two micrographs lie, or None if they do not show the same area.

    Parameters
    ----------
    first, second : (rows, columns) arrays
    pixel_sizes : (float, float)
        Of the two, in any unit they share.
    turn : int
        Pose that the second has to take.
    """
    sizes = zip((first, second), pixel_sizes, strict=True)
    lengths = [max(page.shape) * size for page, size in sizes]
    cell = max(*pixel_sizes, min(lengths) / SMALLER, max(lengths) / LARGER)
    a = _on_grid(first, cell / pixel_sizes[0])
    b = _on_grid(posed(second, turn), cell / pixel_sizes[1])
    white, bands = ([of(page) for page in (a, b)] for of in (whitened, _band))
    for _ in range(ATTEMPTS):
        scores = _scores(*white)
        at = np.unravel_index(np.argmax(scores), scores.shape)
        best = scores[at]
        scores[_around(scores, at)] = 0
        if best < CLEAR or scores.max() > MOST_RIVALRY * best:
            return None
        spans = _spans(at, scores.shape, (a.shape, b.shape))
        shared = [band[of] for band, of in zip(bands, spans, strict=True)]
        agreed = agreement(*shared, LESS)
        if agreed >= max(LEAST_AGREEMENT, LEAST_PRODUCT / best):
            return _described(turn, spans, (a.shape, b.shape), cell / pixel_sizes[0], shared)
        spot = _strongest(*shared)
        for page, of in zip(white, spans, strict=True):
            page[of][spot] = 0
    return None


def _described(
    turn: int,
    spans: Sequence[tuple[slice, slice]],
    shapes: Sequence[tuple[int, int]],
    cell_px: float,
    shared: Sequence[np.ndarray],
) -> Overlap:
    starts = [[span.start for span in of] for of in spans]
    top, left = (cell_px * (mine - its) for mine, its in zip(*starts, strict=True))
    boxes = [
        tuple(end / side for span, side in zip(of, shape, strict=True)
              for end in (span.start, span.stop))
        for of, shape in zip(spans, shapes, strict=True)
    ]  # fmt: skip
    share = shared[0].size / min(rows * columns for rows, columns in shapes)
    return Overlap(turn, top, left, *boxes, share, agreement(*shared, 1.0))


def _on_grid(page: np.ndarray, cell_px: float) -> np.ndarray:
    return area_mean(page, tuple(max(1, round(side / cell_px)) for side in page.shape))


def _spans(
    at: Sequence[int], n_offsets: Sequence[int], shapes: Sequence[tuple[int, int]]
) -> list[tuple[slice, slice]]:
    """What both show, as slices of the first and of the second, by the offset with a score."""
    both = []
    for i, n, first, second in zip(at, n_offsets, *shapes, strict=True):
        offset = int(i) if i < first else int(i) - n
        start, stop = max(0, offset), min(first, offset + second)
        both.append((slice(start, stop), slice(start - offset, stop - offset)))
    return list(zip(*both, strict=True))


def _around(scores: np.ndarray, at: Sequence[int]) -> tuple[np.ndarray, ...]:
    near = np.arange(-PEAK, PEAK + 1)
    return np.ix_(*((i + near) % side for i, side in zip(at, scores.shape, strict=True)))


def whitened(page: np.ndarray) -> np.ndarray:
    """A page in which all spatial frequencies of a size, up to a limit, are as strong."""
    spectrum = fft.rfft2(page - gaussian_filter(page, SHADING))
    frequency = np.hypot(fft.fftfreq(page.shape[0])[:, None], fft.rfftfreq(page.shape[1]))
    ring = np.minimum((2 * RINGS * frequency).astype(int), RINGS - 1)
    counts = np.maximum(np.bincount(ring.ravel(), minlength=RINGS), 1)
    power = np.bincount(ring.ravel(), (np.abs(spectrum) ** 2).ravel(), RINGS) / counts
    strength = np.sqrt(power) + 1e-6 * np.sqrt(power.max())
    spectrum *= np.exp(-((frequency / HIGHEST) ** 2)) / np.where(strength > 0, strength, 1)[ring]
    return _clipped(fft.irfft2(spectrum, page.shape))


def _band(page: np.ndarray) -> np.ndarray:
    return _clipped(gaussian_filter(page, FINE) - gaussian_filter(page, SHADING))


def _clipped(page: np.ndarray) -> np.ndarray:
    deviation = page.std()
    return np.clip(page / (deviation if deviation > 0 else 1), -LIMIT, LIMIT)


def _scores(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """By offset of `b`, negative ones at the end, how well they fit: standard deviations of all.

    The products of n pixels that have nothing to do with each other add up to about sqrt(n).
    """
    sides = list(zip(a.shape, b.shape, strict=True))
    shape = [fft.next_fast_len(sum(pair) - 1, real=True) for pair in sides]
    sums = fft.irfft2(fft.rfft2(a, shape) * np.conj(fft.rfft2(b, shape)), shape)
    lengths = []
    for (first, second), n in zip(sides, shape, strict=True):
        offset = np.arange(n) - n * (np.arange(n) >= first)
        lengths.append(np.clip(np.minimum(first, offset + second) - np.maximum(0, offset), 0, None))
    shared = np.outer(*lengths)
    enough = shared >= LEAST_SHARE * min(a.size, b.size)
    scores = np.where(enough, sums / np.sqrt(np.maximum(shared, 1)), 0)
    deviation = 1.4826 * np.median(np.abs(scores[enough]))
    return scores / (deviation if deviation > 0 else 1)


def agreement(a: np.ndarray, b: np.ndarray, share: float) -> float:
    """Correlation of two pages without the blocks that speak most for it.

    Parameters
    ----------
    a, b : (rows, columns) arrays
    share : float
        Of `BLOCKS` x `BLOCKS` blocks, those left.
    """
    products, *squares = (_by_block(values) for values in _products(a, b))
    left = np.argsort(products, axis=None)[: round(share * products.size)]
    norm = np.sqrt(np.prod([square.ravel()[left].sum() for square in squares]))
    return float(products.ravel()[left].sum() / norm) if norm > 0 else 0.0


def _strongest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The pixels of the blocks that `agreement` leaves out."""
    products = _by_block(_products(a, b)[0])
    strong = products > np.quantile(products, LESS)
    for axis, side in enumerate(a.shape):
        widths = np.diff(np.append(_starts(side), side))
        strong = np.repeat(strong, widths, axis=axis)
    return strong


def _products(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b = (page - page.mean(dtype=np.float64) for page in (a, b))
    return a * b, a * a, b * b


def _by_block(values: np.ndarray) -> np.ndarray:
    for axis, side in enumerate(values.shape):
        values = np.add.reduceat(values, _starts(side), axis)
    return values


def _starts(side: int) -> np.ndarray:
    return np.unique(np.linspace(0, side, BLOCKS + 1).astype(int)[:-1])
