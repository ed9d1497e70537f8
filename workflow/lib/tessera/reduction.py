"""Micrographs made smaller, each pixel the mean of the area that it covers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array

from tessera.strips import Page

BLOCKS_PER_PIXEL = 2
"""In `area_mean`: the finer the blocks, the closer to the area that a pixel covers."""


def area_mean(page: Page, shape: tuple[int, int]) -> np.ndarray:
    """A page made smaller, each pixel the mean of the area that it covers.

    Parameters
    ----------
    page : (rows, columns) page
    shape : (rows, columns)
        At most that of the page.

    Returns
    -------
    float32 array of `shape`
    """
    # Blocks first, a strip at a time: a float copy of a large page would cost 4 times its memory.
    step = max(1, min(page.shape[0] // shape[0], page.shape[1] // shape[1]) // BLOCKS_PER_PIXEL)
    edges = [np.append(np.arange(0, side, step), side) for side in page.shape]
    strips = (page[top:end].sum(axis=0, dtype=np.float64) for top, end in pairwise(edges[0]))
    sums = np.stack([np.add.reduceat(strip, edges[1][:-1]) for strip in strips])
    down, across = (shares(of, wanted) for of, wanted in zip(edges, shape, strict=True))
    means = (across @ (down @ sums).T).T
    return (means * (means.size / page.size)).astype(np.float32)


def shares(edges: np.ndarray, wanted: int) -> csr_array:
    """(wanted, blocks) shares of each block, between two `edges`, that lie in each equal span.

    Examples
    --------
    >>> shares(np.arange(4), 2).toarray()
    array([[1. , 0.5, 0. ],
           [0. , 0.5, 1. ]])
    """
    ends = np.linspace(0, edges[-1], wanted + 1)
    cuts = np.unique(np.concatenate([edges, ends]))
    middles = (cuts[1:] + cuts[:-1]) / 2
    block, span = (np.searchsorted(of, middles) - 1 for of in (edges, ends))
    parts = np.diff(cuts) / np.diff(edges)[block]
    return csr_array((parts, (span, block)), shape=(wanted, len(edges) - 1))
