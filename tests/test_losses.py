"""Losses: against torch, scikit-learn and closed forms; ignored pixels count nowhere."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from tessera.classes import IGNORE
from tessera.losses import (
    TERMS,
    SegmentationLoss,
    class_weights_from_shares,
    pos_weight_from_shares,
)


def batch(n_classes=3, ignored=0.3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, n_classes, 5, 7, generator=generator, dtype=dtype)
    codes = torch.randint(0, n_classes, (2, 5, 7), generator=generator, dtype=torch.uint8)
    codes[torch.rand(codes.shape, generator=generator) < ignored] = IGNORE
    return logits, codes


def every_term(n_classes):
    return {name: 1.0 for name in TERMS if name != "bce" or n_classes == 2}


@pytest.mark.parametrize("class_weights", [None, [0.5, 1.0, 4.0]])
def test_cross_entropy_is_that_of_torch(class_weights):
    logits, codes = batch()
    weight = None if class_weights is None else torch.tensor(class_weights, dtype=logits.dtype)
    expected = functional.cross_entropy(logits, codes.long(), weight, ignore_index=IGNORE)
    loss = SegmentationLoss(3, {"cross_entropy": 1}, class_weights=class_weights)
    torch.testing.assert_close(loss(logits, codes), expected)


def test_cross_entropy_is_the_log_loss_of_scikit_learn():
    logits, codes = batch(ignored=0)
    probability = torch.softmax(logits, 1).permute(0, 2, 3, 1).reshape(-1, 3)
    expected = log_loss(codes.flatten().numpy(), probability.numpy())
    assert SegmentationLoss(3, {"cross_entropy": 1})(logits, codes) == pytest.approx(expected)


@pytest.mark.parametrize("pos_weight", [1.0, 5.0])
def test_bce_is_that_of_torch_on_the_difference_of_logits(pos_weight):
    logits, codes = batch(2)
    valid = codes != IGNORE
    z, y = (logits[:, 1] - logits[:, 0])[valid], (codes == 1)[valid].double()
    expected = functional.binary_cross_entropy_with_logits(
        z, y, pos_weight=torch.tensor(pos_weight)
    )
    loss = SegmentationLoss(2, {"bce": 1}, pos_weight=pos_weight)
    torch.testing.assert_close(loss(logits, codes), expected)


def test_bce_without_weight_is_cross_entropy():
    logits, codes = batch(2)
    bce, cross_entropy = (SegmentationLoss(2, {name: 1}) for name in ("bce", "cross_entropy"))
    torch.testing.assert_close(bce(logits, codes), cross_entropy(logits, codes))


def test_focal_without_focus_is_cross_entropy():
    logits, codes = batch()
    focal = SegmentationLoss(3, {"focal": 1}, focal_gamma=0, class_weights=[1, 2, 3])
    cross_entropy = SegmentationLoss(3, {"cross_entropy": 1}, class_weights=[1, 2, 3])
    torch.testing.assert_close(focal(logits, codes), cross_entropy(logits, codes))


def test_focal_of_one_pixel_in_closed_form():
    p = 0.8
    logits = torch.tensor([math.log(1 - p), math.log(p)]).double().view(1, 2, 1, 1)
    loss = SegmentationLoss(2, {"focal": 1}, focal_gamma=2.0)
    value = loss(logits, torch.ones(1, 1, 1, dtype=torch.uint8))
    assert value.item() == pytest.approx((1 - p) ** 2 * -math.log(p))


def test_dice_of_overlapping_squares_in_closed_form():
    """Prediction and truth are rectangles of 12 and 8 of 40 pixels that share 4."""
    pred, true = torch.zeros(1, 5, 8), torch.zeros(1, 5, 8, dtype=torch.uint8)
    pred[:, :3, :4], true[:, 2:4, :4] = 1, 1
    logits = 100 * torch.stack([1 - pred, pred], 1).double()
    foreground, background = 2 * 4 / (12 + 8), 2 * (40 - 16) / (28 + 32)
    value = SegmentationLoss(2, {"dice": 1})(logits, true)
    assert value.item() == pytest.approx(1 - (foreground + background) / 2, abs=1e-6)


def test_dice_sums_over_the_batch():
    logits, codes = batch()
    loss = SegmentationLoss(3, {"dice": 1})
    joined = loss(
        logits.flatten(0, 0).transpose(0, 1).reshape(1, 3, 10, 7), codes.reshape(1, 10, 7)
    )
    torch.testing.assert_close(loss(logits, codes), joined)


def test_perfect_prediction_costs_nothing():
    _, codes = batch()
    hot = (codes.unsqueeze(1) == torch.arange(3).view(1, 3, 1, 1)).double()
    value = SegmentationLoss(3, every_term(3))(200 * hot, codes)
    assert value.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("junk", [1e6, math.nan, math.inf])
def test_ignored_pixels_change_neither_loss_nor_gradient(n_classes, junk):
    logits, codes = batch(n_classes)
    ignored = (codes == IGNORE).unsqueeze(1).expand_as(logits)
    other = torch.where(ignored, junk, logits)
    loss = SegmentationLoss(n_classes, every_term(n_classes), class_weights=range(1, n_classes + 1))
    values, slopes = [], []
    for values_in in (logits, other):
        leaf = values_in.clone().requires_grad_()
        values.append(loss(leaf, codes))
        values[-1].backward()
        slopes.append(leaf.grad)
    assert values[0] == values[1]
    assert torch.equal(slopes[0], slopes[1])
    assert not slopes[1][ignored].any()


def test_loss_is_that_of_the_remaining_pixels():
    logits, codes = batch()
    kept = codes != IGNORE
    loss = SegmentationLoss(3, every_term(3), class_weights=[1, 2, 3])
    alone = logits.permute(1, 0, 2, 3)[:, kept].view(1, 3, 1, -1)
    torch.testing.assert_close(loss(logits, codes), loss(alone, codes[kept].view(1, 1, -1)))


@pytest.mark.parametrize("n_classes", [2, 3])
def test_nothing_annotated_is_zero(n_classes):
    logits, codes = batch(n_classes)
    leaf = logits.requires_grad_()
    value = SegmentationLoss(n_classes, every_term(n_classes))(leaf, torch.full_like(codes, IGNORE))
    value.backward()
    assert value == 0
    assert not leaf.grad.any()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradients_are_those_of_finite_differences(gamma):
    logits, codes = batch(2)
    loss = SegmentationLoss(2, every_term(2), focal_gamma=gamma, pos_weight=3.0)
    assert torch.autograd.gradcheck(lambda x: loss(x, codes), logits.requires_grad_())


def test_certain_pixels_have_finite_gradients():
    leaf = torch.tensor([80.0, -80.0]).view(1, 2, 1, 1).requires_grad_()
    loss = SegmentationLoss(2, every_term(2), focal_gamma=0.5)
    loss(leaf, torch.zeros(1, 1, 1, dtype=torch.uint8)).backward()
    assert leaf.grad.isfinite().all()


def test_loss_is_fp32_under_autocast():
    logits, codes = batch(dtype=torch.float32)
    loss = SegmentationLoss(3, every_term(3))
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(logits, codes)
    assert value == loss(logits, codes)
    assert loss(logits.bfloat16(), codes).dtype == torch.float32


def test_terms_add_up():
    logits, codes = batch()
    shares = {"cross_entropy": 0.5, "dice": 2.0, "focal": 0.1}
    parts = sum(w * SegmentationLoss(3, {name: 1})(logits, codes) for name, w in shares.items())
    torch.testing.assert_close(SegmentationLoss(3, shares)(logits, codes), parts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_classes": 3, "weights": {"bce": 1}}, "bce is for 2 classes, not 3"),
        ({"n_classes": 3, "weights": {"dice": 0}}, "all weights are zero"),
        ({"n_classes": 3, "weights": {"dice": -1}}, "dice: -1"),
        ({"n_classes": 3, "weights": {"iou": 1}}, "'iou' is none of"),
        (
            {"n_classes": 3, "weights": {"dice": 1}, "class_weights": [1, 2]},
            "2 weights for 3 classes",
        ),
        ({"n_classes": 3, "weights": {"dice": 1}, "focal_gamma": math.nan}, "focal_gamma: nan"),
    ],
)
def test_impossible_losses_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SegmentationLoss(**arguments)


def test_codes_that_are_no_class_are_refused():
    logits, codes = batch()
    codes[0, 0, 0] = 7
    with pytest.raises(
        ValueError, match=r"\[7\] are neither a class \(0 to 2\) nor ignore \(255\)"
    ):
        SegmentationLoss(3, {"dice": 1})(logits, codes)


def test_shapes_that_do_not_fit_are_refused():
    logits, codes = batch()
    with pytest.raises(ValueError, match=r"\(2, 3, 5, 7\) and codes \(2, 5, 6\)"):
        SegmentationLoss(3, {"dice": 1})(logits, codes[..., :-1])


def test_inverse_weights_are_the_balanced_ones_of_scikit_learn():
    codes = np.repeat([0, 1, 2], [70, 20, 10])
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=codes)
    weights = class_weights_from_shares([0.7, 0.2, 0.1], "inverse")
    np.testing.assert_allclose(weights, balanced / balanced.mean())


@pytest.mark.parametrize("how", ["none", "sqrt-inverse", "inverse"])
def test_class_weights_have_mean_one_and_ignore_the_unit_of_shares(how):
    weights = class_weights_from_shares([0.64, 0.32, 0.04], how)
    assert np.mean(weights) == pytest.approx(1)
    assert class_weights_from_shares([64, 32, 4], how) == pytest.approx(weights)


def test_class_weights_in_closed_form():
    assert class_weights_from_shares([0.64, 0.04], "sqrt-inverse") == pytest.approx((0.4, 1.6))
    assert class_weights_from_shares([1.0, 0.0], "none") == (1.0, 1.0)
    assert pos_weight_from_shares([0.64, 0.04], "inverse") == pytest.approx(16)
    assert pos_weight_from_shares([0.64, 0.04], "sqrt-inverse") == pytest.approx(4)
    assert pos_weight_from_shares([0.64, 0.04], "none") == 1


def test_weights_of_absent_classes_are_refused():
    with pytest.raises(ValueError, match=r"class 1 has the share 0\.0"):
        class_weights_from_shares([1.0, 0.0], "inverse")
    with pytest.raises(ValueError, match="two classes, not 3"):
        pos_weight_from_shares([0.5, 0.3, 0.2], "inverse")
    with pytest.raises(ValueError, match="'median' is none of"):
        class_weights_from_shares([0.5, 0.5], "median")
