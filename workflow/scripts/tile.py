"""Lay tiles over the micrographs of a shard, and choose those that training draws from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from tessera.files import open_pages, read_table, write_pages, written_atomically
from tessera.grids import resampled_mask
from tessera.logs import LOG, logged_to
from tessera.problems import Problem, raise_if
from tessera.strips import Page
from tessera.tiles import TileGrid, misfit, tile_table, used_for_training

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


@dataclass(frozen=True)
class Shard:
    """Paths of a shard's products; all but the masks are tables."""

    normalised: str
    micrographs: str
    masks: str
    table: str


def main(shard: Shard, tiles: str, masks: str, grid: TileGrid) -> None:
    """Write one row a tile of every micrograph to `tiles`, and the masks as they are there.

    Raises
    ------
    BadInput
        With every mask whose shape is not its micrograph's.
    """
    known, normalised = read_table(shard.table), read_table(shard.normalised)
    raise_if(_misfits(read_table(shard.micrographs), known))
    tables: list[pd.DataFrame] = []

    def resampled() -> Iterator[tuple[Page, float]]:
        masks = enumerate(open_pages(shard.masks))
        for (page, codes), row in zip(masks, normalised.itertuples(), strict=True):
            mask = resampled_mask(codes, (row.rows, row.columns))
            tables.append(tile_table(mask, grid).assign(micrograph=row.micrograph, page=page))
            yield mask, row.pixel_size_nm

    write_pages(masks, resampled(), compressed=False)
    table = pd.concat(tables, ignore_index=True)
    table["used"] = used_for_training(table, grid)
    with written_atomically(tiles) as temporary:
        table.to_parquet(temporary, index=False)
    LOG.info("%d tiles, %d of them used", len(table), table["used"].sum())


def _misfits(micrographs: pd.DataFrame, known: pd.DataFrame) -> list[Problem]:
    return [
        Problem(row.micrograph, row.file, what)
        for row, of in zip(known.itertuples(), micrographs.itertuples(), strict=True)
        if (what := misfit((row.rows, row.columns), (of.rows, of.columns)))
    ]


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        settings = snakemake.params.settings
        names = ("normalised", "micrographs", "masks", "table")
        main(
            Shard(*(snakemake.input[name] for name in names)),
            snakemake.output.tiles,
            snakemake.output.masks,
            TileGrid(
                n_classes=len(settings["classes"]),
                size_px=settings["size_px"],
                stride_px=settings["stride_px"],
                background_share=settings["background_share"],
                seed=settings["seed"],
            ),
        )
