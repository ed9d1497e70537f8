"""Turn the annotations of a shard into class codes, and count what each holds."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tessera.annotations import Image, Mask, read_mask
from tessera.classes import DECLARED, ClassTable
from tessera.crops import COLUMNS, Crop
from tessera.digests import changed_files
from tessera.files import read_table, write_pages, write_table
from tessera.logs import LOG, logged_to
from tessera.problems import Problem, raise_if
from tessera.readers import UnreadableFile
from tessera.region_files import read_json
from tessera.strips import Page, strips

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    rows: Sequence[dict[str, Any]],
    sha256: Sequence[str],
    classes: ClassTable,
    micrographs: str | None,
    pages: str,
    table: str,
) -> None:
    """Write the masks of `rows`, whose files have the digests `sha256`, to `pages` as codes.

    `micrographs` is the table of the micrographs, where annotations are regions drawn on them, or
    where something was cut off.
    """
    problems: list[Problem] = changed_files(rows, sha256)
    records: list[dict[str, Any]] = []
    masks = _read(rows, classes, images_of(micrographs), problems)
    raw = dict(zip((row["micrograph"] for row in rows), sha256, strict=True))
    write_pages(pages, _recorded(masks, raw, classes, records), compressed=True)
    write_table(table, pd.DataFrame(records))
    LOG.info("%d masks read", len(records))


def images_of(micrographs: str | None) -> dict[str, Image]:
    """The picture of each micrograph, as the table of micrographs has it."""
    if micrographs is None:
        return {}
    known = read_table(micrographs, ["micrograph", "file", "rows", "columns", *COLUMNS])
    crops = (Crop(*cut) for cut in known[[*COLUMNS]].itertuples(index=False))
    return {
        row.micrograph: Image(row.file, crop.whole((row.rows, row.columns)), crop)
        for row, crop in zip(known.itertuples(), crops, strict=True)
    }


def _read(
    rows: Sequence[dict[str, Any]],
    classes: ClassTable,
    images: Mapping[str, Image],
    problems: list[Problem],
) -> Iterator[tuple[dict[str, Any], Mask]]:
    """Each row with its mask; at the end, an error with all rows whose mask does not fit."""
    json_of = cache(read_json)
    for row in rows:
        try:
            yield row, read_mask(row, classes, images.get(row["micrograph"]), json_of)
        except (UnreadableFile, ValueError) as error:
            problems.append(Problem(row["micrograph"], row["path"], str(error)))
    raise_if(problems)


def _recorded(
    masks: Iterator[tuple[dict[str, Any], Mask]],
    raw: Mapping[str, str],
    classes: ClassTable,
    records: list[dict[str, Any]],
) -> Iterator[tuple[Page, float]]:
    """Each page of codes; what is known of them goes to `records`."""
    for row, mask in masks:
        pixels = sum(np.bincount(strip.ravel(), minlength=256) for strip in strips(mask.codes))
        records.append(
            {
                "micrograph": row["micrograph"],
                "page": len(records),
                "rows": mask.codes.shape[0],
                "columns": mask.codes.shape[1],
                "file": Path(row["path"]).name,
                "file_sha256": raw[row["micrograph"]],
                "moved_px": mask.moved_px,
                "overlaid_px": mask.overlaid_px,
                "ignored_px": pixels[-1],
                **{f"{name}_px": pixels[code] for code, name in enumerate(classes.names)},
            }
        )
        _tell(row["micrograph"], mask)
        yield mask.codes, np.nan


def _tell(micrograph: str, mask: Mask) -> None:
    if mask.moved_px:
        LOG.info("%s: %d px moved to the nearest declared value", micrograph, mask.moved_px)
    if mask.overlaid_px:
        LOG.info("%s: %d px drawn over by a later region", micrograph, mask.overlaid_px)
    if mask.swallowed:
        names = ", ".join(mask.swallowed)
        LOG.info("%s: nothing but boundary is left of instance %s", micrograph, names)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        declared = {key: snakemake.params[key] for key in DECLARED}
        main(
            snakemake.params.rows,
            snakemake.params.sha256,
            ClassTable.from_config(**declared | {"classes": dict(declared["classes"])}),
            snakemake.input.get("micrographs") or None,
            snakemake.output.pages,
            snakemake.output.table,
        )
