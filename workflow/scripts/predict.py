"""Predict the micrographs of a shard, stitched without seams, each on its own grid."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tessera.budgets import ask_for_huge_pages, core_within, demand, keep_or_give_back
from tessera.classes import palette
from tessera.cores import covering
from tessera.devices import own_gpus, resolve_device, resolve_precision, use_threads
from tessera.files import read_table, write_text
from tessera.folding import ready
from tessera.grids import axes
from tessera.logs import LOG, logged_to
from tessera.network_files import load_network
from tessera.networks import UNet
from tessera.stitching import entropy, probabilities
from tessera.streams import TILE_PX, StreamedPage, TileSink

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


@dataclass(frozen=True)
class Grid:
    """What a micrograph was recorded on, and its prediction is written on.

    Parameters
    ----------
    shape : (rows, columns)
    pixel_size_nm : float
    """

    shape: tuple[int, int]
    pixel_size_nm: float


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
    n_channels = next(iter(by_seed.values()))[0].architecture.n_inputs
    keep_or_give_back(run.mem_mb, demand(by_seed.values()), core_px)
    known = read_table(table)
    if run.micrographs is not None:
        known = known[known["micrograph"].isin(run.micrographs)]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for row in known.itertuples():
        with StreamedPage(normalised, row.page, n_channels) as page:
            stem = f"{folder}/{row.micrograph}"
            own = Grid((int(row.rows), int(row.columns)), row.pixel_size_nm)
            predict_one(page, own, by_seed, stem, core_px, run)
        LOG.info("%s predicted by %d networks", row.micrograph, len(networks))


def core_of(by_seed: dict[str, list[UNet]], mem_mb: int) -> int:
    """Side of the cores that the memory of the job allows."""
    return core_within(mem_mb, demand(by_seed.values()))


def predict_one(
    page: StreamedPage,
    own: Grid,
    by_seed: dict[str, list[UNet]],
    stem: str,
    core_px: int,
    run: Run,
) -> None:
    """Predict one page, core by core, into files whose names begin with `stem`."""
    n_classes = next(iter(by_seed.values()))[0].architecture.n_classes
    colours = palette(n_classes)

    def sink(name: str, dtype: type, *more: int, colourmap: np.ndarray | None = None) -> TileSink:
        shape, path = (*own.shape, *more), f"{stem}.{name}.tif"
        return files.enter_context(
            TileSink(path, shape, dtype, own.pixel_size_nm, colourmap, run.threads)
        )

    with ExitStack() as files:
        mask = sink("mask", np.uint8, colourmap=colours)
        probability = sink("probability", np.float32, n_classes)
        uncertainty = sink("entropy", np.float32)
        single = [
            sink(f"mask.seed-{seed}", np.uint8, colourmap=colours)
            for seed in (by_seed if len(by_seed) > 1 else ())
        ]
        for at, of_seeds in on_own_grid(by_seed, page, own.shape, core_px, run.symmetries):
            mean = rounded(of_seeds.mean(0))
            # All from the probability as it is kept, so that whoever reads it finds the same mask.
            mask.put(codes_of(mean), *at)
            probability.put(mean.permute(1, 2, 0).contiguous().cpu().numpy(), *at)
            uncertainty.put(rounded(entropy(mean)).cpu().numpy(), *at)
            for of_seed, part in zip(single, of_seeds, strict=False):
                of_seed.put(codes_of(part), *at)


def on_own_grid(
    by_seed: dict[str, list[UNet]],
    page: StreamedPage,
    shape: tuple[int, int],
    core_px: int,
    symmetries: int,
) -> Iterator[tuple[tuple[int, int], torch.Tensor]]:
    """Yield parts of a prediction on the grid of `shape`, each with its first row and column.

    Where that is not the grid of the page, each part is made from the probabilities around it,
    predicted anew for it: a little more work, no seam, and no memory that grows with the page.
    """
    committees = list(by_seed.values())
    if page.shape[-2:] == shape:
        for core, of_seeds in probabilities(committees, page, core_px, symmetries):
            yield (core.rows.start, core.columns.start), of_seeds
        return
    network, (down, across) = committees[0][0], axes(page.shape[-2:], shape)
    side_px = side_within(core_px, network.stride, page.shape[-2:], shape)
    spans = [
        (slice(top, min(top + side_px, shape[0])), slice(left, min(left + side_px, shape[1])))
        for top in range(0, shape[0], side_px)
        for left in range(0, shape[1], side_px)
    ]
    read = ((down.read(rows), across.read(columns)) for rows, columns in spans)
    parts = (covering(*of, page.shape[-2:], network.halo_px, network.stride) for of in read)
    found = probabilities(committees, page, parts, symmetries)
    for (rows, columns), (_, of_seeds) in zip(spans, found, strict=True):
        part = across.made(down.made(of_seeds.cpu().numpy(), rows, -2), columns, -1)
        yield (rows.start, columns.start), torch.from_numpy(part)


def side_within(core_px: int, stride: int, shape: tuple[int, int], wanted: tuple[int, int]) -> int:
    """Side, on the wanted grid, of parts that are made from cores of up to `core_px`.

    A multiple of the tiles of a file, and at least one: memory follows in no finer step.
    """
    steps = [size / to for size, to in zip(shape, wanted, strict=True)]
    # What is read begins and ends on the stride, and a little beyond the part.
    room = core_px - 2 * (stride + math.ceil(max(1.0, *steps)))
    return max(TILE_PX, int(room / max(1.0, *steps)) // TILE_PX * TILE_PX)


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
        use_threads(snakemake.resources.cpus)
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
