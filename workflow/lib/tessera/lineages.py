"""The book of lineages: what each lineage stands for, so that a change can be told in words.

A lineage is a digest. The book keeps, for every lineage that a run was started with, the settings,
the code and the ancestry that it was made of; the ancestry names further lineages. So two products
can be compared step by step, back to the mask, the setting or the module that makes them differ.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tessera.digests import digest
from tessera.steps import LIKE, script_of
from tessera.studies import Study

DIGEST_LENGTH = 64


@dataclass(frozen=True)
class Record:
    """What a lineage stands for.

    Parameters
    ----------
    settings : dict
        Of the step.
    code : str
        Digest of the step's code.
    ancestry : dict
        See `ancestries.ANCESTRY`.
    """

    settings: dict[str, Any]
    code: str
    ancestry: dict[str, Any]


def record_of(study: Study, step: str, *of: str) -> Record:
    """What today's lineage of a product stands for."""
    settings = study.settings(LIKE.get(step, step))
    return Record(settings, study.code(script_of(step)), study.ancestry(step, *of))


class LineageBook:
    """The records of all lineages so far.

    Parameters
    ----------
    path : path
        A line each: a digest, and as JSON what it stands for. A damaged line is as good as none.
        Lines are only added, by the one Snakemake that holds the folder's lock.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def keep(self, study: Study) -> None:
        """Write down what is not yet known of a study's lineages."""
        known = {key for key, _ in self._lines()}
        lines = []
        for product in study.products:
            lineage = study.lineage(*product)
            if lineage in known:
                continue
            fields = asdict(record_of(study, *product))
            fields["settings"] = _entered(fields["settings"], known, lines)
            lines.append(f"{lineage}\t{json.dumps(fields)}\n")
            known.add(lineage)
        if lines:
            self._append(lines)

    def read(self) -> Callable[[str], Record | None]:
        """Read the book: a function from a lineage to its record, None where it is not known."""
        lines = dict(self._lines())

        def look_up(lineage: str) -> Record | None:
            try:
                fields = json.loads(lines[lineage])
                return Record(**fields | {"settings": json.loads(lines[fields["settings"]])})
            except (KeyError, TypeError, ValueError):
                return None

        return look_up

    def _lines(self) -> Iterator[tuple[str, str]]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            key, _, value = line.partition("\t")
            if len(key) == DIGEST_LENGTH and value.endswith("}"):
                yield key, value

    def _append(self, lines: list[str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            # What was cut off by a crash stays a damaged line of its own.
            file.write("".join(["\n" if file.tell() else "", *lines]))


def _entered(settings: dict[str, Any], known: set[str], lines: list[str]) -> str:
    """The digest of settings, which many records share, after their own line."""
    key = digest(settings)
    if key not in known:
        lines.append(f"{key}\t{json.dumps(settings)}\n")
        known.add(key)
    return key
