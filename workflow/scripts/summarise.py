"""Sum the counts of all shards up to the scores of the study."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tessera.files import write_table
from tessera.logs import LOG, logged_to
from tessera.summaries import summary

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    evaluations: Sequence[str],
    shards: Sequence[dict[str, Any]],
    seed: int,
    draws: int,
    output: str,
) -> None:
    """Write the scores by micrograph, by group, pooled and as means over groups to `output`."""
    tables = [
        pd.read_parquet(path).assign(group=shard["group"], use=shard["use"])
        for path, shard in zip(evaluations, shards, strict=True)
    ]
    scored = summary(tables, seed, draws)
    write_table(output, scored)
    pooled = scored.loc[scored["level"] == "pooled", ["use", "method", "class", "iou", "dice"]]
    for row in pooled.itertuples(index=False, name=None):
        LOG.info("%s, %s, %s: IoU %.3f, Dice %.3f", *row)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            snakemake.input,
            snakemake.params.shards,
            snakemake.params.seed,
            snakemake.params.draws,
            snakemake.output[0],
        )
