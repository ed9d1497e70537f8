"""The study of a run, kept for its jobs, and its rows and folds for the next run.

Every job on a cluster parses the Snakefile again, and so would read the sheet, check each row, look
at every raw file and place every group. The process that plans the run has done so; it leaves the
study in the folder, and a job that was given the same config and finds the same sheet takes it up.
What a job reads is held against its digest by the job itself.

The next run looks at the raw files again, but where config, sheet and code are the same it has the
rows and the folds from here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from tessera.cohorts import Kept
from tessera.digests import code_version, digest, file_digest, modules_version
from tessera.files import write_text, written_atomically
from tessera.plans import Plan
from tessera.quarantines import Quarantine
from tessera.schemas import MICROGRAPHS
from tessera.studies import Study

ROWS, REST = "rows.parquet", "study.json"
DIGEST_OF = "sha256 of "
"""Before the name of a column of paths: the column of their digests."""


def keep(study: Study, folder: str | Path) -> None:
    """Leave a study in a folder, in place of the one that was there."""
    folder = Path(folder)
    rows = study.sheet_rows
    columns = (*study.image_columns, "mask")
    digests = {f"{DIGEST_OF}{column}": rows[column].map(study.sha256) for column in columns}
    rows = rows.assign(**digests)
    rest = {
        "key": _key(study.config),
        "read_by": _read_by(),
        "folds": study.folds.reset_index().to_dict("list"),
        "quarantined": [[*cell, why] for cell, why in study.quarantine.reasons.items()],
        "kept": [_plain(of) for of in study.kept.values()],
        "lineages": [[list(of), study.lineage(*of)] for of in study.products],
    }
    # The key goes last: until it is there, what is there is not taken for a study.
    (folder / REST).unlink(missing_ok=True)
    with written_atomically(folder / ROWS) as temporary:
        rows.to_parquet(temporary, index=False)
    write_text(folder / REST, json.dumps(rest))


def recall(config: dict[str, Any], plan: Plan | None, folder: str | Path) -> Study | None:
    """The study that was left in a folder; None if there is none of this config and sheet."""
    found = _load(config, Path(folder))
    if found is None:
        return None
    rows, rest = found
    sha256 = {}
    for name in _digests_in(rows):
        paths = rows[name.removeprefix(DIGEST_OF)].tolist()
        pairs = zip(paths, rows.pop(name).tolist(), strict=True)
        sha256 |= {path: known for path, known in pairs if isinstance(known, str)}
    quarantine = Quarantine.from_rows(rows, _reasons(rest))
    return Study(
        quarantine.left(rows),
        config["sheet"],
        config,
        sha256,
        code_version,
        plan,
        placed=_folds(rest),
        kept={of["cohort"]: _kept(**of) for of in rest["kept"]},
        quarantine=quarantine,
        _lineages={tuple(of): lineage for of, lineage in rest["lineages"]},
    )


def recall_rows(
    config: dict[str, Any], folder: str | Path
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """The rows and the folds of the study that was left in a folder, for a run of its own.

    None if there is none of this config, sheet and code, or if labels are held in other files.
    """
    found = _load(config, Path(folder))
    if found is None or found[1].get("read_by") != _read_by():
        return None
    rows = found[0].drop(columns=_digests_in(found[0]))
    return None if (rows["label_key"] != "").any() else (rows, _folds(found[1]))


def _load(config: dict[str, Any], folder: Path) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    try:
        rest = json.loads((folder / REST).read_text(encoding="utf-8"))
        if rest["key"] != _key(config):
            return None
        return pd.read_parquet(folder / ROWS), rest
    except (OSError, ValueError, KeyError):
        return None


def _digests_in(rows: pd.DataFrame) -> list[str]:
    return [column for column in rows if column.startswith(DIGEST_OF)]


def _reasons(rest: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(micrograph, column): why for micrograph, column, why in rest["quarantined"]}


def _folds(rest: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rest["folds"]).set_index("group")


def _read_by() -> str:
    """Digest of the code that reads sheets and places groups."""
    return digest(modules_version("sheets", "folds"), file_digest(MICROGRAPHS))


def _plain(kept: Kept) -> dict[str, Any]:
    networks = [[*of, lineage] for of, lineage in kept.networks.items()]
    groups = {group: list(placed) for group, placed in kept.groups.items()}
    return {**vars(kept), "networks": networks, "groups": groups}


def _kept(networks: list[list[str]], groups: dict[str, list[str]], **of: Any) -> Kept:
    lineages = {(seed, fold): lineage for seed, fold, lineage in networks}
    return Kept(networks=lineages, groups={name: tuple(at) for name, at in groups.items()}, **of)


def _key(config: dict[str, Any]) -> str:
    return digest(config, file_digest(config["sheet"]))
