"""Bring the grey levels of a shard's micrographs to a common scale."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from tessera.files import read_pages, read_table, write_pages
from tessera.intensity import normalised
from tessera.logs import LOG, logged_to
from tessera.problems import Problem, raise_if

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    pages: str, table: str, output: str, low_percentile: float, high_percentile: float
) -> None:
    """Write every page of `pages`, normalised by itself, to `output`."""
    known = read_table(table)
    problems: list[Problem] = []

    def scaled() -> Iterator[tuple[np.ndarray, float]]:
        for page, row in zip(read_pages(pages), known.itertuples(), strict=True):
            try:
                yield normalised(page, low_percentile, high_percentile), row.pixel_size_nm
            except ValueError as error:
                problems.append(Problem(row.micrograph, row.file, str(error)))
        raise_if(problems)

    write_pages(output, scaled(), compressed=False)
    LOG.info("%d micrographs normalised", len(known))


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            snakemake.input.pages,
            snakemake.input.table,
            snakemake.output[0],
            snakemake.params.low_percentile,
            snakemake.params.high_percentile,
        )
