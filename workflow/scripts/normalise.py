"""Bring the micrographs of a shard to a common pixel size, and their grey levels to one scale."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tessera.channels import in_columns, named
from tessera.files import read_pages, read_table, write_pages, write_table
from tessera.grids import resampled
from tessera.intensity import scale_of, scaled
from tessera.logs import LOG, logged_to
from tessera.pixel_sizes import common_size, shape_at, uncalibrated
from tessera.problems import raise_if

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(pages: str, table: str, outputs: tuple[str, str], settings: dict[str, Any]) -> None:
    """Write every page of `pages`, each normalised by itself, and a table of what was done.

    A page is a channel of a micrograph; the table has one row a micrograph.

    Raises
    ------
    BadInput
        With every micrograph that has no pixel size where there is a common one.
    """
    known = read_table(table)
    common_nm = common_size(settings["pixel_size_nm"], known["pixel_size_nm"])
    if common_nm is not None:
        raise_if(uncalibrated(known))
    percentiles = settings["low_percentile"], settings["high_percentile"]
    records: list[dict[str, Any]] = []
    names = named(settings.get("inputs"))

    def normalised() -> Iterator[tuple[np.ndarray, float]]:
        each = ((row, name) for row in known.itertuples() for name in names)
        for page, (row, name) in zip(read_pages(pages), each, strict=True):
            shape = shape_at(page.shape, row.pixel_size_nm, common_nm)
            size_nm = row.pixel_size_nm if shape == page.shape else common_nm
            page = resampled(page, shape)
            scale = scale_of(page, *percentiles)
            if name == names[0]:
                place = {"micrograph": row.micrograph, "page": row.page}
                sides = {"rows": shape[0], "columns": shape[1], "pixel_size_nm": size_nm}
                records.append(place | sides)
            records[-1] |= in_columns(asdict(scale), name)
            yield scaled(page, scale), size_nm

    write_pages(outputs[0], normalised(), compressed=False)
    write_table(outputs[1], pd.DataFrame(records))
    LOG.info("%d micrographs normalised", len(known))
    moved = sum(record["rows"] != of for record, of in zip(records, known["rows"], strict=True))
    if common_nm is not None:
        LOG.info("%d of them resampled to %g nm", moved, common_nm)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            snakemake.input.pages,
            snakemake.input.table,
            (snakemake.output.pages, snakemake.output.table),
            snakemake.params.settings,
        )
