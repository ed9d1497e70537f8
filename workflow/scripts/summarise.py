"""Sum the counts of all shards up to the scores of the study."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tessera.files import write_table, write_text
from tessera.logs import LOG, logged_to
from tessera.summaries import COHORT, PROSPECTIVE, summary

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    evaluations: Sequence[tuple[str, Mapping[str, Any]]],
    assessments: Sequence[tuple[str, Mapping[str, Any]]],
    cohorts: Mapping[int, Sequence[str]],
    seed: int,
    draws: int,
    output: str,
) -> None:
    """Write the scores by micrograph, by group, pooled and as means over groups to `output`.

    Parameters
    ----------
    evaluations : sequence of (path, placement)
        Counts of each shard, and its group and use.
    assessments : sequence of (path, placement)
        Counts of each test of kept networks, and its group and cohort.
    cohorts : mapping
        Labelled micrographs of each cohort, where there are several.
    seed, draws : int
        Of the bootstrap over groups.
    output : str
    """
    tables = [pd.read_parquet(path).assign(cohort="", **of) for path, of in evaluations]
    now = pd.concat(tables, ignore_index=True) if cohorts else None
    for cohort, names in cohorts.items():
        of_cohort = now[now["micrograph"].isin(names)]
        tables.append(of_cohort.assign(use=COHORT, cohort=str(cohort)))
    tables += [pd.read_parquet(path).assign(use=PROSPECTIVE, **of) for path, of in assessments]
    scored = summary(tables, seed, draws)
    write_table(output, scored)
    columns = ["use", "cohort", "method", "class", "iou", "dice"]
    pooled = scored.loc[scored["level"] == "pooled", columns]
    for use, cohort, *row in pooled.itertuples(index=False, name=None):
        LOG.info("%s, %s, %s: IoU %.3f, Dice %.3f", f"{use} {cohort}".strip(), *row)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        params, files = snakemake.params, snakemake.input
        placed = [{key: shard[key] for key in ("group", "use")} for shard in params.shards]
        main(
            list(zip(files.evaluations, placed, strict=True)),
            list(zip(files.assessments, params.prospects, strict=True)),
            params.cohorts,
            params.seed,
            params.draws,
            snakemake.output.metrics,
        )
        write_text(snakemake.output.lineage, params.lineage)
