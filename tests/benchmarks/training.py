"""Training: tiles a second, the arithmetic rate of a step, and what the loader costs.

Ours is the loop of the workflow, on files as the workflow writes them: tiles cut from mapped pages
and augmented in a thread, the settings of `config/config.yaml`. Theirs is the loop of a tutorial,
with the same network and batch: fp32, contiguous, Adam, a `DataLoader` over tensors, no
augmentation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import samples
from benchmarks.measuring import Comparison, Figures, Job, Options, Target, each, measured

WARM_UP_STEPS = 2


@dataclass(frozen=True)
class Size:
    """What is trained, and for how many steps a trial; `products` are sides of square matrices."""

    channels: tuple[int, ...] = (32, 64, 128, 256)
    batch: int = 16
    tile_px: int = 192
    pages: int = 4
    page_px: int = 1024
    steps: int = 12
    products: tuple[int, ...] = (1024, 1536, 2048, 3072, 4096)


FULL = Size()
TINY = Size((4, 8), 2, 32, pages=1, page_px=64, steps=3, products=(64,))


def comparisons(options: Options) -> list[Comparison]:
    """Rows of the table."""
    size = TINY if options.tiny else FULL
    files = samples.shard(options.scratch, size.pages, (size.page_px,) * 2, size.tile_px)
    shared = {"files": files, "channels": size.channels, "batch": size.batch}
    shared |= {"tile_px": size.tile_px, "steps": size.steps}
    figures = measured(
        {
            "ours": Job(f"{__name__}:tessera_loop", shared | {"repeated": False}),
            "tutorial": Job(f"{__name__}:tutorial_loop", shared),
            "repeated": Job(f"{__name__}:tessera_loop", shared | {"repeated": True}),
            "product": Job(f"{__name__}:matrix_product", {"sides": size.products}),
        },
        options,
    )
    network = "-".join(map(str, size.channels))
    case = f"{network}, batch {size.batch} of {size.tile_px} px"
    precision = figures["ours"][0]["precision"]
    share = [100 * trial["waited_s"] / trial["step_s"] for trial in figures["ours"]]
    slower = [
        100 * (ours["step_s"] / same["step_s"] - 1)
        for ours, same in zip(figures["ours"], figures["repeated"], strict=True)
    ]
    return [
        Comparison(
            "training",
            f"loop against a tutorial's, {case}",
            "tiles/s",
            each(figures["ours"], "tiles_per_s"),
            each(figures["tutorial"], "tiles_per_s"),
            Target("ratio", ">=", 3),
            f"ours {precision} and augmented, theirs fp32 and not",
        ),
        Comparison(
            "training",
            f"arithmetic of a step against a {precision} matrix product, {case}",
            "TFLOP/s",
            each(figures["ours"], "tflop_per_s"),
            each(figures["product"], "tflop_per_s"),
            Target("ratio", ">=", 0.6),
            f"product: best of sides {', '.join(map(str, size.products))}",
        ),
        Comparison(
            "training",
            f"step waits for its batch, {case}",
            "% of a step",
            share,
            target=Target("ours", "<", 5),
        ),
        Comparison(
            "training",
            f"step slower than with one batch given again and again, {case}",
            "% of a step",
            slower,
            target=Target("ours", "<", 5),
        ),
    ]


def tessera_loop(
    files: list[str],
    channels: list[int],
    batch: int,
    tile_px: int,
    steps: int,
    repeated: bool,
) -> Callable[[], Figures]:
    """Prepare the workflow's loop; `repeated` gives it the same augmented batch at every step."""
    import train as script
    from tessera import training
    from tessera.augmentation import Augmentation, augmented
    from tessera.devices import resolve_precision
    from tessera.networks import Architecture, build

    script.prepare_process(torch.get_num_threads())
    recipe = planned_recipe(channels, batch, tile_px)
    precision = resolve_precision(recipe.precision, "cpu")
    run = script.Run(0, "0", "cpu", precision, torch.get_num_threads(), "")
    batches, shares = script.training_tiles([tuple(files)], recipe, run.seed)
    strength = Augmentation(**recipe.augmentation)
    batch_at = augmented(batches, run.seed, strength, run.device)
    architecture = Architecture(recipe.network, tuple(channels), 1, len(recipe.classes))
    network, loss = build(architecture, run.seed), script.loss_of(recipe, shares)
    tflop = _flop_of_step(build(architecture, 0), loss, batch_at(0)) / 1e12
    if repeated:
        again = batch_at(0)
        batch_at = lambda step: again  # noqa: E731 - the one line says it

    def trial(steps: int = steps) -> Figures:
        # One step more than is timed: the first one starts the loader.
        clock = _Clock()
        settings = script.settings_of(recipe, run, steps + 1)
        hooks = training.Hooks(on_step=clock.step_done)
        with patch.object(training, "prefetched", clock.timed(training.prefetched)):
            training.train(network, loss, batch_at, steps + 1, settings, hooks=hooks)
        step_s = median(clock.steps_s())
        return {
            "tiles_per_s": batch * steps / sum(clock.steps_s()),
            "step_s": step_s,
            "waited_s": sum(clock.waits_s[1:]) / steps,
            "tflop_per_s": tflop / step_s,
            "precision": precision,
        }

    trial(WARM_UP_STEPS)
    return trial


