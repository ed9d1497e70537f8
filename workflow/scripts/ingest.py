"""Read the raw files of a shard into one TIFF, and write down what is known of each micrograph."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from tessera.conditions import CONDITION, Condition, remarks
from tessera.crops import COLUMNS, cut_off
from tessera.digests import changed_files, digest
from tessera.files import write_pages, write_table, write_text, written_atomically
from tessera.fingerprints import fingerprint
from tessera.landmarks import landmarks
from tessera.logs import LOG, logged_to
from tessera.micrographs import read_image
from tessera.pixel_sizes import odd_sizes
from tessera.problems import Problem, raise_if
from tessera.readers import Recording, UnreadableFile
from tessera.strips import Page

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


class Outputs(NamedTuple):
    """Paths: the pages; what is known of each; their landmarks; all that the raw files say."""

    pages: str
    table: str
    landmarks: str
    metadata: str


@dataclass
class Known:
    """What is found out on the way: a row and landmarks a page, what each raw file says once."""

    records: list[dict[str, Any]] = field(default_factory=list)
    landmarks: list[pd.DataFrame] = field(default_factory=list)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, row: dict[str, Any], raw: str, recording: Recording) -> None:
        """Keep what the file of a micrograph says, with what other frames of it say alike."""
        key = digest(raw, recording.metadata)
        entry = {"file": Path(row["path"]).name, "file_sha256": raw, "micrographs": []}
        entry = self.metadata.setdefault(key, {**entry, "metadata": recording.metadata})
        entry["micrographs"].append(row["micrograph"])


def main(
    rows: Sequence[dict[str, Any]],
    sha256: Sequence[str],
    settings: Mapping[str, Any],
    outputs: Outputs,
) -> None:
    """Write the micrographs of `rows`, whose files have the digests `sha256`."""
    problems: list[Problem] = changed_files(rows, sha256)
    known = Known()
    write_pages(outputs.pages, _read(rows, sha256, settings, problems, known), compressed=True)
    write_table(outputs.table, pd.DataFrame(known.records))
    with written_atomically(outputs.landmarks) as temporary:
        pd.concat(known.landmarks, ignore_index=True).to_parquet(temporary, index=False)
    text = json.dumps(list(known.metadata.values()), ensure_ascii=False, allow_nan=False, indent=1)
    write_text(outputs.metadata, text + "\n")
    LOG.info("%d micrographs read", len(known.records))
    of_one_group = pd.DataFrame(known.records).assign(group="")
    for name, size_nm, others_nm in odd_sizes(of_one_group):
        LOG.warning("%s: pixels of %g nm, the others' %g nm: is it so?", name, size_nm, others_nm)


def _read(
    rows: Sequence[dict[str, Any]],
    sha256: Sequence[str],
    settings: Mapping[str, Any],
    problems: list[Problem],
    known: Known,
) -> Iterator[tuple[Page, float]]:
    """Each page with its pixel size; at the end, an error with all rows that could not be read.

    What is `known` of the pages grows on the way.
    """
    for row, raw in zip(rows, sha256, strict=True):
        try:
            taken = read_image(row, settings)
        except UnreadableFile as error:
            problems.append(Problem(row["micrograph"], row["path"], str(error)))
            continue
        pixels, pixel_size_nm = taken.pixels, taken.pixel_size_nm
        page = len(known.records)
        known.landmarks.append(landmarks(pixels, pixel_size_nm).assign(page=page))
        known.add(row, raw, taken.recording)
        known.records.append(
            {
                "micrograph": row["micrograph"],
                "page": page,
                "rows": pixels.shape[0],
                "columns": pixels.shape[1],
                "dtype": pixels.dtype.name,
                "pixel_size_nm": pixel_size_nm,
                **_recorded(taken.recording),
                **dict(zip(COLUMNS, astuple(taken.crop), strict=True)),
                **_counted(taken.condition),
                "file": Path(row["path"]).name,
                "file_sha256": raw,
                "pixels_sha256": taken.pixels_sha256,
                "fingerprint": fingerprint(pixels),
            }
        )
        for remark in (*cut_off(taken.crop), *remarks(taken.condition)):
            LOG.info("%s: %s", row["micrograph"], remark)
        yield pixels, pixel_size_nm
    raise_if(problems)


def _recorded(recording: Recording) -> dict[str, Any]:
    """How a micrograph was recorded, as far as its file says."""
    return {
        "instrument": recording.instrument,
        "voltage_kv": recording.voltage_kv,
        "magnification": recording.magnification,
        "recorded": recording.recorded,
        "detector": recording.detector,
    }


def _counted(condition: Condition) -> dict[str, Any]:
    """In what condition a micrograph is; what is never else is left out."""
    counted = asdict(condition)
    return {name: counted[name] for name in CONDITION}


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            snakemake.params.rows,
            snakemake.params.sha256,
            snakemake.params.settings,
            Outputs(
                snakemake.output.pages,
                snakemake.output.table,
                snakemake.output.landmarks,
                snakemake.output.metadata,
            ),
        )
