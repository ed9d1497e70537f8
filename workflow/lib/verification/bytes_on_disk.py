"""Files against digests: those in the manifest, those in the crate, and those of these two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from verification.records import (
    CRATE,
    MANIFEST,
    SUMS,
    Fault,
    Results,
    digests,
    types,
)

UNLISTED = {MANIFEST, CRATE, SUMS, "README.md"}
UNLISTED_FOLDERS = ("logs", "checkpoints")


def sums_hold(folder: Path) -> Iterator[Fault]:
    """Manifest and crate are those that SHA256SUMS was written for."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        said = {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines)}
    except (OSError, UnicodeDecodeError) as error:
        yield SUMS, f"cannot be read: {error}"
        return
    if set(said) != {MANIFEST, CRATE}:
        yield SUMS, f"is about {', '.join(sorted(said))}, not about {MANIFEST} and {CRATE}"
    for path, sha256 in digests([folder / MANIFEST, folder / CRATE], 1):
        if sha256 is None:
            yield path.name, "is missing"
        elif said.get(path.name, sha256) != sha256:
            yield path.name, f"is not what {SUMS} was written for, or that has changed"


def files_hold(results: Results, threads: int) -> Iterator[Fault]:
    """Every product is there, with the bytes that the manifest says, listed once."""
    size_of = dict(zip(results.manifest["path"], results.manifest["bytes"], strict=True))
    paths = {results.folder / path: path for path in results.manifest["path"]}
    for found, sha256 in digests(paths, threads):
        path = paths[found]
        if sha256 is None:
            yield path, "is missing"
        elif sha256 != results.sha256[path]:
            yield path, _differs(results.sha256[path], sha256)
        elif str(found.stat().st_size) != size_of[path]:
            yield path, f"has {found.stat().st_size} bytes, {size_of[path]} in the manifest"
    doubled = results.manifest["path"][results.manifest["path"].duplicated()]
    yield from ((path, "is listed twice in the manifest") for path in doubled)


def entities_hold(results: Results, threads: int) -> Iterator[Fault]:
    """The files of the crate are those of the manifest, and those beside it are as described."""
    described = {
        unquote(id): entity
        for id, entity in results.graph.items()
        if "File" in types(entity) and "://" not in id
    }
    inside = {path for files in results.folders.values() for path in files}
    rows = results.manifest.set_index("path")
    for path in sorted(set(rows.index) - set(described) - inside):
        yield path, "is in the manifest, and not in the crate"
    beside = []
    for path, entity in described.items():
        if path not in rows.index:
            beside.append(path)
            continue
        said = entity.get("sha256"), entity.get("contentSize")
        if said != tuple(rows.loc[path, ["sha256", "bytes"]]):
            yield path, "is another file in the crate than in the manifest"
    for found, sha256 in digests([results.folder / path for path in beside], threads):
        path = found.relative_to(results.folder).as_posix()
        if sha256 is None:
            yield path, "is in the crate, and missing"
        elif sha256 != described[path].get("sha256"):
            yield path, _differs(str(described[path].get("sha256")), sha256)


def no_strangers(results: Results, said: list[str]) -> Iterator[Fault]:
    """No product holds a file that the manifest does not list; others are left over, and said."""
    listed = set(results.manifest["path"]) | UNLISTED
    listed |= {unquote(id) for id in results.graph}
    for found in sorted(results.folder.rglob("*")):
        path = found.relative_to(results.folder)
        hidden = any(part.startswith(".") for part in path.parts)
        is_listed = path.as_posix() in listed or path.parts[0] in UNLISTED_FOLDERS
        if hidden or is_listed or not found.is_file():
            continue
        if f"{path.parent.as_posix()}/" in results.folders or path.parts[0] == "study":
            yield path.as_posix(), "is in no manifest"
        else:
            said.append(f"left over, of no study: {path.as_posix()}")


def _differs(said: str, found: str) -> str:
    return f"has changed: SHA-256 {found[:12]}..., recorded {said[:12]}..."
