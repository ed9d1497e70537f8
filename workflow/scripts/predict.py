"""Predict the micrographs of a shard, stitched without seams."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tessera.classes import palette
from tessera.devices import resolve_device, resolve_precision
from tessera.files import TileSink, map_page, read_table
from tessera.logs import LOG, logged_to
from tessera.network_files import load_network
from tessera.networks import UNet
from tessera.stitching import entropy, predict

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

PROBABILITY_STEPS = 4096
"""Probabilities are rounded to this fraction, which float32 holds exactly: files shrink by half."""


@dataclass(frozen=True)
class Run:
    """How the networks run: side of a core in pixels, 'cpu' or 'cuda', 'fp32' or 'bf16'."""

    core_px: int
    device: str
    precision: str


def main(
    normalised: str,
    table: str,
    networks: Sequence[str],
    seeds: Sequence[str],
    folder: str,
    run: Run,
) -> None:
    """Write mask, probability and entropy of every micrograph into `folder`.

    Where there are several seeds, also the mask that each seed's networks give by themselves.
    """
    loaded = sorted(zip(seeds, networks, strict=True))
    by_seed = {
        seed: [load_network(path) for _, path in pairs]
        for seed, pairs in groupby(loaded, key=lambda pair: pair[0])
    }
    known = read_table(table)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for row in known.itertuples():
        page = map_page(normalised, row.page)
        predict_one(page, row.pixel_size_nm, by_seed, f"{folder}/{row.micrograph}", run)
        LOG.info("%s predicted by %d networks", row.micrograph, len(networks))


def predict_one(
    page: np.ndarray,
    pixel_size_nm: float,
    by_seed: dict[str, list[UNet]],
    stem: str,
    run: Run,
) -> None:
    """Predict one page, core by core, into files whose names begin with `stem`."""
    n_classes = next(iter(by_seed.values()))[0].architecture.n_classes
    colours = palette(n_classes)

    def sink(name: str, dtype: type, *more: int, colourmap: np.ndarray | None = None) -> TileSink:
        shape = (*page.shape, *more)
        path = f"{stem}.{name}.tif"
        return files.enter_context(
            TileSink(path, shape, dtype, run.core_px, pixel_size_nm, colourmap)
        )

    with ExitStack() as files:
        mask = sink("mask", np.uint8, colourmap=colours)
        probability = sink("probability", np.float32, n_classes)
        uncertainty = sink("entropy", np.float32)
        single = {
            seed: sink(f"mask.seed-{seed}", np.uint8, colourmap=colours)
            for seed in (by_seed if len(by_seed) > 1 else ())
        }
        streams = [
            predict(networks, page, run.core_px, run.device, run.precision)
            for networks in by_seed.values()
        ]
        for parts in zip(*streams, strict=True):
            of_seeds = [part for _, part in parts]
            mean = rounded(sum(of_seeds) / np.float32(len(of_seeds)))
            # All from the probability as it is kept, so that whoever reads it finds the same mask.
            mask.put(codes_of(mean))
            probability.put(mean)
            uncertainty.put(rounded(entropy(mean)))
            for seed, part in zip(single, of_seeds, strict=False):
                single[seed].put(codes_of(part))


def codes_of(probability: np.ndarray) -> np.ndarray:
    """The most probable class of each pixel, the first of equals."""
    return probability.argmax(axis=-1).astype(np.uint8)


def rounded(share: np.ndarray) -> np.ndarray:
    """Shares, 0 to 1, to the nearest step that is kept."""
    return (np.rint(share * PROBABILITY_STEPS) / PROBABILITY_STEPS).astype(np.float32)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        torch.set_num_threads(snakemake.resources.cpus)
        on = resolve_device(snakemake.resources.device)
        main(
            snakemake.input.normalised,
            snakemake.input.table,
            snakemake.input.networks,
            snakemake.params.seeds,
            snakemake.output[0],
            Run(snakemake.params.core_px, on, resolve_precision(snakemake.params.precision, on)),
        )
