"""Predict the micrographs of a shard, stitched without seams."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tessera.budgets import ask_for_huge_pages, core_within, demand, keep_or_give_back
from tessera.classes import palette
from tessera.devices import own_gpus, resolve_device, resolve_precision
from tessera.files import read_table, write_text
from tessera.folding import ready
from tessera.logs import LOG, logged_to
from tessera.network_files import load_network
from tessera.networks import UNet
from tessera.stitching import entropy, probabilities
from tessera.streams import StreamedPage, TileSink

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

PROBABILITY_STEPS = 4096
"""Probabilities are rounded to this fraction, which float32 holds exactly: files shrink by half."""


@dataclass(frozen=True)
class Run:
    """How the networks run.

    Parameters
    ----------
    mem_mb : int
        Memory of the job: decides the side of a core, no result.
    device : {'cpu', 'cuda'}
    precision : {'fp32', 'bf16'}
    symmetries : {1, 4, 8}
        Mirror images, and those turned by a right angle, whose mean is the prediction.
    threads : int
        That compress what is written, a product.
    micrographs : sequence of str, optional
        What of the shard is predicted; all by default.
    """

    mem_mb: int
    device: str
    precision: str
    symmetries: int = 1
    threads: int = 1
    micrographs: Sequence[str] | None = None


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
    ask_for_huge_pages(run.mem_mb)
    by_seed: dict[str, list[UNet]] = {}
    for seed, path in sorted(zip(seeds, networks, strict=True)):
        network = ready(load_network(path), run.device, run.precision)
        by_seed.setdefault(seed, []).append(network)
    core_px = core_of(by_seed, run.mem_mb)
    keep_or_give_back(run.mem_mb, demand(by_seed.values()), core_px)
    known = read_table(table)
    if run.micrographs is not None:
        known = known[known["micrograph"].isin(run.micrographs)]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for row in known.itertuples():
        with StreamedPage(normalised, row.page) as page:
            stem = f"{folder}/{row.micrograph}"
            predict_one(page, row.pixel_size_nm, by_seed, stem, core_px, run)
        LOG.info("%s predicted by %d networks", row.micrograph, len(networks))


def core_of(by_seed: dict[str, list[UNet]], mem_mb: int) -> int:
    """Side of the cores that the memory of the job allows."""
    return core_within(mem_mb, demand(by_seed.values()))


def predict_one(
    page: StreamedPage,
    pixel_size_nm: float,
    by_seed: dict[str, list[UNet]],
    stem: str,
    core_px: int,
    run: Run,
) -> None:
    """Predict one page, core by core, into files whose names begin with `stem`."""
    n_classes = next(iter(by_seed.values()))[0].architecture.n_classes
    colours = palette(n_classes)

    def sink(name: str, dtype: type, *more: int, colourmap: np.ndarray | None = None) -> TileSink:
        shape = (*page.shape[-2:], *more)
        path = f"{stem}.{name}.tif"
        return files.enter_context(
            TileSink(path, shape, dtype, pixel_size_nm, colourmap, run.threads)
        )

    with ExitStack() as files:
        mask = sink("mask", np.uint8, colourmap=colours)
        probability = sink("probability", np.float32, n_classes)
        uncertainty = sink("entropy", np.float32)
        single = [
            sink(f"mask.seed-{seed}", np.uint8, colourmap=colours)
            for seed in (by_seed if len(by_seed) > 1 else ())
        ]
        committees = list(by_seed.values())
        for core, of_seeds in probabilities(committees, page, core_px, run.symmetries):
            at = core.rows.start, core.columns.start
            mean = rounded(of_seeds.mean(0))
            # All from the probability as it is kept, so that whoever reads it finds the same mask.
            mask.put(codes_of(mean), *at)
            probability.put(mean.permute(1, 2, 0).contiguous().cpu().numpy(), *at)
            uncertainty.put(rounded(entropy(mean)).cpu().numpy(), *at)
            for of_seed, part in zip(single, of_seeds, strict=False):
                of_seed.put(codes_of(part), *at)


def codes_of(probability: torch.Tensor) -> np.ndarray:
    """The most probable class of each pixel, the first of equals."""
    # Class by class: argmax over an axis that is not the last takes thirty times as long.
    codes = torch.zeros(probability.shape[1:], dtype=torch.uint8, device=probability.device)
    highest = probability[0]
    for code, share in enumerate(probability[1:], start=1):
        codes.masked_fill_(share > highest, code)
        highest = torch.maximum(share, highest)
    return codes.cpu().numpy()


def rounded(share: torch.Tensor) -> torch.Tensor:
    """Shares, 0 to 1, to the nearest step that is kept; in place."""
    return share.mul_(PROBABILITY_STEPS).round_().div_(PROBABILITY_STEPS)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        torch.set_num_threads(snakemake.resources.cpus)
        on = resolve_device(snakemake.resources.device)
        run = Run(
            snakemake.resources.mem_mb,
            on,
            resolve_precision(snakemake.params.precision, on),
            snakemake.params.symmetries,
            snakemake.resources.cpus,
            snakemake.params.micrographs,
        )
        with own_gpus(on):
            main(
                snakemake.input.normalised,
                snakemake.input.table,
                snakemake.input.networks,
                snakemake.params.seeds,
                snakemake.output.folder,
                run,
            )
        write_text(snakemake.output.lineage, snakemake.params.lineage)
