"""Where a study comes from: its code, commit and packages, and the records kept of its inputs.

What is kept lies in `results/study`, so that the folder of results tells by itself what was run on
what: the whole config, the sheet, a table of the raw files with their digests, the lock file, and
the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tessera.channels import key_of
from tessera.digests import SCRIPTS
from tessera.files import write_table, write_text
from tessera.folders import folder_size
from tessera.studies import Study

ROOT = SCRIPTS.parents[1]
CODE = ("Snakefile", "workflow")
LOCK = "envs/requirements.lock"
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*")
RAW_COLUMNS = [
    "micrograph",
    "column",
    "group",
    "use",
    "cohort",
    "key",
    "frame",
    "bytes",
    "sha256",
    "path",
]


def write_records(study: Study, folder: Path) -> None:
    """Write what was run on what into `folder`: config, sheet, raw files, lock file, code."""
    shutil.rmtree(folder, ignore_errors=True)
    config = {**study.config, "sheet": recorded_sheet(study.sheet)}
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    shutil.copyfile(study.sheet, folder / "micrographs.tsv")
    write_table(folder / "raw.tsv", raw_table(study))
    shutil.copyfile(ROOT / LOCK, folder / Path(LOCK).name)
    for name in CODE:
        origin, target = ROOT / name, folder / "code" / name
        if origin.is_dir():
            shutil.copytree(origin, target, ignore=LEFT_OUT, copy_function=shutil.copyfile)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, target)


def recorded_sheet(path: str) -> str:
    """The path of a sheet as it is recorded: of an absolute one the name alone.

    Whose home it lies in is nobody's business.
    """
    return Path(path).name if Path(path).is_absolute() else path


def raw_table(study: Study) -> pd.DataFrame:
    """One row a raw file of each micrograph: what it is, its digest, its path from the sheet."""
    tables = []
    for column in (*study.image_columns, "mask"):
        # Files in quarantine too, as far as they are there: why they are is on record with them.
        rows = study.sheet_rows[study.sheet_rows[column].isin(study.sha256.keys())]
        paths = rows[column].tolist()
        sizes = {path: _size(path) for path in set(paths)}
        tables.append(
            rows[["micrograph", "group", "use", "cohort", "frame"]].assign(
                column=column,
                key=rows[key_of(column)],
                bytes=[sizes[path] for path in paths],
                sha256=[study.sha256[path] for path in paths],
                path=[_from_sheet(path, study.sheet) for path in paths],
            )
        )
    table = pd.concat(tables).sort_values(["micrograph", "column"], ignore_index=True)
    return table[RAW_COLUMNS]


def _size(path: str) -> int:
    return folder_size(path) if os.path.isdir(path) else os.stat(path).st_size  # noqa: PTH112, PTH116


def _from_sheet(path: str, sheet: str) -> str:
    if Path(path).is_absolute() and not Path(sheet).is_absolute():
        return path  # as the sheet itself says
    return os.path.relpath(path, Path(sheet).parent)


def commit(root: Path = ROOT) -> dict[str, Any]:
    """Commit of the code, and which of its files differ from that; empty where it is unknown."""
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top.strip()).resolve() != root.resolve():  # of some folder around it
        return {}
    changed = _git(root, "status", "--porcelain", "--", *CODE, "envs") or ""
    return {
        "commit": (_git(root, "rev-parse", "HEAD") or "").strip(),
        "changed": [line[3:] for line in changed.splitlines()],
    }


def _git(root: Path, *arguments: str) -> str | None:
    try:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None


def packages() -> dict[str, str]:
    """Version of every package that is installed where this runs."""
    known = {found.metadata["Name"]: found.version for found in distributions()}
    return dict(sorted(known.items(), key=lambda pair: pair[0].lower()))
