"""The manifest: every product of a study with its digest, and digests of what it was made from.

A row holds neither time nor host, so that two manifests of one study are the same bytes wherever
and however it ran. The digest of a job's inputs is the SHA-256 of lines as `sha256sum` writes them,
one an input, sorted by name; so anyone can make it again from the manifest itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from tessera.digests import digest
from tessera.products import Job
from tessera.steps import script_of
from tessera.studies import Study

COLUMNS = ["path", "sha256", "bytes", "rule", "inputs", "params", "code"]
SETTLED = "plan"
"""The rule whose product is made once and then the user's to edit: what it was made from binds no
more."""


@dataclass(frozen=True)
class Contents:
    """What is in the files of a study.

    Parameters
    ----------
    products : mapping
        (SHA-256, bytes) of each product, by its path below the folder of results.
    folders : mapping
        Paths of the files in each folder that is a product.
    """

    products: Mapping[str, tuple[str, int]]
    folders: Mapping[str, list[str]]

    def files(self, paths: Iterable[str]) -> Iterator[str]:
        """The paths, each folder replaced by its files."""
        for path in paths:
            yield from self.folders[path] if path.endswith("/") else [path]


def raw_name(micrograph: str, column: str) -> str:
    """How the inputs of a job name a raw file: by its row, wherever it lies.

    Examples
    --------
    >>> raw_name("s1-001", "mask")
    'raw/mask/s1-001'
    """
    return f"raw/{column}/{micrograph}"


def raw_digests(study: Study) -> dict[str, str]:
    """SHA-256 of each raw file of a study, by `raw_name`."""
    columns = [*study.image_columns, "mask"]
    return {
        raw_name(row["micrograph"], column): study.sha256[row[column]]
        for row in study.sheet_rows[["micrograph", *columns]].to_dict("records")
        for column in columns
        if row[column] in study.sha256
    }


def inputs_digest(sha256: Mapping[str, str]) -> str:
    """Digest of inputs, from the digest of each by its name.

    Examples
    --------
    >>> inputs_digest({"b": "2", "a": "1"}) == inputs_digest({"a": "1", "b": "2"})
    True
    """
    lines = (f"{sha256[name]}  {name}\n" for name in sorted(sha256))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def params_of(study: Study, job: Job) -> dict[str, object]:
    """The settings that reach a job, by block."""
    return {name: study.settings(name) for name in job.settings}


def manifest(study: Study, jobs: Iterable[Job], contents: Contents) -> pd.DataFrame:
    """One row a product, sorted by path.

    Parameters
    ----------
    study : Study
    jobs : iterable of Job
        As `products.jobs` gives them.
    contents : Contents
        Of all that the jobs write.
    """
    raw = raw_digests(study)
    params: dict[tuple[str, ...], str] = {}
    rows = []
    for job in jobs:
        if job.settings not in params:
            params[job.settings] = digest({name: study.settings(name) for name in job.settings})
        made_from = ("", "", "")
        if job.rule != SETTLED:
            read = {name: contents.products[name][0] for name in contents.files(job.reads)}
            read |= {name: raw[name] for name in (raw_name(*cell) for cell in job.raw)}
            made_from = (inputs_digest(read), params[job.settings], study.code(script_of(job.rule)))
        rows += [
            (path, *contents.products[path], job.rule, *made_from)
            for path in contents.files(job.writes)
        ]
    return pd.DataFrame(sorted(rows), columns=COLUMNS)


def with_records(products: pd.DataFrame, records: Mapping[str, tuple[str, int]]) -> pd.DataFrame:
    """The manifest with what the audit itself keeps of the study, of which nothing is made."""
    rows = [(path, *hashed, "audit", "", "", "") for path, hashed in records.items()]
    table = pd.concat([products, pd.DataFrame(rows, columns=COLUMNS)])
    return table.sort_values("path", ignore_index=True)


def remade_otherwise(
    before: pd.DataFrame, now: pd.DataFrame, ran_since: Callable[[str], bool]
) -> list[str]:
    """Products that differ from those of an earlier manifest although nothing has made them again.

    Parameters
    ----------
    before, now : DataFrame
        Manifests.
    ran_since : callable
        Whether the job of a product has run since the earlier manifest.
    """
    made_from = ["path", "rule", "inputs", "params", "code"]
    pairs = before[before["rule"] != "audit"].merge(now, on=made_from, suffixes=("_before", ""))
    pairs = pairs[(pairs["rule"] != SETTLED) & (pairs["sha256"] != pairs["sha256_before"])]
    return [path for path in pairs["path"] if not ran_since(path)]


def differences(one: pd.DataFrame, other: pd.DataFrame) -> list[tuple[str, str]]:
    """Products that two manifests do not agree on, with what they differ in.

    Parameters
    ----------
    one, other : DataFrame
        Manifests, of text; what the audit keeps of a study is not compared.
    """
    products = [table[table["rule"] != "audit"].set_index("path") for table in (one, other)]
    here, there = products
    found = [(path, "is missing in the second") for path in here.index.difference(there.index)]
    found += [(path, "is missing in the first") for path in there.index.difference(here.index)]
    both = here.index.intersection(there.index)
    unlike = here.loc[both] != there.loc[both]
    for path, row in unlike[unlike.any(axis=1)].iterrows():
        found.append((path, f"another {', '.join(row.index[row])}"))
    return sorted(found)
