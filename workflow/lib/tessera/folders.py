"""Folders that stand for one raw file: Zarr stores.

Such a folder has a size and a digest as a file has. Its digest is the SHA-256 of lines as
`sha256sum` writes them, one for each file in it, sorted by name; so a chunk that is missing, added
or moved counts as much as one that has changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

MARKS = ("zarr.json", ".zarray", ".zgroup")
"""A file of one of these names lies in the folder of every Zarr store."""


def is_store(path: str | Path) -> bool:
    """Whether a path is a folder that stands for one raw file."""
    return any(os.path.isfile(os.path.join(path, mark)) for mark in MARKS)  # noqa: PTH113, PTH118


def files_of(folder: str | Path) -> Iterator[tuple[str, Path]]:
    """Name within the folder, and path, of each file in it, sorted by name."""
    found = (path for path in Path(folder).rglob("*") if path.is_file())
    yield from sorted((path.relative_to(folder).as_posix(), path) for path in found)


def folder_size(folder: str | Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for _, path in files_of(folder))


def folder_digest(folder: str | Path) -> str:
    """SHA-256, in hex, of the digests of all files in a folder."""
    lines = []
    for name, path in files_of(folder):
        with path.open("rb") as file:
            lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def folder_state(folder: str | Path) -> tuple[str, str, str]:
    """What the file system says of all files in a folder: size, newest time, digest of the rest."""
    size, newest, seen = 0, 0, hashlib.sha256()
    for name, path in files_of(folder):
        stat = path.stat()
        size, newest = size + stat.st_size, max(newest, stat.st_mtime_ns)
        seen.update(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino} {name}\n".encode())
    return str(size), str(newest), seen.hexdigest()
