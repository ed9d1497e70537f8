"""Bring the micrographs of a shard to a common pixel size, and their grey levels to one scale."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pandas as pd

from tessera.channels import in_columns, named
from tessera.files import open_page, open_pages, read_table, write_pages, write_table
from tessera.grids import resampled
from tessera.intensity import Scale, flattened, normalised, scale_of
from tessera.logs import LOG, logged_to
from tessera.moments import Pixels
from tessera.pixel_sizes import common_size, shape_at, uncalibrated
from tessera.problems import Problem, raise_if
from tessera.strips import Page

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


@dataclass(frozen=True)
class Recorded:
    """Paths of a shard's micrographs as ingest wrote them, and of what is known of each."""

    pages: str
    table: str


def main(
    shard: Recorded,
    outputs: tuple[str, str],
    settings: Mapping[str, Any],
    references: Mapping[Recorded, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Write every page of a shard, normalised, and a table of what was done.

    Each by itself, or on the one scale of the `references`, names of micrographs by their shard.

    A page is a channel of a micrograph; the table has one row a micrograph.

    Raises
    ------
    BadInput
        With every micrograph that has no pixel size where there is a common one, or that the
        settings do not fit.
    """
    known = read_table(shard.table)
    common_nm = common_size(settings["pixel_size_nm"], known["pixel_size_nm"])
    if common_nm is not None:
        raise_if(uncalibrated(known))
    problems: list[Problem] = []
    records: list[dict[str, Any]] = []
    names = named(settings.get("inputs"))
    of_group = scales_of_group(references, settings, common_nm) if references else {}

    def made() -> Iterator[tuple[Page, float]]:
        each = ((row, name) for row in known.itertuples() for name in names)
        for page, (row, name) in zip(open_pages(shard.pages), each, strict=True):
            on_grid, size_nm = brought(page, row.pixel_size_nm, common_nm)
            if name == names[0]:
                rows, columns = on_grid.shape
                place = {"micrograph": row.micrograph, "page": row.page, "rows": rows}
                records.append(place | {"columns": columns, "pixel_size_nm": size_nm})
            try:
                scale = of_group.get(name)
                found, record = normalised(on_grid, settings, size_nm, page.dtype, scale)
            except ValueError as error:
                problems.append(Problem(row.micrograph, row.file, str(error)))
                continue
            records[-1] |= in_columns(record, name)
            yield found, size_nm
        raise_if(problems)

    write_pages(outputs[0], made(), compressed=False)
    write_table(outputs[1], pd.DataFrame(records))
    LOG.info("%d micrographs normalised", len(known))
    moved = sum(record["rows"] != of for record, of in zip(records, known["rows"], strict=True))
    if common_nm is not None:
        LOG.info("%d of them resampled to %g nm", moved, common_nm)


def scales_of_group(
    references: Mapping[Recorded, Sequence[str]],
    settings: Mapping[str, Any],
    common_nm: float | None,
) -> dict[str, Scale]:
    """Of each channel, the scale of some micrographs together, on their grid and flattened."""
    rows: list[tuple[Recorded, Any]] = []
    for shard, micrographs in references.items():
        known = read_table(shard.table)
        known = known[known["micrograph"].isin(micrographs)]
        if common_nm is not None:
            raise_if(uncalibrated(known))
        rows += [(shard, row) for row in known.itertuples()]
    shapes = (shape_at((row.rows, row.columns), row.pixel_size_nm, common_nm) for _, row in rows)
    size, names = sum(map(prod, shapes)), named(settings.get("inputs"))

    def pages(channel: int) -> Iterator[Page]:
        for shard, row in rows:
            page = open_page(shard.pages, row.page + channel)
            try:
                page, size_nm = brought(page, row.pixel_size_nm, common_nm)
                page, _ = flattened(page, settings, size_nm)
            except ValueError as error:
                raise_if([Problem(row.micrograph, row.file, str(error))])
            yield page

    ends = settings["low_percentile"], settings["high_percentile"]
    return {
        name: scale_of(Pixels(partial(pages, channel), size), *ends)
        for channel, name in enumerate(names)
    }


def brought(page: Page, pixel_size_nm: float, common_nm: float | None) -> tuple[Page, float]:
    """A page at the common pixel size, where there is one, and its pixel size now."""
    shape = shape_at(page.shape, pixel_size_nm, common_nm)
    return resampled(page, shape), pixel_size_nm if shape == page.shape else common_nm


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        shards = map(Recorded, snakemake.input.reference_pages, snakemake.input.reference_tables)
        main(
            Recorded(snakemake.input.pages, snakemake.input.table),
            (snakemake.output.pages, snakemake.output.table),
            snakemake.params.settings,
            dict(zip(shards, snakemake.params.references.values(), strict=True)),
        )
