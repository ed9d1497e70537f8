"""What lies in the folder of results, read and hashed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tessera.digests import file_digests
from tessera.manifests import Contents
from tessera.problems import Problem, raise_if
from tessera.products import Job


def files_below(folder: Path) -> list[Path]:
    """Files in a folder and below, sorted; hidden ones, which are Snakemake's, left out."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")
    )


def hashed(results: Path, files: Iterable[Path], threads: int) -> dict[str, tuple[str, int]]:
    """SHA-256 and size of files, by their path below the folder of results, side by side."""
    return {
        path.relative_to(results).as_posix(): (sha256, path.stat().st_size)
        for path, sha256 in file_digests(files, threads).items()
    }


def contents(results: Path, jobs: Sequence[Job], threads: int) -> Contents:
    """Digest and size of every product of the jobs.

    Raises
    ------
    BadInput
        With every product that is missing.
    """
    written = [(job, path) for job in jobs for path in job.writes]
    below = {path: files_below(results / path) for _, path in written if path.endswith("/")}
    files = [results / path for _, path in written if not path.endswith("/")]
    what = "is missing; run again, and it is made"
    raise_if(
        Problem(job.id, str(results / path), what)
        for job, path in written
        if not (below[path] if path.endswith("/") else (results / path).is_file())
    )
    products = hashed(results, [*files, *(path for of in below.values() for path in of)], threads)
    names = {path: [f.relative_to(results).as_posix() for f in of] for path, of in below.items()}
    return Contents(products, names)
