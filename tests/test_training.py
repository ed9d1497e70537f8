"""Training: resumed runs end in the same bits; schedule, and optimiser are as stated."""

import dataclasses
import io

import pytest
import torch
from torch import nn

from tessera.augmentation import Augmentation, augment
from tessera.batches import sample_generators
from tessera.losses import SegmentationLoss
from tessera.networks import Architecture, build, to_bytes, weights_digest
from tessera.training import (
    Hooks,
    Interrupted,
    Settings,
    one_cycle,
    train,
)

SETTINGS = Settings(
    optimiser="adamw",
    learning_rate=1e-2,
    weight_decay=1e-2,
    warm_up_share=0.3,
    clip_norm=1.0,
    log_every=3,
    device="cpu",
    precision="fp32",
)
N_STEPS = 12


def batch_at(step):
    """Bright pixels are class 1; augmented, and with noise, so that randomness is at work."""
    generators = sample_generators(0, step, range(4))
    images = torch.stack([torch.randn(1, 16, 16, generator=each) for each in generators])
    settings = Augmentation(dihedral=True, contrast=0.2, brightness=0.2, noise=0.2)
    return augment(images, (images[:, 0] > 0).to(torch.uint8), generators, settings)


def run(n_steps=N_STEPS, settings=SETTINGS, state=None, hooks=None):
    network = build(Architecture("unet", (4, 6, 8), 1, 2), seed=0)
    loss = SegmentationLoss(2, {"cross_entropy": 1, "dice": 1})
    return train(network, loss, batch_at, n_steps, settings, state, hooks)


def stopped_after(steps, settings=SETTINGS):
    """The state a killed run left behind, through the bytes of a file."""
    files, seen = [], []
    hooks = Hooks(
        keep=lambda state: files.append(to_bytes(state)),
        stop=lambda: len(seen) >= steps,
        on_step=lambda done, loss: seen.append(done),
    )
    with pytest.raises(Interrupted, match=f"step {steps} of {N_STEPS}"):
        run(settings=settings, hooks=hooks)
    return torch.load(io.BytesIO(files[-1]), weights_only=True)


@pytest.mark.parametrize("optimiser", ["adam", "adamw"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_resumed_run_ends_in_the_same_bits(optimiser, precision):
    settings = dataclasses.replace(SETTINGS, optimiser=optimiser, precision=precision)
    straight = run(settings=settings)
    resumed = run(settings=settings, state=stopped_after(5, settings))
    assert weights_digest(resumed["weights"]) == weights_digest(straight["weights"])
    assert resumed["history"] == straight["history"]
    assert to_bytes(resumed) == to_bytes(straight)
    assert weights_digest(run(settings=settings)["weights"]) == weights_digest(straight["weights"])


@pytest.mark.parametrize("steps", [1, 3, 11])
def test_any_step_is_good_to_resume_from(steps):
    assert to_bytes(run(state=stopped_after(steps))) == to_bytes(run())


def test_a_run_may_be_killed_twice():
    files = []
    for _ in range(3):
        state = torch.load(io.BytesIO(files[-1]), weights_only=True) if files else None
        seen = []
        hooks = Hooks(
            keep=lambda state: files.append(to_bytes(state)),
            stop=lambda seen=seen: len(seen) == 4,
            on_step=lambda done, loss, seen=seen: seen.append(done),
        )
        try:
            final = run(state=state, hooks=hooks)
        except Interrupted:
            continue
    assert len(files) == 2
    assert to_bytes(final) == to_bytes(run())


def test_kept_states_are_copies_and_resuming_leaves_them_alone():
    states = []
    run(hooks=Hooks(keep=states.append, due=lambda: True))
    assert [state["next_step"] for state in states] == list(range(1, N_STEPS + 1))
    assert len({weights_digest(state["weights"]) for state in states}) == N_STEPS
    before = to_bytes(states[4])
    run(state=states[4])
    assert to_bytes(states[4]) == before


def test_a_finished_state_is_returned_as_it_is():
    final = run()
    assert to_bytes(run(state=final)) == to_bytes(final)
    with pytest.raises(ValueError, match="of step 12, beyond the 10"):
        run(n_steps=10, state=final)


def test_history_is_the_mean_loss_of_each_interval():
    losses = []
    state = run(n_steps=8, hooks=Hooks(on_step=lambda done, loss: losses.append(loss.item())))
    assert [row["step"] for row in state["history"]] == [3, 6, 8]
    for row, part in zip(state["history"], (losses[:3], losses[3:6], losses[6:]), strict=True):
        assert row["loss"] == pytest.approx(sum(part) / len(part), rel=1e-12)
        assert row["learning_rate"] == one_cycle(row["step"] - 1, 8, 1e-2, 0.3)


def test_the_loss_falls():
    history = run(n_steps=60)["history"]
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]


def test_the_loop_is_the_plain_one_of_torch():
    """Oracle: the textbook loop, with the scheduler, clipping and optimiser of torch."""
    network = build(Architecture("unet", (4, 6, 8), 1, 2), seed=0).double()
    loss = SegmentationLoss(2, {"cross_entropy": 1, "dice": 1})
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=1e-2)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 1e-2, total_steps=N_STEPS, cycle_momentum=False
    )
    for step in range(N_STEPS):
        images, codes = batch_at(step)
        optimiser.zero_grad()
        loss(network(images.double()), codes).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        scheduler.step()
    twin = build(Architecture("unet", (4, 6, 8), 1, 2), seed=0).double()

    def in_double(step):
        images, codes = batch_at(step)
        return images.double(), codes

    train(twin, loss, in_double, N_STEPS, SETTINGS)
    for expected, found in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("n_steps", [4, 10, 37, 1000])
