"""The files that a study refuses: as the table of its quarantine has them, and as its record."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from tessera.channels import key_of
from tessera.quarantines import COLUMNS, Cell

if TYPE_CHECKING:
    from tessera.studies import Study


def listed(study: Study) -> list[dict[str, Any]]:
    """One record a file that is refused, sorted: `COLUMNS`, with path, as jobs need it.

    use and fold are what the group is for and where it is held out; empty where the row has no
    annotation that would be used for anything, or none that is held out.
    """
    folds = study.folds["fold"].to_dict() if len(study.folds) else {}
    rows = {row["micrograph"]: row for row in study.quarantine.rows.to_dict("records")}
    found = []
    for (micrograph, column), why in sorted(study.quarantine.reasons.items()):
        row = rows[micrograph]
        is_held_out = row["annotated"] and row["use"] == "cv"
        known = {
            "use": row["use"] if row["annotated"] else "",
            "fold": str(folds[row["group"]]) if is_held_out else "",
            "column": column,
            "file": PurePath(row[column]).name,
            "file_sha256": study.sha256.get(row[column], ""),
            "reason": why,
            "path": row[column],
        }
        found.append({"micrograph": micrograph, "group": row["group"], **known})
    return found


def raw_cells(study: Study) -> list[Cell]:
    """The files that are refused, and are there."""
    return [(of["micrograph"], of["column"]) for of in listed(study) if of["file_sha256"]]


def content(study: Study) -> dict[str, list[str]]:
    """What the table of the quarantine holds, for its lineage."""
    return {
        f"{of['micrograph']}/{of['column']}": [of[name] for name in COLUMNS[1:]]
        for of in listed(study)
    }


def records(study: Study) -> dict[str, list[str]]:
    """What is kept on record of the raw files of all rows in quarantine."""
    said = ("frame", "group", "use", "cohort")
    return {
        f"{row['micrograph']}/{column}": [
            study.sha256.get(row[column], ""),
            row[key_of(column)],
            *(str(row[name]) for name in said),
        ]
        for row in study.quarantine.rows.to_dict("records")
        for column in (*study.image_columns, "mask")
        if row[column]
    }
