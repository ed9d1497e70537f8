"""Raw files against the digests they had when the study was run, where they can be found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from verification.records import SHEET, Fault, Results, digests


def raw_folder(results: Results, given: str | None) -> Path | None:
    """Where the raw files are: as given, else where the sheet was; None if nothing is there."""
    if given is not None:
        return Path(given)
    sheet = results.graph.get(SHEET, {}).get("alternateName", "")
    folder = results.folder.parent / PurePosixPath(sheet).parent
    paths = (folder / path for path in results.raw["path"])
    return folder if any(path.exists() for path in paths) else None


def raw_files_hold(results: Results, folder: Path, threads: int) -> Iterator[Fault]:
    """Every raw file is the one that the study was made from."""
    paths = {path: folder / path for path in results.raw["path"]}
    found = dict(digests(set(paths.values()), threads))
    for name, row in results.raw.iterrows():
        sha256 = found[paths[row["path"]]]
        if sha256 is None:
            yield name, f"{row['path']} is missing"
        elif sha256 != row["sha256"]:
            yield name, f"{row['path']} has changed since the study was run"
