"""Turn the annotations of a shard into class codes, and count what each holds."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tessera.classes import ClassTable, encode
from tessera.digests import changed_files
from tessera.files import write_pages, write_table
from tessera.logs import LOG, logged_to
from tessera.problems import Problem, raise_if
from tessera.readers import UnreadableFile, read_annotation

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    rows: Sequence[dict[str, Any]],
    sha256: Sequence[str],
    classes: ClassTable,
    pages: str,
    table: str,
) -> None:
    """Write the masks of `rows`, whose files have the digests `sha256`, to `pages` as codes."""
    problems: list[Problem] = changed_files(rows, sha256)
    records: list[dict[str, Any]] = []
    write_pages(pages, _encoded(rows, sha256, classes, problems, records), compressed=True)
    write_table(table, pd.DataFrame(records))
    LOG.info("%d masks read", len(records))


def _encoded(
    rows: Sequence[dict[str, Any]],
    sha256: Sequence[str],
    classes: ClassTable,
    problems: list[Problem],
    records: list[dict[str, Any]],
) -> Iterator[tuple[np.ndarray, float]]:
    """Each page of codes; at the end, an error with all rows whose mask does not fit."""
    for row, raw in zip(rows, sha256, strict=True):
        try:
            codes = encode(read_annotation(row["path"], row["key"], row["frame"]), classes)
        except (UnreadableFile, ValueError) as error:
            problems.append(Problem(row["micrograph"], row["path"], str(error)))
            continue
        pixels = np.bincount(codes.ravel(), minlength=256)
        records.append(
            {
                "micrograph": row["micrograph"],
                "page": len(records),
                "rows": codes.shape[0],
                "columns": codes.shape[1],
                "file": Path(row["path"]).name,
                "file_sha256": raw,
                "ignored_px": pixels[-1],
                **{f"{name}_px": pixels[code] for code, name in enumerate(classes.names)},
            }
        )
        yield codes, np.nan
    raise_if(problems)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            snakemake.params.rows,
            snakemake.params.sha256,
            ClassTable.from_config(
                dict(snakemake.params.classes), snakemake.params.ignore, snakemake.params.other
            ),
            snakemake.output.pages,
            snakemake.output.table,
        )
