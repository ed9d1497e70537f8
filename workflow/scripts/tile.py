"""Lay tiles over the micrographs of a shard, and choose those that training draws from."""

from typing import TYPE_CHECKING

import pandas as pd
import tifffile

from tessera.files import read_pages, read_table, written_atomically
from tessera.logs import LOG, logged_to
from tessera.problems import Problem, raise_if
from tessera.tiles import TileGrid, tile_table, used_for_training

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(normalised: str, masks: str, table: str, output: str, grid: TileGrid) -> None:
    """Write one row a tile of every micrograph to `output`.

    Raises
    ------
    BadInput
        With every mask whose shape is not its micrograph's.
    """
    known = read_table(table)
    raise_if(_misfits(normalised, known))
    tables = [
        tile_table(mask, grid).assign(micrograph=row.micrograph, page=row.page)
        for mask, row in zip(read_pages(masks), known.itertuples(), strict=True)
    ]
    tiles = pd.concat(tables, ignore_index=True)
    tiles["used"] = used_for_training(tiles, grid)
    with written_atomically(output) as temporary:
        tiles.to_parquet(temporary, index=False)
    LOG.info("%d tiles, %d of them used", len(tiles), tiles["used"].sum())


def _misfits(normalised: str, known: pd.DataFrame) -> list[Problem]:
    with tifffile.TiffFile(normalised) as file:
        shapes = [page.shape for page in file.pages]
    return [
        Problem(
            row.micrograph,
            row.file,
            f"the mask is {row.rows} x {row.columns}, the micrograph {shape[0]} x {shape[1]} px",
        )
        for row, shape in zip(known.itertuples(), shapes, strict=True)
        if (row.rows, row.columns) != shape
    ]


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        settings = snakemake.params.settings
        main(
            snakemake.input.normalised,
            snakemake.input.masks,
            snakemake.input.table,
            snakemake.output[0],
            TileGrid(
                n_classes=len(settings["classes"]),
                size_px=settings["size_px"],
                stride_px=settings["stride_px"],
                background_share=settings["background_share"],
                seed=settings["seed"],
            ),
        )
