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

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pandas as pd
from rocrate.model.contextentity import ContextEntity
from rocrate.model.dataset import Dataset
from rocrate.model.file import File
from rocrate.rocrate import ROCrate

from tessera.job_records import JobRecord
from tessera.manifests import raw_name
from tessera.products import Job

TERMS = "https://w3id.org/ro/terms/workflow-run/context"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
WORKFLOW = "study/code/Snakefile"
SCRIPTS = "study/code/workflow/scripts"
COMPLETED = "http://schema.org/CompletedActionStatus"
OF_THE_STUDY = ("study/config.yaml", "study/micrographs.tsv", "study/requirements.lock")
OUTCOMES = ("report.html", "metrics.tsv", "folds.tsv", "manifest.tsv")
DESCRIPTION = (
    "Micrographs, annotations, networks, predicted masks and scores of a study run with Tessera. "
    "manifest.tsv lists every file; predictions are folders here."
)
NO_LICENCE = "Not stated: ask whoever holds the micrographs."


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
    sheet_sha256 : str
        Digest of the sheet: raw files are named after it.
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
    sheet_sha256: str
    settings: Mapping[str, str]
    seeds: Sequence[str]
    code: Mapping[str, str]
    commit: Mapping[str, Any]
    packages: Mapping[str, str]
    files: Mapping[str, tuple[str, int]]
    ended: float
    machine: Mapping[str, Any]


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
        As `manifests.manifest` gives it.
    jobs : sequence of Job
    records : mapping
        What is known of each job, by its id.
    read : mapping
        Paths of what each job read beside raw files, by its id: as recorded, where that is known.
    """
    made = Builder(facts)
    made.root()
    made.files(manifest, jobs)
    made.raw_files()
    made.context()
    made.workflow({job.rule: None for job in jobs})
    for job in jobs:
        made.job(job, records[job.id], read[job.id])
    made.run(jobs, records)
    return made.crate.metadata.generate()


class Builder:
    """Entities of a crate, added part by part."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.crate = ROCrate(version="1.1")
        self.crate.metadata.extra_contexts.append(TERMS)

    def add(self, id: str, type: str | list[str], **properties: Any) -> str:
        """Add an entity that is no file; give its id."""
        self.crate.add(ContextEntity(self.crate, id, {"@type": type, **_said(properties)}))
        return id

    def file(self, path: str, sha256: str, size: int, **properties: Any) -> None:
        """Add a file of the crate."""
        known = {"sha256": sha256, "contentSize": str(size), **properties}
        self.crate.add(File(self.crate, dest_path=path, properties=_said(known)))

    def root(self) -> None:
        """Add what the crate says of itself."""
        for profile, name in PROFILES.items():
            version = profile.rpartition("/")[2]
            self.add(profile, "CreativeWork", name=name, version=version)
        root = self.crate.root_dataset
        root["name"] = self.facts.title
        root["description"] = DESCRIPTION
        root["datePublished"] = moment(self.facts.ended)
        root["license"] = NO_LICENCE
        root["conformsTo"] = _ids(PROFILES)

    def files(self, manifest: pd.DataFrame, jobs: Sequence[Job]) -> None:
        """Add products and records; a folder of predictions is one entity."""
        group_of = self._groups_of_products(jobs)
        folders = sorted({path for job in jobs for path in job.writes if path.endswith("/")})
        inside = tuple(folders)
        code = {f"{SCRIPTS}/{rule}.py": version for rule, version in self.facts.code.items()}
        for row in manifest.itertuples(index=False):
            if row.path.startswith(inside) and inside:
                continue
            known: dict[str, Any] = {"about": group_of.get(row.path)}
            if row.path in code or row.path == WORKFLOW:
                continue  # added as what is run
            self.file(row.path, row.sha256, row.bytes, **known)
        for path, (sha256, size) in self.facts.files.items():
            self.file(path, sha256, size)
        for path in folders:
            about = _said({"about": group_of.get(path)})
            self.crate.add(Dataset(self.crate, dest_path=path, properties=about))
        self._digests = manifest.set_index("path")[["sha256", "bytes"]]

    def _groups_of_products(self, jobs: Sequence[Job]) -> dict[str, list[dict[str, str]]]:
        of_shards = (job for job in jobs if "shard" in job.names)
        return {
            path: _ids([_group(self.facts.groups[job.names["shard"]])])
            for job in of_shards
            for path in job.writes
        }

    def raw_files(self) -> None:
        """Add the raw files, which lie elsewhere, and the groups."""
        for group in sorted({*self.facts.groups.values(), *self.facts.raw["group"]}):
            self.add(_group(group), "Thing", name=group)
        for row in self.facts.raw.itertuples(index=False):
            known = {
                "name": row.path if not row.path.startswith("/") else row.path.rpartition("/")[2],
                "sha256": row.sha256,
                "contentSize": str(row.bytes),
                "identifier": raw_name(row.micrograph, row.column),
                "about": _ids([_group(row.group)]),
            }
            self.crate.add(
                File(self.crate, self._raw(row.micrograph, row.column), properties=known)
            )

    def _raw(self, micrograph: str, column: str) -> str:
        archive = f"arcp://uuid,{_uuid(self.facts.sheet_sha256)}"
        return f"{archive}/{quote(raw_name(micrograph, column))}"

    def context(self) -> None:
        """Add machines, packages, seeds and settings."""
        self.add("#python", "ComputerLanguage", name="Python", url="https://www.python.org")
        language = {"name": "Snakemake", "url": "https://snakemake.readthedocs.io"}
        self.add("#snakemake-language", "ComputerLanguage", **language)
        version = self.facts.packages.get("snakemake", "")
        self.add("#snakemake", "SoftwareApplication", softwareVersion=version, **language)
        for name, number in self.facts.packages.items():
            self.add(_package(name), "SoftwareApplication", name=name, softwareVersion=number)
        self.add("#seeds", "PropertyValue", name="seeds", value=", ".join(self.facts.seeds))
        for name, text in self.facts.settings.items():
            self.add(_settings(name), "PropertyValue", name=f"settings of {name}", value=text)
        self.machines: dict[str, str] = {}
        self.machine(self.facts.machine)

    def machine(self, known: Mapping[str, Any]) -> str:
        """Add a machine, once; give its id."""
        text = json.dumps(known, sort_keys=True)
        if text not in self.machines:
            id = f"#machine/{len(self.machines)}"
            details = {name: value for name, value in known.items() if name != "host"}
            described = [
                self.add(f"{id}/{name}", "PropertyValue", name=name, value=_plain(value))
                for name, value in details.items()
            ]
            named = {"name": known.get("host", "unknown"), "additionalProperty": _ids(described)}
            self.machines[text] = self.add(id, "Place", **named)
        return self.machines[text]

    def workflow(self, rules: Iterable[str]) -> None:
        """Add the workflow, its steps and the scripts that they run."""
        rules = list(rules)
        for position, rule in enumerate(rules):
            script = f"{SCRIPTS}/{rule}.py"
            self._source(
                script,
                ["File", "SoftwareSourceCode"],
                name=rule,
                version=self.facts.code[rule],
                programmingLanguage={"@id": "#python"},
            )
            tool = {"@id": script}
            self.add(_step(rule), "HowToStep", name=rule, position=position, workExample=tool)
        known = self.facts.commit
        state = "unknown" if not known else "changed" if known["changed"] else "clean"
        tree = [self.add("#tree", "PropertyValue", name="working tree", value=state)]
        if known.get("changed"):
            names = {"name": "changed files", "value": ", ".join(known["changed"])}
            tree.append(self.add("#tree/changed", "PropertyValue", **names))
        self._source(
            WORKFLOW,
            ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            name="Tessera",
            version=known.get("commit", "unknown"),
            additionalProperty=_ids(tree),
            programmingLanguage={"@id": "#snakemake-language"},
            hasPart=_ids(f"{SCRIPTS}/{rule}.py" for rule in rules),
            step=_ids(_step(rule) for rule in rules),
            softwareRequirements=_ids(_package(name) for name in self.facts.packages),
            input=_ids([*map(_parameter, OF_THE_STUDY), _parameter("seeds")]),
            output=_ids(map(_parameter, OUTCOMES)),
        )
        self.crate.root_dataset["mainEntity"] = {"@id": WORKFLOW}
        for path in (*OF_THE_STUDY, *OUTCOMES):
            self._parameter(path, path, "File")
        self._parameter("seeds", "#seeds", "Integer")

    def _source(self, path: str, types: list[str], **properties: Any) -> None:
        sha256, size = self._digests.loc[path]
        self.file(path, sha256, size, **properties)
        self.crate.dereference(path)._jsonld["@type"] = types

    def _parameter(self, name: str, of: str, kind: str) -> None:
        profile = {"@id": "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"}
        known = {"additionalType": kind, "conformsTo": profile, "workExample": {"@id": of}}
        self.add(_parameter(name), "FormalParameter", name=name, **known)
        self.crate.dereference(of)["exampleOfWork"] = {"@id": _parameter(name)}

    def job(self, job: Job, record: JobRecord | None, read: Sequence[str]) -> None:
        """Add what a job did, and that its step called for it."""
        paths = [quote(path) for path in read]
        raw = [self._raw(*cell) for cell in job.raw]
        settings = [_settings(name) for name in job.settings]
        known: dict[str, Any] = {"description": "Neither times nor machine were recorded."}
        if record is not None:
            known = {"startTime": moment(record.started), "endTime": moment(record.ended)}
            if record.machine is not None:
                known["location"] = {"@id": self.machine(record.machine)}
        self.add(
            _action(job.id),
            "CreateAction",
            name=job.id,
            instrument={"@id": f"{SCRIPTS}/{job.rule}.py"},
            object=_ids([*raw, *paths, *settings]),
            result=_ids(quote(path) for path in job.writes),
            actionStatus=COMPLETED,
            **known,
        )
        self.add(
            _control(job.id),
            "ControlAction",
            name=f"call for {job.id}",
            instrument={"@id": _step(job.rule)},
            object={"@id": _action(job.id)},
        )

    def run(self, jobs: Sequence[Job], records: Mapping[str, JobRecord | None]) -> None:
        """Add the run as a whole."""
        began = [record.started for record in records.values() if record is not None]
        ended = {"endTime": moment(self.facts.ended)}
        times = {"startTime": moment(min(began)), **ended} if began else ended
        made = (quote(path) for job in jobs for path in job.writes)
        given = [self._raw(row.micrograph, row.column) for row in self.facts.raw.itertuples()]
        run = self.add(
            "#run",
            "CreateAction",
            name="The study",
            instrument={"@id": WORKFLOW},
            object=_ids([*OF_THE_STUDY, "#seeds", *given]),
            result=_ids([*made, *self.facts.files]),
            location={"@id": self.machine(self.facts.machine)},
            actionStatus=COMPLETED,
            **times,
        )
        engine = self.add(
            "#engine",
            "OrganizeAction",
            name="Snakemake",
            instrument={"@id": "#snakemake"},
            object=_ids(_control(job.id) for job in jobs),
            result={"@id": run},
            **times,
        )
        self.crate.root_dataset["mentions"] = _ids([run, engine])


def _said(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value not in (None, [], "")}


def _ids(ids: Iterable[str]) -> list[dict[str, str]]:
    return [{"@id": id} for id in ids]


def moment(seconds: float) -> str:
    """Seconds since 1970 as the crate says them."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _uuid(sha256: str) -> str:
    return "-".join((sha256[:8], sha256[8:12], sha256[12:16], sha256[16:20], sha256[20:32]))


def _group(name: str) -> str:
    return f"#group/{quote(name)}"


def _package(name: str) -> str:
    return f"#package/{quote(name)}"


def _settings(name: str) -> str:
    return f"#settings/{name}"


def _parameter(name: str) -> str:
    return f"#parameter/{quote(name)}"


def _step(rule: str) -> str:
    return f"{WORKFLOW}#{rule}"


def _action(id: str) -> str:
    return f"#job/{quote(id)}"


def _control(id: str) -> str:
    return f"#call/{quote(id)}"
