"""Entities of a crate: how they are named, and how they are added."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from rocrate.model.contextentity import ContextEntity
from rocrate.model.dataset import Dataset
from rocrate.model.file import File
from rocrate.rocrate import ROCrate

TERMS = "https://w3id.org/ro/terms/workflow-run/context"


def moment(seconds: float) -> str:
    """Seconds since 1970 as a crate says them.

    Examples
    --------
    >>> moment(0)
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def references(ids: Iterable[str]) -> list[dict[str, str]]:
    """How an entity refers to others."""
    return [{"@id": id} for id in ids]


def id_of(kind: str, name: str) -> str:
    """The id of something that is no file.

    Examples
    --------
    >>> id_of("group", "specimen 1")
    '#group/specimen%201'
    """
    return f"#{kind}/{quote(name)}"


class Entities:
    """The entities of one crate.

    Attributes
    ----------
    crate : ROCrate
    """

    def __init__(self) -> None:
        self.crate = ROCrate(version="1.1")
        self.crate.metadata.extra_contexts.append(TERMS)
        self._machines: dict[str, str] = {}

    def add(self, id: str, type: str, **properties: Any) -> str:
        """Add an entity that is no file, without what is empty; give its id."""
        known = {"@type": type, **_said(properties)}
        self.crate.add(ContextEntity(self.crate, id, known))
        return id

    def value(self, id: str, name: str, value: str) -> str:
        """Add a value with a name; give its id."""
        return self.add(id, "PropertyValue", name=name, value=value)

    def file(self, path: str, hashed: tuple[str, int], **properties: Any) -> None:
        """Add a file below the crate's folder, with SHA-256 and size."""
        known = _said({"sha256": hashed[0], "contentSize": str(hashed[1]), **properties})
        self.crate.add(File(self.crate, dest_path=path, properties=known))

    def source(self, path: str, hashed: tuple[str, int], types: list[str], **more: Any) -> None:
        """Add a file below the crate's folder that is run."""
        self.file(path, hashed, **more, **{"@type": ["File", "SoftwareSourceCode", *types]})

    def elsewhere(self, uri: str, hashed: tuple[str, int], **properties: Any) -> None:
        """Add a file that is not in the crate."""
        known = _said({"sha256": hashed[0], "contentSize": str(hashed[1]), **properties})
        self.crate.add(File(self.crate, uri, properties=known))

    def folder(self, path: str, **properties: Any) -> None:
        """Add a folder below the crate's folder."""
        self.crate.add(Dataset(self.crate, dest_path=path, properties=_said(properties)))

    def machine(self, known: Mapping[str, Any]) -> str:
        """Add a machine, once; give its id."""
        text = json.dumps(known, sort_keys=True)
        if text not in self._machines:
            id = f"#machine/{len(self._machines)}"
            described = [
                self.value(f"{id}/{name}", name, _plain(value))
                for name, value in known.items()
                if name != "host"
            ]
            named = {"name": known.get("host"), "additionalProperty": references(described)}
            self._machines[text] = self.add(id, "Place", **named)
        return self._machines[text]


def _said(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if value not in (None, [], "")}


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
