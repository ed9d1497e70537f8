"""Train the network of one fold and seed, from the shards of the other folds."""

import os
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

from tessera.augmentation import Augmentation, augmented
from tessera.batches import TileBatches
from tessera.channels import n_pages, pages_of, stacked
from tessera.devices import (
    own_gpus,
    prepare_process,
    processor_name,
    resolve_device,
    resolve_precision,
)
from tessera.digests import digest
from tessera.distributed import any_process, own_rows, place, process_group
from tessera.files import write_table, write_text
from tessera.logs import LOG, logged_to
from tessera.losses import SegmentationLoss, class_weights_from_shares, pos_weight_from_shares
from tessera.network_files import load_checkpoint, load_network, save_checkpoint, save_network
from tessera.networks import Architecture, UNet, build
from tessera.progress import TrainingProgress
from tessera.streams import windowed_pages
from tessera.tiles import share_names
from tessera.training import Hooks, Interrupted, Settings, train
from tessera.workers import run_workers

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

ROWS_OF_HISTORY = 200
WARM_UP_SHARE = 0.3
CLIP_NORM = None


@dataclass(frozen=True)
class Recipe:
    """The `train` block of the config, with the classes and the side of a tile.

    `inputs` are the channels of a micrograph, where it has several; `channels` the feature maps of
    each level of the network.
    """

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
    inputs: Sequence[str] | None = None


@dataclass(frozen=True)
class Run:
    """Where a training runs, and which one it is.

    Parameters
    ----------
    seed, fold : int, str
    device : {'cpu', 'cuda'}
    precision : {'fp32', 'bf16', 'tf32'}
    threads : int
        Of the processor, for each process; another number of them sums in another order.
    lineage : str
        Digest of the inputs, settings and code.
    devices : int
        Processes that train together, each on a device of its own; as many parts are summed.
    compile, deterministic : bool
        See `training.Settings`.
    predecessor : str, optional
        Path of the network that it starts from; random weights by default.
    """

    seed: int
    fold: str
    device: str
    precision: str
    threads: int
    lineage: str
    devices: int = 1
    compile: bool = False
    deterministic: bool = True
    predecessor: str | None = None

    def record(self) -> dict[str, Any]:
        """What, beside the lineage, decides the bits of the weights."""
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        versions |= {"numpy": np.__version__}
        if self.device == "cuda":
            versions |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
        return asdict(self) | {"processor": processor_name(self.device), "versions": versions}


def main(
    shards: Sequence[tuple[str, str, str]],
    recipe: Recipe,
    run: Run,
    checkpoint: str,
    checkpoint_minutes: float,
    outputs: tuple[str, str, str],
) -> None:
    """Train on (normalised, masks, tiles) files of shards; write network, history and lineage.

    A checkpoint of the same training is taken up where it was left, and removed at the end. Raises
    `Interrupted` if it was asked to stop.
    """
    files = {"checkpoint": checkpoint, "outputs": list(outputs), "shards": list(shards)}
    files |= {"checkpoint_minutes": checkpoint_minutes}
    with own_gpus(run.device, run.devices) as gpus:
        if run.devices == 1:
            fit(recipe, run, **files)
            return
        job = {"recipe": asdict(recipe), "run": asdict(run), **files}
        stopped = run_workers(__file__, job, run.devices, run.threads, gpus)
        if stopped:
            raise Interrupted(stopped)


def worker(recipe: dict[str, Any], run: dict[str, Any], **files: Any) -> str | None:
    """Be one of several processes that train; return where they were asked to stop, if so."""
    device = torch.device(run["device"])
    prepare_process(run["threads"])
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    with process_group(device):
        try:
            fit(Recipe(**recipe), Run(**run), **files)
        except Interrupted as stopped:
            return str(stopped)
    return None


