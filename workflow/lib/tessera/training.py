"""The training loop: one screen, resumable to the same bits.

What happens at step n depends on the weights, the optimiser and n. So a state is just these,
plus the history; a run that is stopped and resumed ends in the same weights, bit for bit, as
one that was left alone (on the same machine, thread count and library versions). Where several
processes train together, all run this loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tessera.batches import prefetched
from tessera.devices import PRECISIONS, reproducible
from tessera.distributed import parallel
from tessera.networks import plain

OPTIMISERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
# One-cycle schedule: the first rate is peak / 25, the last one peak / 25 / 10,000.
FIRST_DIVISOR, LAST_DIVISOR = 25, 1e4

State = dict[str, Any]


class Interrupted(RuntimeError):
    """Training was asked to stop; its state was kept first."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    Parameters
    ----------
    optimiser : {'adam', 'adamw'}
    learning_rate : float
        Peak of the one-cycle schedule.
    weight_decay : float
    warm_up_share : float
        Share of the steps in which the learning rate rises, above 0 and below 1.
    clip_norm : float or None
        Largest norm of the gradient; None leaves it alone.
    log_every : int
        Steps a row of the history.
    device : {'cpu', 'cuda'}
    precision : {'fp32', 'bf16', 'tf32'}
        'bf16' runs the network under autocast; all else stays in fp32. 'tf32' is for CUDA.
    compile : bool
        Let `torch.compile` fuse what the network does.
    deterministic : bool
        Let a GPU use such algorithms only as give the same bits again.
    """

    optimiser: str
    learning_rate: float
    weight_decay: float
    warm_up_share: float
    clip_norm: float | None
    log_every: int
    device: str
    precision: str
    compile: bool = False
    deterministic: bool = True

    def __post_init__(self) -> None:
        if self.optimiser not in OPTIMISERS:
            raise ValueError(f"optimiser: {self.optimiser!r} is none of {', '.join(OPTIMISERS)}")
        if self.precision not in PRECISIONS[1:]:
            raise ValueError(f"precision: {self.precision!r} must be resolved: {PRECISIONS[1:]}")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and self.log_every >= 1):
            raise ValueError(f"{self}: a learning rate, weight decay or log_every is too small")
        if not 0 < self.warm_up_share < 1:
            raise ValueError(f"warm_up_share: {self.warm_up_share} is not between 0 and 1")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm: {self.clip_norm} is not above 0")


@dataclass(frozen=True)
class Hooks:
    """What the caller does between steps; the loop itself reads no clock and no disk.

    Parameters
    ----------
    keep : callable of State
        Store the state, which is a copy that later steps leave alone.
    due : callable
        Whether it is time to keep the state.
    stop : callable
        Whether to keep the state and raise `Interrupted`.
    on_step : callable of (int, Tensor)
        Steps done and the loss of the last one; reading the tensor makes the CPU wait for a GPU.
    """

    keep: Callable[[State], None] = lambda state: None
    due: Callable[[], bool] = lambda: False
    stop: Callable[[], bool] = lambda: False
    on_step: Callable[[int, torch.Tensor], None] = lambda steps, loss: None


def train(
    network: nn.Module,
    loss: nn.Module,
    batch_at: Callable[[int], tuple[torch.Tensor, torch.Tensor]],
    n_steps: int,
    settings: Settings,
    state: State | None = None,
    hooks: Hooks | None = None,
) -> State:
    """Train a network in place and return its final state.

    Parameters
    ----------
    network, loss : nn.Module
        `loss(network(inputs), targets)` is minimised.
    batch_at : callable
        Inputs and targets of a step, or this process's part of them, on any device; a pure
        function, called in a thread.
    n_steps : int
        Steps in all, those of `state` included.
    state : dict, optional
        What `hooks.keep` was given by a run with the same arguments.

    Returns
    -------
    dict
        'weights' (by name), 'optimiser', 'next_step', 'history' (rows of 'step', mean 'loss'
        since the row before, 'learning_rate') and 'loss_sum' since the last row. Tensors are
        on the CPU; `torch.load(weights_only=True)` reads it back.

    Raises
    ------
    Interrupted
        After `hooks.stop()` turned true before the last step.
    ValueError
        If the state is of a longer run.
    FloatingPointError
        If the loss is not finite; it is read once a row of the history.
    """
    hooks = hooks or Hooks()
    device = torch.device(settings.device)
    # Before loading weights or making the optimiser, whose tensors take the layout of the weights.
    network.to(device, memory_format=torch.channels_last).train()
    loss.to(device)
    rates = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    optimiser = OPTIMISERS[settings.optimiser](network.parameters(), **rates, fused=True)
    first, history, loss_sum = _restore(state, network, optimiser, n_steps)
    tf32 = settings.precision == "tf32"
    with (
        reproducible(device, settings.deterministic, tf32),
        parallel(network, device) as model,
        closing(prefetched(batch_at, first, n_steps)) as batches,
    ):
        model = torch.compile(model) if settings.compile else model
        for done, (inputs, targets) in enumerate(batches, first + 1):
            rate = one_cycle(done - 1, n_steps, settings.learning_rate, settings.warm_up_share)
            value = _step(model, loss, optimiser, rate, (inputs, targets), settings)
            loss_sum += value.double()
            if done % settings.log_every == 0 or done == n_steps:
                history.append(_row(done, loss_sum, rate, settings.log_every))
                loss_sum = torch.zeros_like(loss_sum)
            hooks.on_step(done, value)
            stopping = done < n_steps and hooks.stop()
            if stopping or hooks.due():
                hooks.keep(_state(network, optimiser, done, history, loss_sum))
            if stopping:
                raise Interrupted(f"training stopped after step {done} of {n_steps}")
    return _state(network, optimiser, n_steps, history, loss_sum)


def _step(
    network: nn.Module,
    loss: nn.Module,
    optimiser: torch.optim.Optimizer,
    learning_rate: float,
    batch: tuple[torch.Tensor, torch.Tensor],
    settings: Settings,
) -> torch.Tensor:
    """Take one step of the optimiser and return the loss before it."""
    inputs, targets = batch
    device = torch.device(settings.device)
    for part in batch:
        if part.is_cuda:  # made on another stream, whose next batch must not overwrite it yet
            part.record_stream(torch.cuda.current_stream())
    # Convolutions are several times slower where the layouts of input and weights differ.
    layout = torch.channels_last if inputs.ndim == 4 else torch.preserve_format
    inputs = inputs.to(device, memory_format=layout)
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bf16"):
        outputs = network(inputs)
    value = loss(outputs, targets.to(device))
    optimiser.zero_grad(set_to_none=True)
    value.backward()
    if settings.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
    optimiser.step()
    return value.detach()


def one_cycle(step: int, n_steps: int, peak: float, warm_up_share: float) -> float:
    """Return the learning rate of a step: up to the peak, then down, both along a cosine.

    Equals `torch.optim.lr_scheduler.OneCycleLR` with its defaults, but is a function of the step.

    References
    ----------
    Smith, Topin 2019, DOI 10.1117/12.2520589.
    """
    first, last = peak / FIRST_DIVISOR, peak / FIRST_DIVISOR / LAST_DIVISOR
    top = max(warm_up_share * n_steps - 1, 0)
    if top > 0 and step <= top:
        start, stop, share = first, peak, step / top
    else:
        start, stop, share = peak, last, (step - top) / max(n_steps - 1 - top, 1)
    return stop + (start - stop) / 2 * (1 + math.cos(math.pi * share))


def _row(done: int, loss_sum: torch.Tensor, rate: float, log_every: int) -> dict[str, float]:
    mean = loss_sum.item() / ((done - 1) % log_every + 1)
    if not math.isfinite(mean):
        raise FloatingPointError(
            f"the mean loss is {mean} in the row that ends at step {done} "
            f"(learning rate {rate:.3g}): lower the learning rate, or check images and masks"
        )
    return {"step": done, "loss": mean, "learning_rate": rate}


def _state(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    next_step: int,
    history: list[dict[str, float]],
    loss_sum: torch.Tensor,
) -> State:
    return plain(
        {
            "weights": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "next_step": next_step,
            "history": history,
            "loss_sum": loss_sum.item(),
        }
    )


def _restore(
    state: State | None, network: nn.Module, optimiser: torch.optim.Optimizer, n_steps: int
) -> tuple[int, list[dict[str, float]], torch.Tensor]:
    device = next(network.parameters()).device
    if state is None:
        return 0, [], torch.zeros((), dtype=torch.float64, device=device)
    if state["next_step"] > n_steps:
        raise ValueError(f"state: of step {state['next_step']}, beyond the {n_steps} of this run")
    network.load_state_dict(state["weights"])
    # A copy: the optimiser would otherwise go on in the very tensors of the caller's state.
    optimiser.load_state_dict(plain(state["optimiser"]))
    loss_sum = torch.tensor(state["loss_sum"], dtype=torch.float64, device=device)
    return state["next_step"], [dict(row) for row in state["history"]], loss_sum
