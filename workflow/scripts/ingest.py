"""Read the raw files of a shard into one TIFF, and write down what is known of each micrograph."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tessera.digests import changed_files
from tessera.files import write_pages, write_table, written_atomically
from tessera.fingerprints import fingerprint
from tessera.landmarks import landmarks
from tessera.logs import LOG, logged_to
from tessera.pixel_sizes import fault, odd_sizes
from tessera.problems import Problem, raise_if
from tessera.readers import UnreadableFile, read_micrograph

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    rows: Sequence[dict[str, Any]], sha256: Sequence[str], pages: str, table: str, marks: str
) -> None:
    """Write the micrographs of `rows`, whose files have the digests `sha256`, to `pages`.

    What is known of each goes to `table`, its landmarks, with the number of its page, to `marks`.
    """
    problems: list[Problem] = changed_files(rows, sha256)
    records: list[dict[str, Any]] = []
    found: list[pd.DataFrame] = []
    write_pages(pages, _read(rows, sha256, problems, (records, found)), compressed=True)
    write_table(table, pd.DataFrame(records))
    with written_atomically(marks) as temporary:
        pd.concat(found, ignore_index=True).to_parquet(temporary, index=False)
    LOG.info("%d micrographs read", len(records))
    of_one_group = pd.DataFrame(records).assign(group="")
    for name, size_nm, others_nm in odd_sizes(of_one_group):
        LOG.warning("%s: pixels of %g nm, the others' %g nm: is it so?", name, size_nm, others_nm)


def _read(
    rows: Sequence[dict[str, Any]],
    sha256: Sequence[str],
    problems: list[Problem],
    known: tuple[list[dict[str, Any]], list[pd.DataFrame]],
) -> Iterator[tuple[np.ndarray, float]]:
    """Each page with its pixel size; at the end, an error with all rows that could not be read.

    What is `known` of the pages, records and landmarks, grows on the way.
    """
    records, found = known
    for row, raw in zip(rows, sha256, strict=True):
        try:
            recording = read_micrograph(row["path"], row["key"], row["frame"])
        except UnreadableFile as error:
            problems.append(Problem(row["micrograph"], row["path"], str(error)))
            continue
        pixels = np.ascontiguousarray(recording.pixels, recording.pixels.dtype.newbyteorder("="))
        stated = row["pixel_size_nm"]
        pixel_size_nm = recording.pixel_size_nm if np.isnan(stated) else stated
        if impossible := fault(pixel_size_nm):
            problems.append(Problem(row["micrograph"], row["path"], impossible))
            continue
        found.append(landmarks(pixels, pixel_size_nm).assign(page=len(records)))
        records.append(
            {
                "micrograph": row["micrograph"],
                "page": len(records),
                "rows": pixels.shape[0],
                "columns": pixels.shape[1],
                "dtype": pixels.dtype.name,
                "pixel_size_nm": pixel_size_nm,
                "instrument": recording.instrument,
                "file": Path(row["path"]).name,
                "file_sha256": raw,
                "pixels_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
                "fingerprint": fingerprint(pixels),
            }
        )
        yield pixels, pixel_size_nm
    raise_if(problems)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            snakemake.params.rows,
            snakemake.params.sha256,
            snakemake.output.pages,
            snakemake.output.table,
            snakemake.output.landmarks,
        )
