"""The quarantine: rows that are left out of a study because a file of theirs is refused.

They keep their places: shards are cut, and folds are dealt, as if they were there. So a row that
is mended changes its own shard, and moves no group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd

from tessera.problems import Problem

COLUMNS = ["micrograph", "group", "use", "fold", "column", "file", "file_sha256", "reason"]
MOST_SAID = 20

Cell = tuple[str, str]
"""Micrograph, and the column that names one of its files: image or mask."""


@dataclass(frozen=True)
class Quarantine:
    """The rows that are left out.

    Parameters
    ----------
    rows : DataFrame
        As `sheets.expand` gives them.
    reasons : mapping of (micrograph, column) to str
        Why, of each file that is refused; every row has one or two.
    """

    rows: pd.DataFrame = field(default_factory=pd.DataFrame)
    reasons: Mapping[Cell, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """The micrographs."""
        return {micrograph for micrograph, _ in self.reasons}

    @classmethod
    def from_rows(cls, rows: pd.DataFrame, reasons: Mapping[Cell, str]) -> Quarantine:
        """Those of some rows of which a file is refused."""
        if not reasons:
            return cls()
        bad = rows["micrograph"].isin({micrograph for micrograph, _ in reasons})
        known = set(rows.loc[bad, "micrograph"])
        here = {cell: why for cell, why in reasons.items() if cell[0] in known}
        return cls(rows[bad].reset_index(drop=True), here)

    def before(self, cohort: int) -> Quarantine:
        """Those of the cohorts before one."""
        if not self.reasons:
            return self
        return self.from_rows(self.rows[self.rows["cohort"] < cohort], self.reasons)

    def with_others(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows and those in quarantine, sorted by micrograph as they are in the sheet."""
        if not self.reasons:
            return rows
        return pd.concat([rows, self.rows]).sort_values("micrograph", ignore_index=True)

    def left(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows without those in quarantine."""
        if not self.reasons:
            return rows
        return rows[~rows["micrograph"].isin(self.names)].reset_index(drop=True)

    @property
    def problems(self) -> Iterator[Problem]:
        """What is wrong with each file."""
        rows = {row["micrograph"]: row for row in self.rows.to_dict("records")}
        for (micrograph, column), why in self.reasons.items():
            yield Problem(micrograph, rows[micrograph][column], why)


def said(quarantine: Quarantine) -> str:
    """What is left out and why, for whoever starts a run; the first of many."""
    lines = [f"  {problem}" for problem in sorted(quarantine.problems)]
    more = [f"  and {len(lines) - MOST_SAID} more"] if len(lines) > MOST_SAID else []
    rows = f"{len(quarantine.names)} {'row' if len(quarantine.names) == 1 else 'rows'}"
    head = f"{rows} left out of the study, in quarantine until mended:"
    return "\n".join([head, *lines[:MOST_SAID], *more])
