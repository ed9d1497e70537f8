"""What the benchmarks run on: simulated particles with their rims, and a network that knows them.

Three classes, so that a prediction is neither trivial nor binary: support, particle, and the rim of
a particle. Everything follows from the seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
import yaml
from scipy import ndimage

from benchmarks.measuring import ROOT
from tessera.batches import TileBatches
from tessera.devices import resolve_precision
from tessera.files import write_pages, written_atomically
from tessera.intensity import normalised
from tessera.losses import SegmentationLoss
from tessera.network_files import save_network
from tessera.networks import Architecture, UNet, build
from tessera.simulation_particles import ParticleSpecimen, particle_micrograph
from tessera.steps import stated
from tessera.tiles import TileGrid, tile_table, used_for_training
from tessera.training import Settings, train

CLASSES = ("support", "particle", "rim")
PIXEL_SIZE_NM = 0.1
RIM_PX = 4
SPECIMEN = ParticleSpecimen(radius_nm=3.0, contrast_per_nm=0.09, dose_e_per_nm2=15000)


def config() -> dict[str, Any]:
    """The config as it comes with the workflow."""
    return yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))


def micrograph(shape: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A normalised page in float32, and its class codes in uint8."""
    generator = np.random.default_rng(seed)
    counts, inside = particle_micrograph(SPECIMEN, shape, PIXEL_SIZE_NM, generator)
    core = ndimage.binary_erosion(inside, iterations=RIM_PX, border_value=1)
    mask = np.where(inside, np.where(core, 1, 2), 0).astype(np.uint8)
    return normalised(counts, stated(config(), "normalise"))[0], mask


def shard(folder: Path, n_pages: int, shape: tuple[int, int], size_px: int) -> list[str]:
    """Files of a shard as training reads them: normalised pages, masks, and the table of tiles."""
    pages, masks = zip(*(micrograph(shape, seed) for seed in range(n_pages)), strict=True)
    grid = TileGrid(len(CLASSES), size_px, size_px // 2, background_share=0.25, seed=0)
    tables = [tile_table(mask, grid).assign(page=page) for page, mask in enumerate(masks)]
    tiles = pd.concat(tables, ignore_index=True)
    tiles["used"] = used_for_training(tiles, grid)
    files = [str(folder / name) for name in ("normalised.tif", "masks.tif", "tiles.parquet")]
    write_pages(files[0], ((page, PIXEL_SIZE_NM) for page in pages), compressed=False)
    write_pages(files[1], ((mask, PIXEL_SIZE_NM) for mask in masks), compressed=False)
    with written_atomically(files[2]) as temporary:
        tiles.to_parquet(temporary, index=False)
    return files


def large_page(path: Path, side_px: int, block_px: int = 2048) -> None:
    """Write a square page, uncompressed, block by block: one micrograph turned and mirrored."""
    block_px = min(block_px, side_px)
    block, _ = micrograph((block_px, block_px), seed=1000)
    generator = np.random.default_rng(0)
    page = tifffile.memmap(
        path, shape=(side_px, side_px), dtype=np.float32, bigtiff=True, metadata=None
    )
    for row in range(0, side_px, block_px):
        for column in range(0, side_px, block_px):
            turned = np.rot90(block, generator.integers(4))
            part = page[row : row + block_px, column : column + block_px]
            part[:] = turned[: part.shape[0], : part.shape[1]]
    page.flush()


def network_file(folder: Path, channels: Sequence[int], steps: int = 60) -> str:
    """File of a network trained for a moment: its weights are neither random nor good."""
    path = folder / f"network-{'-'.join(map(str, channels))}.pt"
    if not path.is_file():
        save_network(path, trained(channels, steps), {"steps": steps})
    return str(path)


def trained(channels: Sequence[int], steps: int, tile_px: int = 128, batch: int = 8) -> UNet:
    """A network after a few steps of Tessera's loop."""
    side_px = 4 * tile_px
    page, mask = micrograph((side_px, side_px), seed=4000)
    starts = range(0, side_px, tile_px)
    tiles = np.array([(0, row, column) for row in starts for column in starts])
    batches = TileBatches([page], [mask], tiles, tile_px, batch, 0, tile_px // 4)
    network = build(Architecture("unet", tuple(channels), 1, len(CLASSES)), seed=0)
    precision = resolve_precision("auto", "cpu")
    settings = Settings("adamw", 3e-3, 0.01, 0.3, None, steps, "cpu", precision)
    loss = SegmentationLoss(len(CLASSES), {"cross_entropy": 1.0, "dice": 1.0})
    train(network, loss, batches.at, steps, settings)
    return network
