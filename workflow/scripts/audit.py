"""Write the manifest of a study and its crate: what was made from what, by what, where, when."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tessera.audits import edited, misread, recorded_reads
from tessera.crates import Facts, crate
from tessera.digests import canonical, file_digest
from tessera.files import write_table, write_text
from tessera.inventories import contents, files_below, hashed
from tessera.job_records import job_record
from tessera.logs import LOG, logged_to
from tessera.machines import machine
from tessera.manifests import COLUMNS, manifest, with_records
from tessera.origins import commit, packages, raw_table, recorded_sheet, write_records
from tessera.preparation import prepared
from tessera.problems import Problem, raise_if
from tessera.products import Job, jobs
from tessera.steps import script_of
from tessera.studies import Study

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

RESULTS = Path("results")
STUDY = RESULTS / "study"
MANIFEST, CRATE, SUMS = "manifest.tsv", "ro-crate-metadata.json", "SHA256SUMS"
CALIBRATION = "calibration.yaml"


def main(config: dict[str, Any], lineage: str, version: str, threads: int) -> None:
    """Hold what was done against what the study says, and write it down.

    Parameters
    ----------
    config : dict
        The whole.
    lineage : str
        Of the audit, when the run was planned.
    version : str
        Of Snakemake.
    threads : int
        That hash files side by side.

    Raises
    ------
    BadInput
        If the study has changed since the run was planned, a product is missing, a job has read
        other files than the study gives it, or a product has changed since its job made it.
    """
    study = prepared(config)
    if study.lineage("audit") != lineage:
        what = "sheet, raw files or plan have changed since the run was planned; run again"
        raise_if([Problem("audit", study.sheet, what)])
    of_study = list(jobs(study))
    records = {job.id: job_record(str(RESULTS / job.writes[0])) for job in of_study}
    found = contents(RESULTS, of_study, threads)
    table = manifest(study, of_study, found)
    problems = list(misread(of_study, records, found))
    raise_if([*problems, *edited(*last_audit(), table, of_study, records)])
    write_records(study, STUDY)
    table = with_records(table, hashed(RESULTS, files_below(STUDY), threads))
    write_table(RESULTS / MANIFEST, table)
    there = {path for job in of_study for path in job.writes}
    there |= {path.name for path in [RESULTS / CALIBRATION] if path.is_file()}
    read = {
        job.id: [path for path in recorded_reads(job, records[job.id]) if path in there]
        for job in of_study
    }
    described = crate(facts(study, of_study, version), table, of_study, records, read)
    write_text(RESULTS / CRATE, json.dumps(described, indent=1, ensure_ascii=False) + "\n")
    sums = {name: file_digest(RESULTS / name) for name in (MANIFEST, CRATE)}
    write_text(RESULTS / SUMS, "".join(f"{sums[name]}  {name}\n" for name in sums))
    LOG.info("%d products of %d jobs; manifest %s", len(table), len(of_study), sums[MANIFEST])


def last_audit() -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Manifest and actions of the last audit; empty where there was none, or it is damaged."""
    try:
        before = pd.read_csv(RESULTS / MANIFEST, sep="\t", dtype=str, keep_default_na=False)
        graph = json.loads((RESULTS / CRATE).read_text(encoding="utf-8"))["@graph"]
        return before[COLUMNS], {
            one["name"]: one for one in graph if one["@type"] == "CreateAction"
        }
    except (OSError, ValueError, KeyError):
        return pd.DataFrame(columns=COLUMNS, dtype=str), {}


def facts(study: Study, of_study: Sequence[Job], version: str) -> Facts:
    """What the crate tells beside jobs and files."""
    rules = {job.rule for job in of_study}
    names = {name for job in of_study for name in job.settings}
    further = [name for name in (MANIFEST, CALIBRATION) if (RESULTS / name).is_file()]
    return Facts(
        title=study.config["report"]["title"],
        groups=study.shards["group"].to_dict(),
        raw=raw_table(study),
        sheet=recorded_sheet(study.sheet),
        sheet_sha256=file_digest(study.sheet),
        settings={name: canonical(study.settings(name)) for name in sorted(names)},
        seeds=study.seeds,
        code={rule: study.code(script_of(rule)) for rule in sorted(rules)},
        commit=commit(),
        packages=packages() | {"snakemake": version},
        files={
            name: (file_digest(RESULTS / name), (RESULTS / name).stat().st_size) for name in further
        },
        ended=time.time(),
        machine=machine(),
    )


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            snakemake.params.config,
            snakemake.params.lineage,
            snakemake.params.snakemake,
            snakemake.threads,
        )
