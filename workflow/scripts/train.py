"""Train the network of one fold and seed, from the shards of the other folds."""

import platform
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from tessera.augmentation import Augmentation, augment
from tessera.batches import TileBatches, step_generator
from tessera.devices import resolve_device, resolve_precision
from tessera.digests import digest
from tessera.files import map_page, read_pages, write_table, written_atomically
from tessera.logs import LOG, logged_to
from tessera.losses import SegmentationLoss, class_weights_from_shares, pos_weight_from_shares
from tessera.network_files import load_checkpoint, save_checkpoint, save_network
from tessera.networks import Architecture, build
from tessera.progress import TrainingProgress
from tessera.tiles import share_names
from tessera.training import (
    Hooks,
    Interrupted,
    Settings,
    train,
)

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

Tiles = tuple[torch.Tensor, torch.Tensor]
ROWS_OF_HISTORY = 200
WARM_UP_SHARE = 0.3
CLIP_NORM = None


@dataclass(frozen=True)
class Recipe:
    """The `train` block of the config, with the classes and the side of a tile."""

    network: str
    channels: Sequence[int]
    loss: dict[str, float]
    focal_gamma: float
    class_weights: str
    pos_weight: str
    optimiser: str
    learning_rate: float
    weight_decay: float
    epochs: float
    batch: int
    jitter_px: int
    augmentation: dict[str, Any]
    precision: str
    size_px: int
    classes: Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Run:
    """Where a training runs, and which one it is.

    Parameters
    ----------
    seed, fold : int, str
    device : {'cpu', 'cuda'}
    precision : {'fp32', 'bf16'}
    threads : int
        Of the processor; another number of them sums in another order.
    lineage : str
        Digest of the inputs, settings and code.
    """

    seed: int
    fold: str
    device: str
    precision: str
    threads: int
    lineage: str

    def record(self) -> dict[str, Any]:
        """What, beside the lineage, decides the bits of the weights."""
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        versions |= {"numpy": np.__version__}
        cuda = self.device == "cuda"
        processor = (
            torch.cuda.get_device_name() if cuda else torch.backends.cpu.get_cpu_capability()
        )
        return asdict(self) | {"processor": processor, "versions": versions}


def main(
    shards: Sequence[tuple[str, str, str]],
    recipe: Recipe,
    run: Run,
    checkpoint: str,
    checkpoint_minutes: float,
    outputs: tuple[str, str, str],
) -> None:
    """Train on (normalised, masks, tiles) files of shards; write network, history and lineage.

    A checkpoint of the same training is taken up where it was left, and removed at the end.
    """
    batches, shares = training_tiles(shards, recipe, run.seed)
    n_classes = len(recipe.classes)
    architecture = Architecture(recipe.network, tuple(recipe.channels), 1, n_classes)
    network = build(architecture, run.seed)
    n_steps = batches.n_steps(recipe.epochs)
    record = run.record()
    belongs_to = digest(record)
    state = load_checkpoint(checkpoint, belongs_to)
    done = state["next_step"] if state else 0
    LOG.info(
        "%d tiles, %d steps of %d, on %s in %s, from step %d",
        *(len(batches.tiles), n_steps, recipe.batch, run.device, run.precision),
        done,
    )
    with TrainingProgress(n_steps, done, checkpoint_minutes) as progress:
        hooks = Hooks(
            keep=lambda kept: save_checkpoint(checkpoint, belongs_to, kept),
            due=progress.due,
            stop=stop_signal(),
            on_step=progress.on_step,
        )
        final = train(
            network,
            loss_of(recipe, shares),
            augmented(batches, recipe, run.seed),
            n_steps,
            settings_of(recipe, run, n_steps),
            state,
            hooks,
        )
    save_network(outputs[0], network, {**record, "shards": names_of(shards)})
    write_table(outputs[1], pd.DataFrame(final["history"]))
    with written_atomically(outputs[2]) as temporary:
        temporary.write_text(run.lineage, encoding="utf-8")
    Path(checkpoint).unlink(missing_ok=True)


def training_tiles(
    shards: Sequence[tuple[str, str, str]], recipe: Recipe, seed: int
) -> tuple[TileBatches, np.ndarray]:
    """Batches of the tiles used in the shards, and the share of each class in them."""
    pages, masks, tiles, shares = [], [], [], []
    for normalised, mask, table in shards:
        rows = pd.read_parquet(table).query("used")
        first = len(pages)
        masks += read_pages(mask)
        pages += [map_page(normalised, page) for page in range(len(masks) - first)]
        tiles.append(rows[["page", "row", "column"]].to_numpy() + np.array([first, 0, 0]))
        shares.append(rows[share_names(len(recipe.classes))].to_numpy())
    cut = (np.concatenate(tiles), recipe.size_px, recipe.batch, seed, recipe.jitter_px)
    return TileBatches(pages, masks, *cut), np.concatenate(shares).mean(axis=0)


def names_of(shards: Sequence[tuple[str, str, str]]) -> list[str]:
    """Names of the shards: all that the network has seen."""
    return sorted(Path(normalised).stem for normalised, _, _ in shards)


def augmented(batches: TileBatches, recipe: Recipe, seed: int) -> Callable[[int], Tiles]:
    """The batch of a step, augmented: a pure function of seed and step."""
    strength = Augmentation(**recipe.augmentation)
    return lambda step: augment(*batches.at(step), step_generator(seed, step), strength)


def loss_of(recipe: Recipe, shares: np.ndarray) -> SegmentationLoss:
    """The loss, weighted by what the training folds hold."""
    return SegmentationLoss(
        len(recipe.classes),
        recipe.loss,
        focal_gamma=recipe.focal_gamma,
        class_weights=class_weights_from_shares(shares, recipe.class_weights),
        pos_weight=pos_weight_from_shares(shares, recipe.pos_weight) if len(shares) == 2 else 1.0,
    )


def settings_of(recipe: Recipe, run: Run, n_steps: int) -> Settings:
    """What the loop has to know."""
    return Settings(
        optimiser=recipe.optimiser,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        warm_up_share=WARM_UP_SHARE,
        clip_norm=CLIP_NORM,
        log_every=max(1, n_steps // ROWS_OF_HISTORY),
        device=run.device,
        precision=run.precision,
    )


def stop_signal() -> Callable[[], bool]:
    """A function that tells whether SIGTERM or SIGINT has come."""
    came: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: came.append(number))
    return lambda: bool(came)


def run_here(wildcards, resources, params) -> Run:
    """Settle what `auto` means on this machine."""
    device = resolve_device(resources.device)
    torch.set_num_threads(resources.cpus)
    precision = resolve_precision(params.precision, device)
    return Run(
        int(wildcards.seed), wildcards.fold, device, precision, resources.cpus, params.lineage
    )


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        try:
            main(
                list(
                    zip(
                        *(snakemake.input[name] for name in ("normalised", "masks", "tiles")),
                        strict=True,
                    )
                ),
                Recipe(**{name: snakemake.params[name] for name in Recipe.__dataclass_fields__}),
                run_here(snakemake.wildcards, snakemake.resources, snakemake.params),
                snakemake.output.network.replace("/networks/", "/checkpoints/"),
                snakemake.resources.checkpoint_minutes,
                tuple(snakemake.output),
            )
        except Interrupted as stopped:
            LOG.info("%s; the next run goes on from there", stopped)
            sys.exit(128 + signal.SIGTERM)
