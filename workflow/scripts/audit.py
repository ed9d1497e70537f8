"""Write the manifest of a study and its crate: what was made from what, by what, where, when."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tessera.crates import Facts, crate, moment
from tessera.digests import canonical, file_digest
from tessera.files import write_table, write_text
from tessera.inventories import contents, files_below, hashed
from tessera.job_records import JobRecord, job_record
from tessera.logs import LOG, logged_to
from tessera.machines import machine
from tessera.manifests import Contents, manifest, remade_otherwise, with_records
from tessera.origins import ROOT, commit, packages, raw_table, write_records
from tessera.preparation import prepared
from tessera.problems import Problem, raise_if
from tessera.products import GATES, Job, jobs
from tessera.studies import Study

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

RESULTS = Path("results")
STUDY = RESULTS / "study"
MANIFEST, CRATE, SUMS = "manifest.tsv", "ro-crate-metadata.json", "SHA256SUMS"
CALIBRATION = "calibration.yaml"


def main(config: dict[str, Any], upstream: str, threads: int) -> None:
    """Hold what was done against what the study says, and write it down.

    Raises
    ------
    BadInput
        If the study has changed since the run was planned, a product is missing, a job has read
        other files than the study gives it, or a product has changed since its job made it.
    """
    study = prepared(config, ROOT / "workflow" / "schemas")
    if study.upstream("audit") != upstream:
        what = "sheet, raw files or plan have changed since the run was planned; run again"
        raise_if([Problem("audit", study.sheet, what)])
    of_study = list(jobs(study))
    records = {job.id: job_record(str(RESULTS / job.writes[0])) for job in of_study}
    found = contents(RESULTS, of_study, threads)
    table = manifest(study, of_study, found)
    raise_if([*misread(of_study, records, found), *edited(table, of_study, records)])
    write_records(study, STUDY)
    table = with_records(table, hashed(RESULTS, files_below(STUDY), threads))
    write_table(RESULTS / MANIFEST, table)
    described = crate(facts(study, of_study), table, of_study, records, reads(of_study, records))
    write_text(RESULTS / CRATE, json.dumps(described, indent=1, ensure_ascii=False) + "\n")
    sums = {name: file_digest(RESULTS / name) for name in (MANIFEST, CRATE)}
    write_text(RESULTS / SUMS, "".join(f"{sums[name]}  {name}\n" for name in sums))
    LOG.info("%d products of %d jobs; manifest %s", len(table), len(of_study), sums[MANIFEST])


def below(path: str) -> str:
    """A path as Snakemake records it, below the folder of results."""
    return path.removeprefix(f"{RESULTS}/")


def given(job: Job, record: JobRecord) -> list[str]:
    """What a job read of the study's products, as recorded, folders with a slash."""
    folders = {path.rstrip("/"): path for path in job.reads if path.endswith("/")}
    inside = [below(path) for path in record.inputs if path.startswith(f"{RESULTS}/")]
    return [folders.get(path, path) for path in inside]


def misread(
    of_study: Sequence[Job], records: Mapping[str, JobRecord | None], found: Contents
) -> list[Problem]:
    """Jobs that read other files than the study gives them, or other bytes than there are now."""
    problems = []
    for job in of_study:
        record = records[job.id]
        if record is None or job.rule == "plan":
            continue
        read = set(given(job, record)) - (GATES - set(job.reads))
        for path in sorted(read - set(job.reads)):
            what = f"was made from {path}, which the study does not give it; delete it, run again"
            problems.append(Problem(job.id, str(RESULTS / job.writes[0]), what))
        for path in sorted(set(job.reads) - read):
            what = f"was made without {path}, which the study gives it; delete it, run again"
            problems.append(Problem(job.id, str(RESULTS / job.writes[0]), what))
        for path in sorted(read & set(job.reads) & set(found.products)):
            if record.sha256.get(str(RESULTS / path), "") not in ("", found.products[path][0]):
                what = f"has changed since {job.id} read it; delete it, run again"
                problems.append(Problem("audit", str(RESULTS / path), what))
    return problems


def edited(
    table: pd.DataFrame, of_study: Sequence[Job], records: Mapping[str, JobRecord | None]
) -> list[Problem]:
    """Products that are not what the last audit found, although their job has not run since."""
    try:
        before = pd.read_csv(RESULTS / MANIFEST, sep="\t", dtype=str, keep_default_na=False)
        graph = json.loads((RESULTS / CRATE).read_text(encoding="utf-8"))["@graph"]
        began = {
            one["name"]: one.get("startTime") for one in graph if one["@type"] == "CreateAction"
        }
    except (OSError, ValueError, KeyError):  # none yet, or damaged: nothing to hold against
        return []
    job_of = {path: job for job in of_study for path in job.writes}

    def ran_since(path: str) -> bool:
        job = job_of.get(path) or job_of[f"{path.rpartition('/')[0]}/"]
        record = records[job.id]
        return record is not None and began.get(job.id) != moment(record.started)

    what = "has changed since its job made it; delete it to make it again"
    return [
        Problem("audit", str(RESULTS / path), what)
        for path in remade_otherwise(before, table, ran_since)
    ]


def reads(of_study: Sequence[Job], records: Mapping[str, JobRecord | None]) -> dict[str, list[str]]:
    """What each job read beside raw files: as recorded, else as the study says."""
    known = {path for job in of_study for path in job.writes}
    known |= {CALIBRATION} if (RESULTS / CALIBRATION).is_file() else set()
    read = {}
    for job in of_study:
        record = records[job.id]
        paths = job.reads if record is None else given(job, record)
        read[job.id] = [path for path in paths if path in known]
    return read


def facts(study: Study, of_study: Sequence[Job]) -> Facts:
    """What the crate tells beside jobs and files."""
    rules = {job.rule for job in of_study}
    names = {name for job in of_study for name in job.settings}
    further = [name for name in (MANIFEST, CALIBRATION) if (RESULTS / name).is_file()]
    return Facts(
        title=study.config["report"]["title"],
        groups=study.shards["group"].to_dict(),
        raw=raw_table(study),
        sheet_sha256=file_digest(study.sheet),
        settings={name: canonical(study.settings(name)) for name in sorted(names)},
        seeds=study.seeds,
        code={rule: study.code(f"{rule}.py") for rule in sorted(rules)},
        commit=commit(),
        packages=packages(),
        files={
            name: (file_digest(RESULTS / name), (RESULTS / name).stat().st_size) for name in further
        },
        ended=time.time(),
        machine=machine(),
    )


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(snakemake.params.config, snakemake.params.upstream, snakemake.threads)