class _Clock:
    """When steps ended, and how long each waited for its batch."""

    def __init__(self) -> None:
        self._ends_s: list[float] = []
        self.waits_s: list[float] = []

    def step_done(self, steps: int, loss: torch.Tensor) -> None:
        self._ends_s.append(time.perf_counter())

    def steps_s(self) -> list[float]:
        """Seconds of every step but the first, its wait included."""
        return [b - a for a, b in zip(self._ends_s, self._ends_s[1:], strict=False)]

    def timed(self, prefetched: Callable[..., Iterator]) -> Callable[..., Iterator]:
        """The loader, with the time in which the loop waits for it taken."""

        def waited_for(*arguments: Any) -> Iterator:
            batches = prefetched(*arguments)
            try:
                while True:
                    start = time.perf_counter()
                    item = next(batches, None)
                    if item is None:
                        return
                    self.waits_s.append(time.perf_counter() - start)
                    yield item
            finally:
                batches.close()

        return waited_for


def planned_recipe(channels: list[int], batch: int, tile_px: int) -> Any:
    """The config's recipe, with what it leaves to the plan stated."""
    import train as script

    block = samples.config()["train"] | {
        "network": "unet",
        "channels": channels,
        "loss": {"cross_entropy": 1.0, "dice": 1.0},
        "class_weights": "sqrt-inverse",
        "epochs": 1,
        "batch": batch,
        "jitter_px": tile_px // 4,
        "classes": [(name, code) for code, name in enumerate(samples.CLASSES)],
    }
    return script.recipe_of({"train": block, "tile": {"size_px": tile_px}})


def _flop_of_step(network: nn.Module, loss: nn.Module, batch: tuple) -> int:
    """Floating-point operations, a multiplication and an addition being two, of a step."""
    inputs, targets = batch
    with FlopCounterMode(display=False) as counter:
        loss(network(inputs), targets).backward()
    return counter.get_total_flops()


def tutorial_loop(
    files: list[str], channels: list[int], batch: int, tile_px: int, steps: int
) -> Callable[[], Figures]:
    """Prepare the loop of a tutorial, on tiles that lie in memory."""
    import train as script
    from tessera.networks import Architecture, build

    batches, _ = script.training_tiles([tuple(files)], planned_recipe(channels, batch, tile_px), 0)
    parts = [batches.at(step) for step in range(batches.n_steps(1))]
    images, codes = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    dataset = TensorDataset(images, codes.long())
    loader = DataLoader(dataset, batch_size=batch, shuffle=True, drop_last=True)
    network = build(Architecture("unet", tuple(channels), 1, len(samples.CLASSES)), 0)
    loss = nn.CrossEntropyLoss(ignore_index=255)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)

    def endless() -> Iterator[list[torch.Tensor]]:
        while True:
            yield from loader

    def trial(steps: int = steps) -> Figures:
        network.train()
        ends_s, running_loss = [], 0.0
        for inputs, targets in islice(endless(), steps + 1):
            optimiser.zero_grad()
            value = loss(network(inputs), targets)
            value.backward()
            optimiser.step()
            running_loss += value.item()
            ends_s.append(time.perf_counter())
        return {"tiles_per_s": batch * steps / (ends_s[-1] - ends_s[0])}

    trial(WARM_UP_STEPS)
    return trial


def matrix_product(sides: list[int]) -> Callable[[], Figures]:
    """Prepare square matrix products in the precision that training takes here."""
    from tessera.devices import resolve_precision

    bf16 = resolve_precision(samples.config()["train"]["precision"], "cpu") == "bf16"
    kind = torch.bfloat16 if bf16 else torch.float32

    def rate(side: int) -> float:
        a, b = (torch.randn(side, side).to(kind) for _ in range(2))
        a @ b
        times_s = []
        for _ in range(5):
            start = time.perf_counter()
            a @ b
            times_s.append(time.perf_counter() - start)
        return 2 * side**3 / min(times_s) / 1e12

    return lambda: {"tflop_per_s": max(map(rate, sides))}
