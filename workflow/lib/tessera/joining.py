"""Sorted keys and what shares them: what it takes to join a large table with itself."""

from __future__ import annotations

import numpy as np


def ranks(*keys: np.ndarray) -> np.ndarray:
    """How many right before each entry have the same keys.

    Examples
    --------
    >>> ranks(np.array([7, 7, 7, 8, 8]), np.array([1, 1, 2, 2, 2])).tolist()
    [0, 1, 0, 0, 1]
    """
    if keys[0].size == 0:
        return np.zeros(0, int)
    is_new = np.ones(keys[0].size, bool)
    is_new[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    starts = np.flatnonzero(is_new)
    return np.arange(is_new.size) - np.repeat(starts, np.diff(np.append(starts, is_new.size)))


def spread(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position i `counts[i]` times, and how often it was there before.

    Examples
    --------
    >>> [part.tolist() for part in spread(np.array([2, 0, 1]))]
    [[0, 0, 2], [0, 1, 0]]
    """
    who = np.repeat(np.arange(len(counts)), counts)
    return who, np.arange(len(who)) - np.repeat(np.cumsum(counts) - counts, counts)
