"""The losses of segmentation: cross-entropy, binary cross-entropy, soft Dice and focal.

The head of a network is always a softmax over the classes. Pixels coded ``IGNORE`` count
nowhere: neither in a numerator, nor in a denominator, nor in a gradient. Everything is
written with one-hot sums, because the gather-based kernels of some GPUs are not deterministic.
Where several processes share a batch, all sums are over the whole of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from tessera.classes import IGNORE
from tessera.distributed import global_sum

TERMS = ("cross_entropy", "bce", "dice", "focal")
CLASS_WEIGHTINGS = ("none", "sqrt-inverse", "inverse")
# In pixels: far below one, so that it decides only where a class has no pixel at all.
DICE_SMOOTH_PX = 1e-5
# Keeps the slope of the focal factor finite where a pixel is predicted with certainty.
FOCAL_FLOOR = 1e-7


class SegmentationLoss(nn.Module):
    """A weighted sum of losses between logits and class codes.

    Parameters
    ----------
    n_classes : int
        Classes of the softmax.
    weights : mapping of str to float
        Weight of each of 'cross_entropy', 'bce', 'dice', 'focal'; a missing one counts as 0.
    focal_gamma : float
        Exponent of the focal factor (1 - p)**gamma; 0 makes it the cross-entropy.
    class_weights : sequence of float, optional
        Weight of each class in 'cross_entropy' and 'focal'; all 1 by default.
    pos_weight : float
        Weight of class 1 in 'bce'.

    Raises
    ------
    ValueError
        If a weight is unknown, negative or not finite, all are zero, 'bce' is asked for with
        more than two classes, or the number of class weights is not that of classes.

    Notes
    -----
    'cross_entropy' and 'focal' are means weighted by class, as in `torch.nn.CrossEntropyLoss`.
    'bce' is the binary cross-entropy of z = l1 - l0, since softmax(l)[1] = sigmoid(z).

    References
    ----------
    Dice: Milletari, Navab, Ahmadi 2016, DOI 10.1109/3DV.2016.79.
    Focal: Lin et al. 2017, DOI 10.1109/ICCV.2017.324.
    """

    def __init__(
        self,
        n_classes: int,
        weights: Mapping[str, float],
        focal_gamma: float = 2.0,
        class_weights: Sequence[float] | torch.Tensor | None = None,
        pos_weight: float = 1.0,
    ) -> None:
        super().__init__()
        _check_terms(weights, n_classes)
        _check_at_least_zero("focal_gamma", focal_gamma)
        _check_at_least_zero("pos_weight", pos_weight)
        values = [1.0] * n_classes if class_weights is None else [float(w) for w in class_weights]
        if len(values) != n_classes:
            raise ValueError(f"class_weights: {len(values)} weights for {n_classes} classes")
        for value in values:
            _check_at_least_zero("class_weights", value)
        self.n_classes = n_classes
        self.weights = {name: float(weights.get(name, 0)) for name in TERMS}
        self.focal_gamma = float(focal_gamma)
        self.register_buffer("class_weights", torch.tensor(values).view(1, -1, 1, 1))
        self.register_buffer("pos_weight", torch.tensor(float(pos_weight)))
        self.register_buffer("class_codes", torch.arange(n_classes).view(1, -1, 1, 1))

    def forward(self, logits: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar in fp32 (or fp64 for fp64 logits) even under autocast.

        Parameters
        ----------
        logits : Tensor, shape (n, classes, h, w)
        codes : Tensor of uint8 or int64, shape (n, h, w)
            Class codes; `IGNORE` marks pixels that count nowhere.

        Raises
        ------
        ValueError
            If shapes do not fit, or a code is neither a class nor `IGNORE`. Reading such a
            code back from a GPU would stall it at every step; there the loss becomes NaN.
        """
        self._check_shapes(logits, codes)
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits if logits.dtype == torch.float64 else logits.float()
            valid = codes != IGNORE
            true = codes.unsqueeze(1) == self.class_codes
            unknown = (valid & ((codes < 0) | (codes >= self.n_classes))).any()
            if codes.device.type == "cpu" and unknown:
                raise ValueError(_unknown_codes(codes, self.n_classes))
            # Selecting, not multiplying by zero: NaN in an ignored pixel must not spread.
            logits = torch.where(valid.unsqueeze(1), logits, 0.0)
            return self._sum_of_terms(logits, true).masked_fill(unknown, torch.nan)

    def _sum_of_terms(self, logits: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        share = self.weights
        hot = true.to(logits.dtype)
        log_probability = torch.log_softmax(logits, 1)
        log_true = (log_probability * hot).sum(1)
        pixel_weights = (hot * self.class_weights).sum(1)
        total = logits.new_zeros(())
        if share["cross_entropy"]:
            total = total + share["cross_entropy"] * _weighted_mean(-log_true, pixel_weights)
        if share["focal"]:
            doubt = (-torch.expm1(log_true)).clamp(min=FOCAL_FLOOR) ** self.focal_gamma
            total = total + share["focal"] * _weighted_mean(-log_true * doubt, pixel_weights)
        if share["bce"]:
            z = logits[:, 1] - logits[:, 0]
            pos_weight = self.pos_weight.to(z.dtype)
            pixels = functional.binary_cross_entropy_with_logits(
                z, hot[:, 1], pos_weight=pos_weight, reduction="none"
            )
            total = total + share["bce"] * _weighted_mean(pixels, hot.sum(1))
        if share["dice"]:
            valid = hot.sum(1, keepdim=True)
            total = total + share["dice"] * _dice_loss(log_probability.exp() * valid, hot)
        return total

    def _check_shapes(self, logits: torch.Tensor, codes: torch.Tensor) -> None:
        wanted = (logits.shape[0], *logits.shape[2:])
        if logits.ndim != 4 or logits.shape[1] != self.n_classes or codes.shape != wanted:
            raise ValueError(
                f"logits {tuple(logits.shape)} and codes {tuple(codes.shape)} are not "
                f"(n, {self.n_classes}, h, w) and (n, h, w)"
            )


def _weighted_mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return sum(weights * values) / sum(weights), and 0 where no weight is left."""
    weighted, total = global_sum(torch.stack([(values * weights).sum(), weights.sum()]))
    return weighted / torch.where(total > 0, total, 1.0)


def _dice_loss(probability: torch.Tensor, hot: torch.Tensor) -> torch.Tensor:
    """Return 1 - the mean over all classes of the soft Dice of the whole batch."""
    overlaps = (probability * hot).sum((0, 2, 3))
    sizes = probability.sum((0, 2, 3)) + hot.sum((0, 2, 3))
    overlap, sizes = global_sum(torch.stack([overlaps, sizes]))
    return 1 - ((2 * overlap + DICE_SMOOTH_PX) / (sizes + DICE_SMOOTH_PX)).mean()


def class_weights_from_shares(shares: Sequence[float], how: str) -> tuple[float, ...]:
    """Return one weight a class, of mean 1, from the share of pixels each class has.

    Parameters
    ----------
    shares : sequence of float
        Pixels (or their share) of each class among the annotated ones of the training set.
    how : {'none', 'sqrt-inverse', 'inverse'}

    Raises
    ------
    ValueError
        If `how` is unknown, or it would divide by the share of a class without pixels.

    Examples
    --------
    >>> class_weights_from_shares([0.8, 0.2], "inverse")
    (0.4, 1.6)
    """
    raw = [_inverse(share, code, how) for code, share in enumerate(shares)]
    mean = sum(raw) / len(raw)
    return tuple(weight / mean for weight in raw)


def pos_weight_from_shares(shares: Sequence[float], how: str) -> float:
    """Return the weight of class 1 relative to class 0, for the binary cross-entropy.

    With 'inverse' both classes weigh the same in sum. `shares`, `how` and errors are those of
    `class_weights_from_shares`, with exactly two classes.

    Examples
    --------
    >>> pos_weight_from_shares([0.75, 0.25], "inverse")
    3.0
    """
    if len(shares) != 2:
        raise ValueError(f"shares: bce weighs two classes, not {len(shares)}")
    return _inverse(shares[1], 1, how) / _inverse(shares[0], 0, how)


def _inverse(share: float, code: int, how: str) -> float:
    if how not in CLASS_WEIGHTINGS:
        raise ValueError(f"class weights: {how!r} is none of {', '.join(CLASS_WEIGHTINGS)}")
    if how == "none":
        return 1.0
    if not share > 0 or not math.isfinite(share):
        raise ValueError(f"class weights: class {code} has the share {share}, {how} is undefined")
    return 1 / share if how == "inverse" else 1 / math.sqrt(share)


def _check_terms(weights: Mapping[str, float], n_classes: int) -> None:
    for name, weight in weights.items():
        if name not in TERMS:
            raise ValueError(f"loss: {name!r} is none of {', '.join(TERMS)}")
        _check_at_least_zero(f"loss {name}", weight)
    if not any(weights.values()):
        raise ValueError(f"loss: all weights are zero in {dict(weights)}")
    if weights.get("bce", 0) and n_classes != 2:
        raise ValueError(
            f"loss: bce is for 2 classes, not {n_classes}; use cross_entropy (for 2 classes "
            "the same function of the logits)"
        )


def _check_at_least_zero(name: str, value: float) -> None:
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name}: {value} is not a finite number >= 0")


def _unknown_codes(codes: torch.Tensor, n_classes: int) -> str:
    found = sorted(set(codes.unique().tolist()) - {*range(n_classes), IGNORE})
    return f"codes: {found} are neither a class (0 to {n_classes - 1}) nor ignore ({IGNORE})"
