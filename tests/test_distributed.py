"""Several processes: what they train together is what one process trains, within rounding."""

import pytest
import torch
from torch import nn

from tessera import distributed
from tessera.distributed import (
    GlobalBatchNorm2d,
    any_process,
    global_sum,
    own_rows,
    parallel,
    place,
    process_group,
)
from tessera.losses import SegmentationLoss
from tessera.networks import Architecture, build, weights_digest
from tessera.training import Settings, train
from tessera.workers import run_workers

CPU = torch.device("cpu")
N_STEPS, BATCH = 6, 5  # which two processes cannot share evenly
SETTINGS = Settings("adamw", 1e-3, 1e-2, 0.3, 1.0, 1, "cpu", "fp32")
LOSSES = {
    3: SegmentationLoss(3, {"cross_entropy": 1, "dice": 1, "focal": 1}, class_weights=[1, 2, 3]),
    2: SegmentationLoss(2, {"bce": 1}, pos_weight=2.0),
}
# Of a weight after six steps. The optimiser divides by the size of a gradient, so where one is all
# but zero its rounding counts.
TOLERANCE = {"float64": 1e-10, "float32": 1e-5}


def batch_at(step, dtype, n_classes):
    """This process's part of a batch in which a quarter of the pixels is ignored, one by one."""
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(BATCH, 1, 16, 16, generator=generator)
    codes = torch.randint(0, n_classes, (BATCH, 16, 16), generator=generator, dtype=torch.uint8)
    codes[torch.rand(codes.shape, generator=generator) < 0.25] = 255
    codes[0] = 255  # so that the parts differ in what counts
    rows = own_rows(BATCH)
    return images[rows].to(dtype), codes[rows]


def trained(dtype, n_classes):
    """Weights and losses of a short training, by this process and those beside it."""
    dtype = getattr(torch, dtype)
    network = build(Architecture("unet", (4, 6, 8), 1, n_classes), seed=0).to(dtype)
    kinds = [type(module) for module in network.modules()]
    loss = LOSSES[n_classes]
    state = train(network, loss, lambda step: batch_at(step, dtype, n_classes), N_STEPS, SETTINGS)
    return {
        "weights": {name: tensor.tolist() for name, tensor in state["weights"].items()},
        "losses": [row["loss"] for row in state["history"]],
        "digest": weights_digest(state["weights"]),
        "left_as_it_was": kinds == [type(module) for module in network.modules()],
    }


def said_by_all(value):
    said = [None] * place()[1]
    torch.distributed.all_gather_object(said, value)
    return said


def worker():
    """What one of several processes finds; the tests look at it."""
    with process_group(CPU):
        leaf = torch.tensor([1.0, place()[0]], requires_grad=True)
        total = global_sum(leaf**2)
        total.sum().backward()
        return {
            "total": total.tolist(),
            "slope": said_by_all(leaf.grad.tolist()),
            "rows": said_by_all(list(range(BATCH)[own_rows(BATCH)])),
            "votes": [any_process(said) for said in (False, place()[0] == 1, True)],
            "trained": {
                dtype: {str(n): said_by_all(trained(dtype, n)) for n in LOSSES}
                for dtype in TOLERANCE
            },
        }


@pytest.fixture(scope="module")
def pair():
    """What two processes over gloo found."""
    return run_workers(__file__, {}, n=2, threads=1)


@pytest.mark.parametrize("n_classes", LOSSES)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_two_processes_train_what_one_does(pair, dtype, n_classes):
    alone = trained(dtype, n_classes)
    first, second = pair["trained"][dtype][str(n_classes)]
    assert first["digest"] == second["digest"]
    assert first["losses"] == pytest.approx(alone["losses"], rel=TOLERANCE[dtype])
    assert list(first["weights"]) == list(alone["weights"])
    for name, expected in alone["weights"].items():
        found = torch.tensor(first["weights"][name], dtype=torch.float64)
        expected = torch.tensor(expected, dtype=torch.float64)
        assert (found - expected).abs().max() <= TOLERANCE[dtype], name


def test_the_network_is_left_as_it_was(pair):
    for of_dtype in pair["trained"].values():
        assert all(each["left_as_it_was"] for said in of_dtype.values() for each in said)


def test_sums_and_their_slopes_are_over_all(pair):
    assert pair["total"] == [2, 1]
    # Each process has the same total, and the slope is that of all their totals.
    assert pair["slope"] == [[4, 0], [4, 4]]


def test_every_sample_is_taken_once(pair):
    assert sorted(row for rows in pair["rows"] for row in rows) == list(range(BATCH))


def test_one_process_is_enough_to_stop_all(pair):
    assert pair["votes"] == [False, True, True]


def test_alone_nothing_is_done():
    values, network = torch.ones(3), build(Architecture("unet", (4,), 1, 2), seed=0)
    assert place() == (0, 1)
    assert global_sum(values) is values
    assert any_process(True)
    assert not any_process(False)
    assert range(7)[own_rows(7)] == range(7)
    with parallel(network, CPU) as model:
        assert model is network


def test_a_batch_smaller_than_the_devices_is_refused(monkeypatch):
    monkeypatch.setattr(distributed, "place", lambda: (0, 4))
    with pytest.raises(ValueError, match="3 tiles cannot be shared by 4 devices"):
        own_rows(3)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)],
)
def test_the_global_norm_of_one_process_is_that_of_torch(dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    images = 5 + 3 * torch.randn(4, 3, 5, 6, generator=generator, dtype=torch.float64)
    pull = torch.randn(images.shape, generator=generator, dtype=torch.float64).to(dtype)
    found = []
    for kind in (nn.BatchNorm2d, GlobalBatchNorm2d):
        norm = kind(3).to(torch.float32 if dtype == torch.bfloat16 else dtype)
        leaf = images.to(dtype).requires_grad_()
        norm(leaf)
        output = norm(leaf)
        (output * pull).sum().backward()
        assert output.dtype == dtype
        evaluated = norm.eval()(leaf)
        found.append([output, evaluated, leaf.grad, norm.weight.grad, *norm.buffers()])
    for expected, value in zip(*found, strict=True):
        torch.testing.assert_close(value, expected, rtol=tolerance, atol=20 * tolerance)
