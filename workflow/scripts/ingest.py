"""Read the raw files of a shard into one TIFF, and write down what is known of each micrograph."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from tessera.channels import in_columns, named
from tessera.conditions import CONDITION, Condition, remarks
from tessera.crops import COLUMNS, cut_off
from tessera.digests import changed_files, digest
from tessera.files import write_pages, write_table, write_text, written_atomically
from tessera.fingerprints import fingerprint
from tessera.landmarks import landmarks
from tessera.logs import LOG, logged_to
from tessera.micrographs import Micrograph, read_image
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
        if row["micrograph"] not in entry["micrographs"][-1:]:  # once for all of its channels
            entry["micrographs"].append(row["micrograph"])


def main(
    rows: Sequence[dict[str, Any]],
    sha256: Sequence[str],
    settings: Mapping[str, Any],
    outputs: Outputs,
) -> None:
    """Write the micrographs of `rows`, a file each, whose digests are `sha256`.

    Where micrographs have several channels, a row is of a file with all of them, or there is one a
    channel.
    """
    problems: list[Problem] = changed_files(rows, sha256)
    known = Known()
    files = [{**row, "sha256": of} for row, of in zip(rows, sha256, strict=True)]
    write_pages(outputs.pages, _read(files, settings, problems, known), compressed=True)
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
    files: Sequence[dict[str, Any]],
    settings: Mapping[str, Any],
    problems: list[Problem],
    known: Known,
) -> Iterator[tuple[Page, float]]:
    """Each page with its pixel size; at the end, an error with all rows that could not be read.

    What is `known` of the pages grows on the way.
    """
    names = named(settings.get("inputs"))
    for micrograph, group in groupby(files, key=itemgetter("micrograph")):
        own = list(group)
        try:
            taken = read_image(own, settings)
        except UnreadableFile as error:
            problems.append(Problem(micrograph, own[0]["path"], str(error)))
            continue
        of_each = own if len(own) > 1 else own * len(taken)
        first, page = taken[0], len(known.records) * len(taken)
        known.landmarks.append(landmarks(first.pixels, first.pixel_size_nm).assign(page=page))
        place = {"micrograph": micrograph, "page": page}
        known.records.append(place | _row_of(names, taken, map(_said, of_each, taken)))
        for remark in cut_off(first.crop):
            LOG.info("%s: %s", micrograph, remark)
        for name, file, channel in zip(names, of_each, taken, strict=True):
            known.add(file, file["sha256"], channel.recording)
            for remark in remarks(channel.condition):
                LOG.info("%s: %s", f"{micrograph} ({name})" if name else micrograph, remark)
            yield channel.pixels, channel.pixel_size_nm
    raise_if(problems)


def _row_of(
    names: Sequence[str], taken: Sequence[Micrograph], said: Iterable[dict[str, Any]]
) -> dict[str, Any]:
    """What is known of a micrograph: of the first channel, then of the others by their names."""
    of_first, *of_others = said
    first = taken[0]
    row = {
        "rows": first.pixels.shape[0],
        "columns": first.pixels.shape[1],
        "dtype": of_first["dtype"],
        "pixel_size_nm": first.pixel_size_nm,
        **of_first,
        "pixels_sha256": _digest_of([channel.pixels_sha256 for channel in taken]),
        "fingerprint": fingerprint(first.pixels),
    }
    for name, of in zip(names[1:], of_others, strict=True):
        # All are cut as the first one is.
        own = {key: value for key, value in of.items() if key not in COLUMNS}
        row |= in_columns(own, name)
    return row


def _digest_of(sha256: Sequence[str]) -> str:
    """The digest of the pixels of all channels, from that of each."""
    return sha256[0] if len(sha256) == 1 else digest(*sha256)


def _said(file: dict[str, Any], channel: Micrograph) -> dict[str, Any]:
    """What is known of a channel by itself."""
    return {
        "dtype": channel.pixels.dtype.name,
        **_recorded(channel.recording),
        **dict(zip(COLUMNS, astuple(channel.crop), strict=True)),
        **_counted(channel.condition),
        "file": Path(file["path"]).name,
        "file_sha256": file["sha256"],
    }


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
