"""Digests of content: of raw files, of code, of settings.

Content decides what runs again, time does not. Raw files are hashed once and the hash is kept,
keyed by what the file system says of the file; code is hashed as a syntax tree, so that a comment
or another layout of a line changes nothing; settings are hashed as canonical JSON.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from stat import S_ISDIR
from typing import Any
from uuid import uuid4

from tessera.files import write_text
from tessera.folders import folder_digest, folder_state
from tessera.problems import Problem, raise_if

LIBRARY = Path(__file__).parent
SCRIPTS = LIBRARY.parents[1] / "scripts"
CACHE_HEADER = "size\tmtime_ns\tinode\tsha256\tpath"


def digest(*parts: Any) -> str:
    """SHA-256, in hex, of anything that JSON can hold; keys in any order.

    Examples
    --------
    >>> digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    True
    """
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def canonical(value: Any) -> str:
    """The one way to say something in JSON.

    Examples
    --------
    >>> canonical({"b": (1, 2), "a": None})
    '{"a":null,"b":[1,2]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def file_digest(path: str | Path) -> str:
    """SHA-256, in hex, of the bytes of a file; of a Zarr store, see `folders`."""
    if os.path.isdir(path):  # noqa: PTH112 - as in `_state`
        return folder_digest(path)
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digests(paths: Iterable[str | Path], threads: int | None = None) -> dict[Any, str]:
    """SHA-256 of files by their path, hashed side by side."""
    paths = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(threads) as pool:
        return dict(zip(paths, pool.map(file_digest, paths), strict=True))


class DigestCache:
    """SHA-256 of raw files, read from disk only when path, size, time or inode are new.

    Parameters
    ----------
    path : path
        Table of what is known. A damaged line, or a damaged table, is as good as none. Processes
        that write at the same time overwrite each other whole, never in part; what is lost is
        hashed again.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._known = self._load()
        self.unreadable: dict[str, str] = {}
        """Why, of each new file that the system would not read."""

    def of(self, paths: list[str]) -> dict[str, str]:
        """Digests of files that exist, by path; new ones are hashed side by side.

        Without those that are `unreadable`.
        """
        states = {path: _state(path) for path in dict.fromkeys(paths)}
        new = [path for path, state in states.items() if self._known.get(path, ())[:3] != state]
        if new:
            with ThreadPoolExecutor() as pool:
                for path, sha256 in zip(new, pool.map(self._hashed, new), strict=True):
                    self._known[path] = (*states[path], sha256)
            for path in self.unreadable:
                del self._known[path]
            self._save()
        return {path: self._known[path][3] for path in states if path not in self.unreadable}

    def _hashed(self, path: str) -> str:
        try:
            return file_digest(path)
        except OSError as error:
            self.unreadable[path] = f"cannot be read: {error.strerror or error}"
            return ""

    def is_current(self, path: str) -> bool:
        """Whether a file is still the one that `of` gave the digest of."""
        return self._known[path][:3] == _state(path)

    def _load(self) -> dict[str, tuple[str, str, str, str]]:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return {}
        rows = (line.split("\t", 4) for line in lines[1:])
        return {row[4]: tuple(row[:4]) for row in rows if len(row) == 5 and len(row[3]) == 64}

    def _save(self) -> None:
        lines = ("\t".join((*entry, path)) for path, entry in sorted(self._known.items()))
        # Under a name of its own: processes that save at the same time must not share a file.
        whole = self.path.with_name(f"{self.path.stem}-{uuid4().hex}{self.path.suffix}")
        write_text(whole, "\n".join((CACHE_HEADER, *lines)) + "\n")
        whole.replace(self.path)


def changed_files(rows: Sequence[dict[str, Any]], sha256: Sequence[str]) -> list[Problem]:
    """Rows whose file is no longer the one that was hashed when the run was planned.

    Raises
    ------
    BadInput
        With every row whose file is gone.
    """
    there = {path: os.path.exists(path) for path in {row["path"] for row in rows}}  # noqa: PTH110
    gone = [row for row in rows if not there[row["path"]]]
    what = "was there when the run was planned, and is missing now"
    raise_if(Problem(row["micrograph"], row["path"], what) for row in gone)
    now = {path: file_digest(path) for path in there}
    changed = [row for row, old in zip(rows, sha256, strict=True) if now[row["path"]] != old]
    what = "has changed since the run was planned, or was overwritten with its old time; "
    what += "touch it and run again"
    return [Problem(row["micrograph"], row["path"], what) for row in changed]


def _state(path: str) -> tuple[str, str, str]:
    stat = os.stat(path)  # noqa: PTH116 - a Path for each of 100,000 files costs more than the call
    if S_ISDIR(stat.st_mode):
        return folder_state(path)
    return str(stat.st_size), str(stat.st_mtime_ns), str(stat.st_ino)


@cache
def code_version(script: str) -> str:
    """Digest of a script's syntax tree and of every module of this library that it reaches.

    Parameters
    ----------
    script : str
        File name in `workflow/scripts`.

    Notes
    -----
    Blind to comments, docstrings and layout. Follows `import tessera.x` and `from tessera...
    import` through all modules and packages, wherever they stand in the file.
    """
    return _version(SCRIPTS / script)


@cache
def modules_version(*names: str) -> str:
    """The same digest of modules of this library."""
    return _version(*(LIBRARY / f"{name}.py" for name in names))


def _version(*paths: Path) -> str:
    sources: dict[str, str] = {}
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        name = f"{path.parent.name}/{path.stem}"  # a script and a module may share a stem
        if name in sources:
            continue
        sources[name], modules = _parsed(path)
        waiting += [LIBRARY / f"{module}.py" for module in modules]
    return digest(sources)[:16]


@cache
def _parsed(path: Path) -> tuple[str, list[str]]:
    """The syntax tree of a source, and the modules of this library that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return ast.dump(_without_docstrings(tree)), imported_modules(tree)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)]
    return tree


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def imported_modules(tree: ast.Module) -> list[str]:
    """Modules of this library that a source imports, as paths in it without their suffix.

    Not those that only name types: nothing of them is run.
    """
    names: list[str] = []
    for node in _run(tree):
        if isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    ours = (name.split(".")[1:] for name in names if name.startswith("tessera."))
    return sorted({module for parts in ours for module in _modules(parts)})


def _run(tree: ast.AST) -> Iterator[ast.AST]:
    """All of a source but what stands under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _run(node)


def _modules(parts: list[str]) -> Iterator[str]:
    """The modules that are run where a dotted name is imported, its packages first."""
    path = ""
    for part in parts:
        if (LIBRARY / path / part).is_dir():
            path = f"{path}{part}/"
            yield f"{path}__init__"
        elif not path or (LIBRARY / f"{path}{part}.py").is_file():
            yield f"{path}{part}"
            return
        else:  # a name within the package
            return
