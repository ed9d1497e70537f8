"""Raw files against the digests they had when the study was run, where they can be found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from verification.records import READ_BY, SHEET, Fault, Results, digests, read_table

QUARANTINE = "quarantine.tsv"


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


def none_is_lost(results: Results) -> Iterator[Fault]:
    """Every row of the table of raw files is in the study or in quarantine, and not in both."""
    there = QUARANTINE in results.sha256
    left_out = read_table(results.folder, QUARANTINE).to_dict("records") if there else []
    quarantined = {row["micrograph"] for row in left_out}
    for column, (rule, folder) in READ_BY.items():
        taken: set[str] = set()
        for shard in results.shards_of(rule):
            taken |= set(read_table(results.folder, f"{folder}/{shard}.tsv")["micrograph"])
        listed = set(results.raw.loc[results.raw["column"] == column, "micrograph"])
        for name in sorted(listed - taken - quarantined):
            yield f"raw/{column}/{name}", "is neither in the study nor in quarantine"
        for name in sorted(taken & quarantined):
            yield QUARANTINE, f"{name} is in the study all the same, in {folder}/"
    for row in left_out:
        name = f"raw/{row['column']}/{row['micrograph']}"
        known = results.raw["sha256"].get(name, "")  # a file that is missing has none
        if row["file_sha256"] != known:
            yield QUARANTINE, f"{name} has another digest than in study/raw.tsv"
