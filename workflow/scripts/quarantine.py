"""Write down which rows are left out of the study, and why."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from tessera.digests import changed_files
from tessera.files import write_table
from tessera.logs import LOG, logged_to
from tessera.problems import raise_if
from tessera.quarantines import COLUMNS

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(rows: Sequence[dict[str, Any]], output: str) -> None:
    """Write a table of the files that are refused.

    Parameters
    ----------
    rows : sequence of dict
        As `refusals.listed` gives them.
    output : str

    Raises
    ------
    BadInput
        If one of the files has changed since: it may be mended.
    """
    there = [row for row in rows if row["file_sha256"]]
    raise_if(changed_files(there, [row["file_sha256"] for row in there]))
    write_table(output, pd.DataFrame(rows, columns=COLUMNS))
    LOG.info("%d files refused", len(rows))


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(snakemake.params.rows, snakemake.output[0])
