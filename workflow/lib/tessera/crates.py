"""A study as a Workflow Run RO-Crate: what was made from what, by what, where, when.

The graph holds an action for every job, with the files it read and those it made, so that anyone
can walk from a score back to the raw files. It keeps to the profiles Process, Workflow and
Provenance Run Crate 0.5. Raw files are not in the crate: they are named by the sheet's digest, the
row and the column, with their SHA-256 and their path from the sheet. What belongs to one group says
so (`about`): by that the graph alone shows that no network saw a group that it was tested on.

Leo et al., Recording provenance of workflow runs with RO-Crate, 2024, DOI
10.1371/journal.pone.0309210.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

import pandas as pd

from tessera.crate_entities import Entities, id_of, moment, references
from tessera.job_records import JobRecord
from tessera.manifests import raw_name
from tessera.products import Job
from tessera.steps import script_of

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
WORKFLOW = "study/code/Snakefile"
SCRIPTS = "study/code/workflow/scripts"
SHEET = "study/micrographs.tsv"
GIVEN = {
    "study/config.yaml": "File",
    SHEET: "File",
    "study/requirements.lock": "File",
    "#seeds": "Integer",
}
OUTCOMES = ("report.html", "metrics.tsv", "folds.tsv", "manifest.tsv")
DESCRIPTION = (
    "Micrographs, annotations, networks, predicted masks and scores of a study run with Tessera. "
    "manifest.tsv lists every file; predictions are folders here."
)
NO_LICENCE = "Not stated: ask whoever holds the micrographs."
COMPLETED = "http://schema.org/CompletedActionStatus"


@dataclass(frozen=True)
class Facts:
    """What a crate tells beside jobs and files.

    Parameters
    ----------
    title : str
    groups : mapping
        Group of every shard.
    raw : DataFrame
        As `origins.raw_table` gives it.
    sheet, sheet_sha256 : str
        Path as the config has it, and digest, which raw files are named after.
    settings : mapping
        Every block of the config, settled, in JSON, by its name.
    seeds : sequence of str
    code : mapping
        Digest of the code of each rule.
    commit : mapping
        As `origins.commit` gives it.
    packages : mapping
        Versions by name.
    files : mapping
        (SHA-256, bytes) of what no row of the manifest stands for, by path: the manifest itself.
    ended : float
        Seconds since 1970.
    machine : mapping
        Where the audit runs.
    """

    title: str
    groups: Mapping[str, str]
    raw: pd.DataFrame
    sheet: str
    sheet_sha256: str
    settings: Mapping[str, str]
    seeds: Sequence[str]
    code: Mapping[str, str]
    commit: Mapping[str, Any]
    packages: Mapping[str, str]
    files: Mapping[str, tuple[str, int]]
    ended: float
    machine: Mapping[str, Any]

    def raw_id(self, micrograph: str, column: str) -> str:
        """The id of a raw file: its row and column, in an archive that the sheet stands for."""
        archive = uuid5(NAMESPACE_URL, f"sha256:{self.sheet_sha256}")
        return f"arcp://uuid,{archive}/{quote(raw_name(micrograph, column))}"


def crate(
    facts: Facts,
    manifest: pd.DataFrame,
    jobs: Sequence[Job],
    records: Mapping[str, JobRecord | None],
    read: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """The metadata of the crate, as JSON-LD.

    Parameters
    ----------
    facts : Facts
    manifest : DataFrame
        As `manifests.with_records` gives it.
    jobs : sequence of Job
    records : mapping
        What is known of each job, by its id.
    read : mapping
        Paths of what each job read beside raw files, by its id: as recorded, where that is known.
    """
    entities = Entities()
    _root(entities, facts)
    _files(entities, facts, manifest, jobs)
    _raw_files(entities, facts)
    _software(entities, facts)
    _parameters(entities)
    for job in jobs:
        _job(entities, facts, job, records[job.id], read[job.id])
    _run(entities, facts, jobs, records)
    return entities.crate.metadata.generate()


def _root(entities: Entities, facts: Facts) -> None:
    for profile, name in PROFILES.items():
        version = profile.rpartition("/")[2]
        entities.add(profile, "CreativeWork", name=name, version=version)
    root = entities.crate.root_dataset
    root["name"] = facts.title
    root["description"] = DESCRIPTION
    root["datePublished"] = moment(facts.ended)
    root["license"] = NO_LICENCE
    root["conformsTo"] = references(PROFILES)
    root["mainEntity"] = {"@id": WORKFLOW}
    root["mentions"] = references(["#run", "#engine"])


def _files(entities: Entities, facts: Facts, manifest: pd.DataFrame, jobs: Sequence[Job]) -> None:
    """Products and records; a folder of predictions is one entity."""
    about = {
        path: references([id_of("group", facts.groups[job.names["shard"]])])
        for job in jobs
        if "shard" in job.names
        for path in job.writes
    }
    folders = {path for job in jobs for path in job.writes if path.endswith("/")}
    tools: dict[str, list[str]] = {}
    for rule in facts.code:
        tools.setdefault(_script(rule), []).append(rule)
    for row in manifest.itertuples(index=False):
        hashed = row.sha256, row.bytes
        if row.path in tools:
            _tool(entities, facts, row.path, hashed, tools[row.path])
        elif row.path == WORKFLOW:
            _workflow(entities, facts, hashed)
        elif f"{row.path.rpartition('/')[0]}/" not in folders:
            named = {"alternateName": facts.sheet} if row.path == SHEET else {}
            entities.file(row.path, hashed, about=about.get(row.path), **named)
    for path, hashed in facts.files.items():
        entities.file(path, hashed)
    for path in sorted(folders):
        entities.folder(path, about=about.get(path))


def _script(rule: str) -> str:
    return f"{SCRIPTS}/{script_of(rule)}"


def _tool(
    entities: Entities, facts: Facts, path: str, hashed: tuple[str, int], rules: Sequence[str]
) -> None:
    entities.source(
        path,
        hashed,
        [],
        name=Path(path).stem,
        version=facts.code[rules[0]],
        programmingLanguage={"@id": "#python"},
    )
    for rule in rules:
        position = list(facts.code).index(rule)
        step = {"name": rule, "position": position, "workExample": {"@id": path}}
        entities.add(f"{WORKFLOW}#{rule}", "HowToStep", **step)


def _workflow(entities: Entities, facts: Facts, hashed: tuple[str, int]) -> None:
    known = facts.commit
    state = "unknown" if not known else "changed" if known["changed"] else "clean"
    tree = [entities.value("#tree", "working tree", state)]
    if known.get("changed"):
        tree.append(entities.value("#tree/changed", "changed files", ", ".join(known["changed"])))
    entities.source(
        WORKFLOW,
        hashed,
        ["ComputationalWorkflow", "HowTo"],
        name="Tessera",
        version=known.get("commit", "unknown"),
        additionalProperty=references(tree),
        programmingLanguage={"@id": "#snakemake"},
        hasPart=references(sorted({_script(rule) for rule in facts.code})),
        step=references(f"{WORKFLOW}#{rule}" for rule in facts.code),
        softwareRequirements=references(id_of("package", name) for name in facts.packages),
        input=references(id_of("parameter", name) for name in GIVEN),
        output=references(id_of("parameter", name) for name in OUTCOMES),
    )


def _raw_files(entities: Entities, facts: Facts) -> None:
    """The raw files, which lie elsewhere, and the groups."""
    for group in sorted({*facts.groups.values(), *facts.raw["group"]}):
        entities.add(id_of("group", group), "Thing", name=group)
    for row in facts.raw.itertuples(index=False):
        is_private = row.path.startswith("/")  # where it lies is not for everybody
        entities.elsewhere(
            facts.raw_id(row.micrograph, row.column),
            (row.sha256, row.bytes),
            name=row.path.rpartition("/")[2] if is_private else row.path,
            identifier=raw_name(row.micrograph, row.column),
            about=references([id_of("group", row.group)]),
        )


def _software(entities: Entities, facts: Facts) -> None:
    entities.add("#python", "ComputerLanguage", name="Python", url="https://www.python.org")
    site = {"name": "Snakemake", "url": "https://snakemake.readthedocs.io"}
    entities.add("#snakemake", "ComputerLanguage", **site)
    for name, number in facts.packages.items():
        entities.add(id_of("package", name), "SoftwareApplication", name=name, version=number)
    entities.value("#seeds", "seeds", ", ".join(facts.seeds))
    for name, text in facts.settings.items():
        entities.value(id_of("settings", name), f"settings of {name}", text)


def _parameters(entities: Entities) -> None:
    for id, kind in {**GIVEN, **dict.fromkeys(OUTCOMES, "File")}.items():
        known = {"additionalType": kind, "conformsTo": {"@id": PARAMETER}}
        parameter = id_of("parameter", id)
        entities.add(parameter, "FormalParameter", name=id, workExample={"@id": id}, **known)
        entities.crate.dereference(id)["exampleOfWork"] = {"@id": parameter}


def _job(
    entities: Entities, facts: Facts, job: Job, record: JobRecord | None, read: Sequence[str]
) -> None:
    """What a job did, and that its step called for it."""
    given = [facts.raw_id(*cell) for cell in job.raw] + [quote(path) for path in read]
    known: dict[str, Any] = {"description": "Neither times nor machine were recorded."}
    if record is not None:
        known = {"startTime": moment(record.started), "endTime": moment(record.ended)}
        if record.machine is not None:
            known["location"] = {"@id": entities.machine(record.machine)}
    did = entities.add(
        id_of("job", job.id),
        "CreateAction",
        name=job.id,
        instrument={"@id": _script(job.rule)},
        object=references([*given, *(id_of("settings", name) for name in job.settings)]),
        result=references(quote(path) for path in job.writes),
        actionStatus=COMPLETED,
        **known,
    )
    entities.add(
        id_of("call", job.id),
        "ControlAction",
        name=f"call for {job.id}",
        instrument={"@id": f"{WORKFLOW}#{job.rule}"},
        object={"@id": did},
    )


def _run(
    entities: Entities,
    facts: Facts,
    jobs: Sequence[Job],
    records: Mapping[str, JobRecord | None],
) -> None:
    """The run as a whole."""
    began = [record.started for record in records.values() if record is not None]
    times = {"startTime": moment(min(began))} if began else {}
    times["endTime"] = moment(facts.ended)
    given = [facts.raw_id(row.micrograph, row.column) for row in facts.raw.itertuples()]
    made = [quote(path) for job in jobs for path in job.writes]
    entities.add(
        "#run",
        "CreateAction",
        name="The study",
        instrument={"@id": WORKFLOW},
        object=references([*GIVEN, *given]),
        result=references([*made, *facts.files]),
        location={"@id": entities.machine(facts.machine)},
        actionStatus=COMPLETED,
        **times,
    )
    entities.add(
        "#engine",
        "OrganizeAction",
        name="Snakemake",
        instrument={"@id": id_of("package", "snakemake")},
        object=references(id_of("call", job.id) for job in jobs),
        result={"@id": "#run"},
        **times,
    )
