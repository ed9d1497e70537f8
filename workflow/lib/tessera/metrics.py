"""Scores of a segmentation, all made from pixel counts.

Counts are summed first and divided last. A score of a group is the score of its summed counts,
never a mean of the scores of its micrographs; the interval of a mean over groups comes from drawing
groups.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tessera.classes import IGNORE
from tessera.strips import Page, spans

COUNTS = ["tp", "fp", "fn"]
SCORES = ["iou", "dice", "precision", "recall"]


def confusion(mask_true: Page, mask_pred: Page, n_classes: int) -> np.ndarray:
    """Pixels by true class (rows) and predicted class (columns).

    Parameters
    ----------
    mask_true, mask_pred : (rows, columns) uint8 pages
        Class codes; where `mask_true` is `IGNORE` the pixel does not count.
    n_classes : int

    Returns
    -------
    (n_classes, n_classes) int64 array

    Raises
    ------
    ValueError
        If the shapes differ, or a code is none of the classes.
    """
    if mask_true.shape != mask_pred.shape:
        raise ValueError(
            f"true mask {mask_true.shape} and predicted {mask_pred.shape} differ in shape"
        )
    pairs = np.zeros((IGNORE + 1) ** 2, np.int64)
    for span in spans(mask_true):
        true, pred = (np.asarray(mask[span]).ravel() for mask in (mask_true, mask_pred))
        pairs += np.bincount(true.astype(np.int32) * (IGNORE + 1) + pred, minlength=pairs.size)
    pairs = pairs.reshape(IGNORE + 1, IGNORE + 1)[:IGNORE]
    highest = np.argwhere(pairs).max(initial=0)
    if highest >= n_classes:
        raise ValueError(f"the code {highest} is none of {n_classes} classes")
    return pairs[:n_classes, :n_classes]


def class_counts(confused: np.ndarray) -> pd.DataFrame:
    """True positives, false positives and false negatives of each class of a confusion matrix."""
    tp = np.diag(confused)
    fp, fn = confused.sum(axis=0) - tp, confused.sum(axis=1) - tp
    return pd.DataFrame({"code": np.arange(len(tp)), "tp": tp, "fp": fp, "fn": fn})


def scores(counts: pd.DataFrame) -> pd.DataFrame:
    """IoU, Dice, precision and recall of rows of counts.

    Parameters
    ----------
    counts : DataFrame
        With tp, fp, fn.

    Returns
    -------
    DataFrame, indexed like `counts`
        iou, dice, precision, recall; NaN where there is nothing to divide by: a class that is
        neither there nor predicted has no score.

    Examples
    --------
    >>> scores(pd.DataFrame({"tp": [6], "fp": [2], "fn": [4]})).round(3).to_numpy()
    array([[0.5  , 0.667, 0.75 , 0.6  ]])
    """
    tp, fp, fn = (counts[name].astype(float) for name in COUNTS)
    divided = {
        "iou": (tp, tp + fp + fn),
        "dice": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
    }
    return pd.DataFrame({name: a / b.where(b > 0) for name, (a, b) in divided.items()})


def bootstrap_interval(
    values: np.ndarray, seed: int, draws: int = 10_000, level: float = 0.95
) -> tuple[float, float]:
    """Percentile interval of a mean over groups, from groups drawn with replacement.

    Parameters
    ----------
    values : (groups,) array
        Score of each group; NaN is left out.
    seed : int
    draws : int
    level : float
        Share of the draws inside the interval.

    Returns
    -------
    (low, high) : floats
        NaN for fewer than two groups: one group says nothing of the spread.

    Notes
    -----
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, DOI 10.1201/9780429246593.
    """
    values = values[~np.isnan(values)]
    if values.size < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(values.size, size=(draws, values.size))
    tail = 50 * (1 - level)
    low, high = np.percentile(values[drawn].mean(axis=1), [tail, 100 - tail])
    return float(low), float(high)
