"""Time a few steps of training, on tiles of noise, and see how much memory they take."""

import resource
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tessera.augmentation import Augmentation, augmented
from tessera.batches import TileBatches
from tessera.calibration import MOST_STEPS, Calibration, is_enough, median_step
from tessera.devices import (
    own_gpus,
    prepare_process,
    processor_name,
    resolve_device,
    resolve_precision,
)
from tessera.files import write_text
from tessera.logs import LOG, logged_to
from tessera.losses import SegmentationLoss
from tessera.networks import Architecture, build
from tessera.training import Hooks, Interrupted, Settings, train

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

SEED = 0


def main(settings: dict[str, Any], device: str, cpus: int, devices: int, output: str) -> None:
    """Write what a step costs to `output`.

    Parameters
    ----------
    settings : dict
        The `train` block without what costs nothing, with size_px and n_classes, and n_inputs
        where that is not 1.
    device : {'auto', 'cpu', 'cuda'}
    cpus, devices : int
        Processors of the job, and processes that would train together: one of them is timed, on
        its part of the batch.
    output : str
    """
    device = resolve_device(device)
    threads = max(1, cpus // devices)
    prepare_process(threads)
    settings = settings | {"batch": -(-settings["batch"] // devices)}
    with own_gpus(device):
        moments = timed(settings, device)
        gpu_mb = torch.cuda.max_memory_reserved() / 1e6 if device == "cuda" else 0
        processor = processor_name(device)
    seconds, n_steps = median_step(moments)
    calibration = Calibration(
        seconds_a_step=round(seconds, 4),
        first_step_seconds=round(moments[1] - moments[0], 2),
        timed_steps=n_steps,
        memory_mb=devices * peak_memory_mb(),
        gpu_memory_mb=round(gpu_mb),
        device=device,
        processor=processor,
        precision=resolve_precision(settings["precision"], device),
        threads=threads,
        devices=devices,
    )
    write_text(output, calibration.render())
    LOG.info("%.2f s a step, %.1f GB", seconds, calibration.memory_mb / 1000)


def timed(settings: dict[str, Any], device: str) -> list[float]:
    """When training began and when each of its steps ended, in seconds."""
    n_inputs, n_classes = settings.get("n_inputs", 1), settings["n_classes"]
    architecture = (settings["network"], tuple(settings["channels"]), n_inputs, n_classes)
    moments: list[float] = []

    def on_step(_: int, loss: torch.Tensor) -> None:
        loss.item()  # a GPU has only been told what to do: wait until it is done
        moments.append(time.monotonic())

    moments.append(time.monotonic())
    try:
        train(
            build(Architecture(*architecture), SEED),
            SegmentationLoss(settings["n_classes"], settings["loss"]),
            noise(settings, device),
            MOST_STEPS,
            Settings(
                optimiser=settings["optimiser"],
                learning_rate=1e-6,  # noise teaches nothing, and must not overflow
                weight_decay=0.0,
                warm_up_share=0.5,
                clip_norm=None,
                log_every=MOST_STEPS,
                device=device,
                precision=resolve_precision(settings["precision"], device),
                compile=settings["compile"] == "auto" and device == "cuda",
                deterministic=settings["deterministic"],
            ),
            hooks=Hooks(on_step=on_step, stop=lambda: is_enough(moments)),
        )
    except Interrupted:
        LOG.info("%d steps were enough", len(moments) - 1)
    return moments


def noise(settings: dict[str, Any], device: str) -> Callable[[int], tuple[torch.Tensor, ...]]:
    """Batches of noise with random masks, cut and augmented as in a training."""
    draw, side = np.random.default_rng(SEED), 2 * settings["size_px"]
    page = draw.normal(size=(settings.get("n_inputs", 1), side, side)).astype(np.float32)
    mask = draw.integers(0, settings["n_classes"], (side, side), np.uint8)
    cut = (settings["size_px"], settings["batch"], SEED, settings["size_px"])
    batches = TileBatches([page], [mask], np.zeros((1, 3), int), *cut)
    return augmented(batches, SEED, Augmentation(**settings["augmentation"]), device)


def peak_memory_mb() -> int:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            snakemake.params.settings,
            snakemake.resources.device,
            snakemake.resources.cpus,
            snakemake.resources.devices,
            snakemake.output[0],
        )