@pytest.mark.parametrize("warm_up_share", [0.05, 0.3, 0.7])
def test_the_schedule_is_that_of_torch(n_steps, warm_up_share):
    if warm_up_share * n_steps == 1:
        pytest.skip("torch divides by zero")
    parameter = nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 3e-3, total_steps=n_steps, pct_start=warm_up_share, cycle_momentum=False
    )
    expected = []
    for _ in range(n_steps):
        expected.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step() if len(expected) < n_steps else None
    found = [one_cycle(step, n_steps, 3e-3, warm_up_share) for step in range(n_steps)]
    if warm_up_share * n_steps > 1:
        assert found == pytest.approx(expected, rel=1e-9)
    else:
        assert found[0] == 3e-3


@pytest.mark.parametrize("n_steps", [1, 2, 3, 20])
def test_the_schedule_of_any_run_is_positive_and_at_most_the_peak(n_steps):
    rates = [one_cycle(step, n_steps, 1.0, 0.3) for step in range(n_steps)]
    assert all(0 < rate <= 1 for rate in rates)


def test_a_loss_that_is_not_finite_stops_the_run_with_its_step():
    def broken(step):
        images, codes = batch_at(step)
        return (images * float("nan") if step == 4 else images), codes

    network = build(Architecture("unet", (4,), 1, 2), seed=0)
    with pytest.raises(FloatingPointError, match="nan in the row that ends at step 6"):
        train(network, SegmentationLoss(2, {"dice": 1}), broken, 12, SETTINGS)


def test_what_is_compiled_is_the_network_and_its_state_has_the_same_names(monkeypatch):
    """The compiler is a stand-in: nothing here may depend on one being installed."""
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model: compiled.append(model) or model)
    plain = run()
    assert not compiled
    state = run(settings=dataclasses.replace(SETTINGS, compile=True))
    assert len(compiled) == 1
    assert to_bytes(state) == to_bytes(plain)


@pytest.mark.parametrize(
    "change",
    [
        {"optimiser": "sgd"},
        {"precision": "auto"},
        {"learning_rate": 0.0},
        {"warm_up_share": 1.0},
        {"clip_norm": 0.0},
        {"log_every": 0},
    ],
)
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(SETTINGS, **change)