def fit(
    recipe: Recipe,
    run: Run,
    shards: Sequence[tuple[str, str, str]],
    checkpoint: str,
    checkpoint_minutes: float,
    outputs: Sequence[str],
) -> None:
    """Do what `main` says, in this process and those it trains with; the first one writes."""
    batches, shares = training_tiles(shards, recipe, run.seed)
    n_classes = len(recipe.classes)
    architecture = Architecture(recipe.network, tuple(recipe.channels), batches.n_inputs, n_classes)
    network = starting(architecture, run)
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
    writes = place()[0] == 0
    with TrainingProgress(n_steps, done, checkpoint_minutes) as progress:
        hooks = Hooks(
            keep=lambda kept: save_checkpoint(checkpoint, belongs_to, kept),
            due=progress.due,
            stop=stop_signal(),
            on_step=progress.on_step,
        )
        hooks = hooks if writes else Hooks(stop=hooks.stop)
        final = train(
            network,
            loss_of(recipe, shares),
            augmented(batches, run.seed, Augmentation(**recipe.augmentation), run.device),
            n_steps,
            settings_of(recipe, run, n_steps),
            state,
            hooks,
        )
    if not writes:
        return
    record |= {} if recipe.inputs is None else {"channels": list(recipe.inputs)}
    save_network(outputs[0], network, {**record, "shards": names_of(shards)})
    write_table(outputs[1], pd.DataFrame(final["history"]).assign(**started(run)))
    write_text(outputs[2], run.lineage)
    Path(checkpoint).unlink(missing_ok=True)


def starting(architecture: Architecture, run: Run) -> UNet:
    """The network as training finds it: with random weights, or with those of another."""
    network = build(architecture, run.seed)
    if run.predecessor is not None:
        # Exactly this architecture: a network of another recipe is never asked for.
        network.load_state_dict(load_network(run.predecessor).state_dict())
        LOG.info("starts from %s", run.predecessor)
    return network


def started(run: Run) -> dict[str, str]:
    """What the history says of the start, by column: nothing of random weights."""
    return {} if run.predecessor is None else {"started_from": run.predecessor}


def training_tiles(
    shards: Sequence[tuple[str, str, str]], recipe: Recipe, seed: int
) -> tuple[TileBatches, np.ndarray]:
    """Batches of the tiles used in the shards, and the share of each class in them.

    Where several processes train together, the batches are this one's part of them.
    """
    pages, masks, tiles, shares = [], [], [], []
    n_channels = n_pages(recipe.inputs)
    for normalised, mask, table in shards:
        rows = pd.read_parquet(table).query("used")
        used, place_of = np.unique(rows["page"], return_inverse=True)
        tiles.append(np.column_stack([len(pages) + place_of, rows[["row", "column"]]]))
        pages += stacked(windowed_pages(normalised, pages_of(used, n_channels)), n_channels)
        masks += windowed_pages(mask, used)
        shares.append(rows[share_names(len(recipe.classes))].to_numpy())
    cut = (np.concatenate(tiles), recipe.size_px, recipe.batch, seed, recipe.jitter_px)
    batches = TileBatches(pages, masks, *cut, rows=own_rows(recipe.batch))
    return batches, np.concatenate(shares).mean(axis=0)


def names_of(shards: Sequence[tuple[str, str, str]]) -> list[str]:
    """Names of the shards: all that the network has seen."""
    return sorted(Path(normalised).stem for normalised, _, _ in shards)


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
        compile=run.compile,
        deterministic=run.deterministic,
    )


def stop_signal() -> Callable[[], bool]:
    """A function that tells whether SIGTERM or SIGINT has come, to any process of the training."""
    came: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: came.append(number))
    return lambda: any_process(bool(came))


def recipe_of(settings: dict[str, dict[str, Any]]) -> Recipe:
    """The recipe in the settings of `train`, with the tiles' side from those of `tile`."""
    known = {"inputs": None, **settings["train"], "size_px": settings["tile"]["size_px"]}
    return Recipe(**{name: known[name] for name in Recipe.__dataclass_fields__})


def run_here(wildcards, resources, params, predecessor: str | None) -> Run:
    """Settle what `auto` means on this machine."""
    settings, device = params.settings["train"], resolve_device(resources.device)
    threads = max(1, resources.cpus // resources.devices)
    prepare_process(threads)
    return Run(
        int(wildcards.seed),
        wildcards.fold,
        device,
        resolve_precision(settings["precision"], device),
        threads,
        params.lineage,
        resources.devices,
        compile=settings["compile"] == "auto" and device == "cuda",
        deterministic=settings["deterministic"],
        predecessor=predecessor,
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
                recipe_of(snakemake.params.settings),
                run_here(
                    snakemake.wildcards,
                    snakemake.resources,
                    snakemake.params,
                    snakemake.input.predecessor or None,
                ),
                snakemake.output.network.replace("/networks/", "/checkpoints/"),
                snakemake.resources.checkpoint_minutes,
                tuple(snakemake.output),
            )
        except Interrupted as stopped:
            LOG.info("%s; the next run goes on from there", stopped)
            sys.exit(128 + signal.SIGTERM)
