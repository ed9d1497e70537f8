"""Keep the networks from before a cohort, before a training overwrites them."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tessera.files import write_table, written_atomically
from tessera.logs import LOG, logged_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

RESULTS = Path("results")


def main(
    networks: Sequence[Sequence[str]],
    groups: Sequence[Sequence[str]],
    copies: Iterable[str],
    folder: Path,
) -> None:
    """Copy files of results/ to the same places in `folder`, and list the networks there last.

    Parameters
    ----------
    networks : sequence of (seed, fold, lineage, outlook)
    groups : sequence of (group, use, fold)
        What the networks have seen: every annotated group of then.
    copies : iterable of str
        Paths in `folder`.
    folder : path

    Raises
    ------
    ValueError
        If a network on disk is not of the lineage that was planned to be kept.
    """
    for seed, fold, lineage, _ in networks:
        path = RESULTS / f"networks/seed-{seed}/fold-{fold}.lineage"
        if path.read_text(encoding="utf-8") != lineage:
            raise ValueError(f"{path}: this network has changed since the run was planned")
    for copy in map(Path, copies):
        with written_atomically(copy) as temporary:
            shutil.copyfile(RESULTS / copy.relative_to(folder), temporary)
    write_table(folder / "folds.tsv", pd.DataFrame(groups, columns=["group", "use", "fold"]))
    table = pd.DataFrame(networks, columns=["seed", "fold", "lineage", "outlook"])
    write_table(folder / "networks.tsv", table)
    LOG.info("%d networks kept in %s", len(networks), folder)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        files = snakemake.output
        main(
            snakemake.params.networks,
            snakemake.params.groups,
            [*files.networks, *files.histories, *files.lineages, *files.scores],
            Path(files.table).parent,
        )
