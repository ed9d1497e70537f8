"""The folder of results as it describes itself: manifest, crate, table of raw files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pandas as pd

MANIFEST, CRATE, SUMS = "manifest.tsv", "ro-crate-metadata.json", "SHA256SUMS"
RAW = "study/raw.tsv"
SHEET = "study/micrographs.tsv"
COLUMNS = ["path", "sha256", "bytes", "rule", "inputs", "params", "code"]
READ_BY = {"image": ("ingest", "micrographs"), "mask": ("annotate", "masks")}
"""Rule that reads the raw files of a kind, and the folder of its tables."""

Fault = tuple[str, str]
"""What does not hold: a path below the folder of results, and what is wrong with it."""


class Unreadable(Exception):
    """A file without which the rest cannot be checked; its arguments are a fault."""


@dataclass(frozen=True)
class Results:
    """A folder of results.

    Parameters
    ----------
    folder : path
    manifest : DataFrame
        Of text.
    graph : dict
        Entities of the crate, by id.
    """

    folder: Path
    manifest: pd.DataFrame
    graph: dict[str, dict[str, Any]]

    @cached_property
    def sha256(self) -> dict[str, str]:
        """Digests of the products, by path."""
        return dict(zip(self.manifest["path"], self.manifest["sha256"], strict=True))

    @cached_property
    def raw(self) -> pd.DataFrame:
        """The table of raw files, of text, indexed by how the crate identifies each."""
        table = read_table(self.folder, RAW)
        return table.set_index("raw/" + table["column"] + "/" + table["micrograph"])

    @cached_property
    def raw_of(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Rows of that table by what they are, image or mask, and micrograph; then by channel.

        The first channel has no name: it may be in a file of all of them.
        """
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for row in self.raw.itertuples():
            kind, _, channel = row.column.partition(".")
            found.setdefault((kind, row.micrograph), {})[channel] = row
        return found

    @cached_property
    def folders(self) -> dict[str, list[str]]:
        """Files of the manifest in each folder that is a product."""
        inside: dict[str, list[str]] = {}
        for path in self.manifest["path"]:
            inside.setdefault(f"{path.rpartition('/')[0]}/", []).append(path)
        ids = (unquote(id) for id, entity in self.graph.items() if "Dataset" in types(entity))
        return {id: inside.get(id, []) for id in ids if id != "./"}

    @cached_property
    def actions(self) -> dict[str, dict[str, Any]]:
        """The action of each job, by its name."""
        return {
            entity["name"]: entity
            for id, entity in self.graph.items()
            if id.startswith("#job/") and "CreateAction" in types(entity)
        }

    @cached_property
    def maker(self) -> dict[str, dict[str, Any]]:
        """The action that made each product, by the id of the product."""
        return {id: act for act in self.actions.values() for id in ids(act.get("result"))}

    def settings(self, block: str) -> Any:
        """A block of the config, as it reached the jobs."""
        return json.loads(self.graph[f"#settings/{block}"]["value"])

    def shards_of(self, rule: str) -> list[str]:
        """Shards that a rule worked on, sorted."""
        return sorted(name.split("/", 1)[1] for name in self.actions if name.startswith(f"{rule}/"))


def read_results(folder: Path) -> Results:
    """Read what a folder of results says of itself; `Unreadable` if it says nothing."""
    manifest = read_table(folder, MANIFEST)
    if list(manifest.columns) != COLUMNS:
        raise Unreadable(MANIFEST, f"has not the columns {', '.join(COLUMNS)}")
    try:
        text = (folder / CRATE).read_text(encoding="utf-8")
        entities = json.loads(text, object_pairs_hook=_said_once)["@graph"]
        graph = _said_once((entity["@id"], entity) for entity in entities)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(CRATE, f"cannot be read: {error}") from error
    return Results(folder, manifest, graph)


def _said_once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary; of what is said twice, another reader of the crate might take the other."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key} is there twice")
        found[key] = value
    return found


def read_table(folder: Path, path: str) -> pd.DataFrame:
    """A table of the workflow, every cell as text; `Unreadable` if it is none."""
    try:
        return pd.read_csv(folder / path, sep="\t", dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # those of pandas are ValueErrors
        raise Unreadable(path, f"cannot be read: {error}") from error


def types(entity: dict[str, Any]) -> list[str]:
    """The types of an entity."""
    return _listed(entity.get("@type"))


def ids(references: Any) -> list[str]:
    """Ids that a property refers to."""
    return [one["@id"] for one in _listed(references) if isinstance(one, dict) and "@id" in one]


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def digests(paths: Iterable[Path], threads: int) -> Iterator[tuple[Path, str | None]]:
    """SHA-256 of files, hashed side by side; None of those that cannot be read.

    Of a folder, that of lines as `sha256sum` writes them, one a file in it, sorted by name.
    """
    paths = list(paths)
    with ThreadPoolExecutor(threads) as pool:
        yield from zip(paths, pool.map(_digest, paths), strict=True)


def _digest(path: Path) -> str | None:
    try:
        if path.is_dir():
            files = (file for file in path.rglob("*") if file.is_file())
            named = sorted((file.relative_to(path).as_posix(), file) for file in files)
            lines = (f"{_digest(file)}  {name}\n" for name, file in named)
            return hashlib.sha256("".join(lines).encode()).hexdigest()
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
