"""What was done, held against what the study says: by records of its jobs and by the last audit.

Snakemake records what each job read, with digests, and when it ran. A job that read another file
than the study gives it, or a product that has changed since a job read it or since the last audit,
without its own job having run again, is a fault. Without this, auditing anew would give an edited
file a good name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from tessera.crate_entities import moment
from tessera.job_records import JobRecord
from tessera.manifests import SETTLED, Contents, remade_otherwise
from tessera.problems import Problem
from tessera.products import GATES, Job

RESULTS = "results/"
REMEDY = "delete it and run again, and it is made anew"

Records = Mapping[str, JobRecord | None]
"""What is known of each job, by its id."""


def recorded_reads(job: Job, record: JobRecord | None) -> list[str]:
    """Products that a job read, folders with a slash: as recorded, else as the study says."""
    if record is None:
        return list(job.reads)
    folders = {path.rstrip("/"): path for path in job.reads if path.endswith("/")}
    inside = [path.removeprefix(RESULTS) for path in record.inputs if path.startswith(RESULTS)]
    # What a training waits for, and does not read, is no part of the network.
    waited = {path for path in inside if path.endswith("/networks.tsv")}
    return [folders.get(path, path) for path in inside if path not in waited]


def misread(jobs: Sequence[Job], records: Records, contents: Contents) -> Iterator[Problem]:
    """Jobs that read other files than the study gives them, or other bytes than there are now."""
    for job in jobs:
        record = records[job.id]
        if record is None or job.rule == SETTLED:
            continue
        meant, made = set(job.reads), RESULTS + job.writes[0]
        read = set(recorded_reads(job, record)) - (GATES - meant)
        for path in sorted(read - meant):
            what = f"was made from {path}, which the study does not give it; {REMEDY}"
            yield Problem(job.id, made, what)
        for path in sorted(meant - read):
            what = f"was made without {path}, which the study gives it; {REMEDY}"
            yield Problem(job.id, made, what)
        for path in sorted(read & meant & set(contents.products)):
            if record.sha256.get(RESULTS + path, "") not in ("", contents.products[path][0]):
                yield Problem("audit", RESULTS + path, f"has changed since it was read; {REMEDY}")


def edited(
    before: pd.DataFrame,
    actions: Mapping[str, Mapping[str, Any]],
    now: pd.DataFrame,
    jobs: Sequence[Job],
    records: Records,
) -> Iterator[Problem]:
    """Products that are not what the last audit found, although their job has not run since.

    Parameters
    ----------
    before, now : DataFrame
        Manifests, of the last audit and of this one.
    actions : mapping
        What the crate of the last audit says of each job, by its id.
    jobs : sequence of Job
    records : mapping
    """
    job_of = {path: job for job in jobs for path in job.writes}

    def ran_since(path: str) -> bool:
        job = job_of.get(path) or job_of[f"{path.rpartition('/')[0]}/"]
        record = records[job.id]
        began = actions.get(job.id, {}).get("startTime")
        return record is not None and began != moment(record.started)

    for path in remade_otherwise(before, now, ran_since):
        yield Problem("audit", RESULTS + path, f"has changed since its job made it; {REMEDY}")
