"""Tiles: where in a micrograph training examples are cut, and which of them are used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tessera.classes import IGNORE
from tessera.strips import Page


@dataclass(frozen=True)
class TileGrid:
    """How tiles are laid and chosen.

    Parameters
    ----------
    n_classes : int
    size_px, stride_px : int
        Side of a tile, and distance between tiles.
    background_share : float
        Tiles that hold the background alone (class 0) are at most this share of the used ones,
        drawn at random; one is kept where nothing else is there. 1 uses all.
    seed : int
        Of that draw.
    """

    n_classes: int
    size_px: int
    stride_px: int
    background_share: float
    seed: int


def misfit(mask: tuple[int, int], micrograph: tuple[int, int]) -> str:
    """What is wrong with a mask of another shape than its micrograph; empty if it has the same.

    Examples
    --------
    >>> misfit((80, 10), (80, 80))
    'the mask is 80 x 10, the micrograph 80 x 80 px'
    """
    if mask == micrograph:
        return ""
    (rows, columns), (of_rows, of_columns) = mask, micrograph
    return f"the mask is {rows} x {columns}, the micrograph {of_rows} x {of_columns} px"


def origins(length_px: int, size_px: int, stride_px: int) -> np.ndarray:
    """First pixels of tiles along one axis; the last tile is moved inwards to end at the edge.

    Examples
    --------
    >>> origins(1920, 128, 128).size, origins(1792, 128, 128).size
    (15, 14)
    >>> origins(300, 128, 100)
    array([  0, 100, 172])
    """
    last = max(length_px - size_px, 0)
    return np.unique(np.append(np.arange(0, last, stride_px), last))


def tile_table(mask: Page, grid: TileGrid) -> pd.DataFrame:
    """Every tile of a micrograph, with what the mask holds there.

    Parameters
    ----------
    mask : (rows, columns) uint8 page
        Class codes, and `IGNORE`.
    grid : TileGrid

    Returns
    -------
    DataFrame
        row, column (first pixel), and share_0 .. share_{n_classes - 1}: of the pixels that are not
        ignored, those of each class; all 0 where every pixel is ignored.
    """
    size_px, stride_px, n_classes = grid.size_px, grid.stride_px, grid.n_classes
    rows, columns = (origins(length, size_px, stride_px) for length in mask.shape)
    records = []
    for row in rows:
        band = np.asarray(mask[row : row + size_px])
        for column in columns:
            codes = band[:, column : column + size_px]
            counts = np.bincount(codes.ravel(), minlength=IGNORE + 1)[:n_classes]
            records.append((row, column, *(counts / max(counts.sum(), 1))))
    names = ["row", "column", *share_names(n_classes)]
    return pd.DataFrame(records, columns=names).astype({"row": int, "column": int})


def share_names(n_classes: int) -> list[str]:
    """Names of the columns that hold the share of each class."""
    return [f"share_{code}" for code in range(n_classes)]


def used_for_training(tiles: pd.DataFrame, grid: TileGrid) -> np.ndarray:
    """Which tiles training draws from.

    Parameters
    ----------
    tiles : DataFrame
        As `tile_table` gives it.
    grid : TileGrid

    Returns
    -------
    (tiles,) bool array
        Tiles without a single annotated pixel are never used.
    """
    background_share = grid.background_share
    annotated = tiles.filter(like="share_").sum(axis=1).to_numpy() > 0
    background = annotated & (tiles["share_0"].to_numpy() == 1)
    used = annotated & ~background
    candidates = np.flatnonzero(background)
    if background_share == 1:
        kept = candidates
    else:
        wanted = int(used.sum() * background_share / (1 - background_share))
        drawn = np.random.default_rng(grid.seed).permutation(candidates)
        kept = drawn[: wanted if used.any() else 1]
    used[kept] = True
    return used
