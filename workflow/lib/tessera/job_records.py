"""What Snakemake and the logs keep of each job: what it read, when it ran, and where.

Snakemake writes one JSON file an output into its own folder, named by the output in base64; a name
too long for a file is cut into folders whose names begin with `@`. Where there is no record
(results brought from elsewhere, a folder that was cleared) nothing is known, and nothing claimed.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tessera.machines import read_back
from tessera.problems import Problem
from tessera.products import SCORED, STEPS, TRAINED
from tessera.studies import Study

RECORDS = Path(".snakemake/metadata")
INCOMPLETE = Path(".snakemake/incomplete")
"""Markers of outputs whose job has not ended, under the same names."""
NAME_MAX = 255
ALGORITHM = "sha256:"


@dataclass(frozen=True)
class JobRecord:
    """What is known of a job that has run.

    Parameters
    ----------
    inputs : tuple of str
        Paths of all that it read.
    sha256 : dict
        Digests of inputs when it had run, by path; of files only.
    started, ended : float
        Seconds since 1970.
    machine : dict, optional
        Where it ran, as `machines.machine` tells it.
    """

    inputs: tuple[str, ...]
    sha256: dict[str, str]
    started: float
    ended: float
    machine: dict[str, Any] | None


def job_record(output: str, folder: Path = RECORDS) -> JobRecord | None:
    """The record of the job that made `output`, None if there is none that can be read."""
    try:
        record = json.loads(_record_path(output, folder).read_text(encoding="utf-8"))
        checksums = record.get("input_checksums") or {}
        return JobRecord(
            tuple(record["input"]),
            {
                path: checksum.removeprefix(ALGORITHM)
                for path, checksum in checksums.items()
                if checksum.startswith(ALGORITHM)
            },
            float(record["starttime"]),
            float(record["endtime"]),
            _machine(record.get("log") or []),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unrecorded(study: Study, results: Path = Path("results")) -> Iterator[Problem]:
    """Products of another lineage than the study's, of whose jobs Snakemake has no record.

    It takes them for what the study asks for. So it is where results were brought along, and
    `.snakemake` was not, if anything has changed since.
    """
    made = {("train", *of): TRAINED[-1].format(seed=of[0], fold=of[1]) for of in study.networks}
    made |= {("predict", of): STEPS["predict"].forms[-1].format(shard=of) for of in study.predicted}
    what = "was not made from this study as it is now, and Snakemake has no record of how it was"
    what += " made; bring .snakemake along with the results, or move both away"
    for product, name in {**made, ("summarise",): SCORED[-1]}.items():
        path = results / name
        if not path.is_file() or path.read_text(encoding="utf-8") == study.lineage(*product):
            continue
        if not any(_record_path(str(path), of).exists() for of in (RECORDS, INCOMPLETE)):
            yield Problem("/".join(product), str(path), what)


def _record_path(output: str, folder: Path) -> Path:
    name, size = urlsafe_b64encode(output.encode()).decode(), NAME_MAX - 1
    parts = [name[start : start + size] for start in range(0, len(name), size)]
    return folder.joinpath(*(f"@{part}" for part in parts[:-1]), parts[-1])


def _machine(logs: list[str]) -> dict[str, Any] | None:
    try:
        return read_back(Path(logs[0]).read_text(encoding="utf-8")) if logs else None
    except (OSError, UnicodeDecodeError):
        return None
