"""Audit the folds, and write them down, before anything is trained."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tessera.files import read_table, write_table
from tessera.leaks import audited, duplicates, missing_classes
from tessera.logs import LOG, logged_to
from tessera.problems import raise_if

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    shards: Sequence[dict[str, Any]],
    tables: Sequence[str],
    tiles: Sequence[str],
    classes: Sequence[str],
    allow_duplicates: bool,
    output: str,
) -> None:
    """Write the table of folds, one row a group, to `output`.

    Raises
    ------
    BadInput
        With every group in two folds, every class missing from the training of a fold, and, unless
        they are allowed, every pair of near-identical micrographs in different groups.
    """
    micrographs = _with_shard(shards, [read_table(table) for table in tables])
    cut = _with_shard(shards, [pd.read_parquet(path) for path in tiles])
    pairs = duplicates(micrographs)
    for pair in pairs:
        LOG.info("%s", pair)
    folds = audited(micrographs, cut, classes)
    raise_if([*missing_classes(cut, classes), *([] if allow_duplicates else pairs)])
    write_table(output, folds)
    LOG.info("%d groups audited", len(folds))


def _with_shard(shards: Sequence[dict[str, Any]], tables: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ("shard", "group", "use", "fold")
    placed = [
        table.assign(**{column: shard[column] for column in columns})
        for shard, table in zip(shards, tables, strict=True)
    ]
    return pd.concat(placed, ignore_index=True)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            snakemake.params.shards,
            snakemake.input.tables,
            snakemake.input.tiles,
            [name for name, _ in snakemake.params.classes],
            snakemake.params.duplicates == "allow",
            snakemake.output[0],
        )
