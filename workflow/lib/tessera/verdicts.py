"""Verdicts: which raw files a study would refuse, found out before any job runs, and kept.

A file is read by the very functions that `ingest` and `annotate` read it with. What came out is
kept by the digest of its bytes and all else that decides it, so that a run reads only what is new.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any
from uuid import uuid4

import pandas as pd

from tessera.classes import DECLARED, ClassTable
from tessera.digests import digest, modules_version
from tessera.files import write_text
from tessera.frames import is_json
from tessera.problems import BadInput, Problem
from tessera.quarantines import Cell
from tessera.readers.recordings import one_line
from tessera.steps import IMAGE_CELLS, stated
from tessera.tiles import misfit

Shape = tuple[int, int]
Key = tuple[str, ...]
FROM_ROWS = ("micrograph", "image", "image_key", "mask", "mask_key", "frame")
SAVED_EVERY = 500
"""Files read between two times that what was found is written down."""


@dataclass(frozen=True)
class Verdict:
    """What reading a file came to: the shape of what it holds in px, or why it is refused."""

    shape: Shape | None
    reason: str = ""


class VerdictCache:
    """Verdicts on raw files, kept from run to run.

    Parameters
    ----------
    path : path
        A line of JSON each. A damaged line, or a damaged table, is as good as none; so is one of
        other settings or other code. Processes that write at the same time overwrite each other
        whole, never in part; what is lost is looked at again.
    config : mapping
        The whole config.
    """

    def __init__(self, path: str | Path, config: Mapping[str, Any]) -> None:
        self.path = Path(path)
        readers = {"image": ("ingest", "micrographs"), "mask": ("annotate", "annotations")}
        self._by = {
            column: digest(stated(config, step), modules_version(module))[:16]
            for column, (step, module) in readers.items()
        }
        self._known = dict(self._lines())
        self._new = 0

    def of(self, column: str, key: Key, look: Callable[[], Verdict]) -> Verdict:
        """The verdict on a file, looked for where it is not known.

        Parameters
        ----------
        column : str
            image or mask.
        key : tuple of str
            All that decides the verdict beside settings and code.
        look : callable
        """
        whole = (self._by[column], *key)
        if whole not in self._known:
            self._known[whole] = look()
            self._new += 1
            if self._new % SAVED_EVERY == 0:
                self.save()
        return self._known[whole]

    def save(self) -> None:
        """Write down what was found, if anything was."""
        if not self._new:
            return
        lines = (json.dumps([key, of.shape, of.reason]) for key, of in self._known.items())
        whole = self.path.with_name(f"{self.path.stem}-{uuid4().hex}{self.path.suffix}")
        write_text(whole, "".join(f"{line}\n" for line in lines))
        whole.replace(self.path)

    def _lines(self) -> Iterator[tuple[Key, Verdict]]:
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return
        for line in lines:
            try:
                (by, *key), shape, reason = json.loads(line)
                verdict = Verdict(None if reason else _shape(shape), str(reason))
            except (ValueError, TypeError):
                continue
            if by in self._by.values():
                yield (by, *map(str, key)), verdict


def _shape(said: Any) -> Shape:
    rows, columns = map(int, said)
    return rows, columns


class Reader:
    """Reads the files of rows as the steps of the workflow do, and gives verdicts.

    Parameters
    ----------
    config : mapping
        The whole.
    is_unchanged : callable
        Whether a file is still the one that was hashed, by its path.
    """

    def __init__(self, config: Mapping[str, Any], is_unchanged: Callable[[str], bool]) -> None:
        # Here and not above: no job needs what it takes to read files, nor does a run that finds
        # all verdicts known.
        from tessera import annotations, micrographs

        self._read_image, self._read_mask = micrographs.read_image, annotations.read_mask
        self._image, self._json = annotations.Image, cache(annotations.read_json)
        self._table = ClassTable.from_config(**{key: config[key] for key in DECLARED})
        self._is_unchanged = is_unchanged

    def image(self, row: Mapping[str, Any]) -> Verdict:
        """The verdict on a micrograph."""
        return self._verdict(row, lambda: self._read_image(row).pixels.shape)

    def mask(self, row: Mapping[str, Any], drawn_on: tuple[str, Shape] | None) -> Verdict:
        """The verdict on an annotation; for regions, with file name and shape of the micrograph."""
        image = None if drawn_on is None else self._image(*drawn_on)
        return self._verdict(
            row, lambda: self._read_mask(row, self._table, image, self._json).codes.shape
        )

    def _verdict(self, row: Mapping[str, Any], shape: Callable[[], Shape]) -> Verdict:
        path = row["path"]
        try:
            verdict = Verdict(_shape(shape()))
        except ValueError as error:  # UnreadableFile is one too
            if isinstance(error.__cause__, ModuleNotFoundError | MemoryError):
                # Not for the file: it would be refused here, and taken elsewhere.
                raise BadInput([Problem(row["micrograph"], path, str(error))]) from error
            verdict = Verdict(None, _reason(str(error), path))
        if not self._is_unchanged(path):
            what = "has changed while it was looked at; run again"
            raise BadInput([Problem(row["micrograph"], path, what)])
        return verdict


def _reason(said: str, path: str) -> str:
    """What a reader says of a file, in one line that is the same wherever the file lies."""
    for whole in (str(Path(path).absolute()), path):
        said = said.replace(whole, PurePath(path).name)
    return one_line(said) or "cannot be read"


def refused(
    rows: pd.DataFrame,
    sha256: Mapping[str, str],
    config: Mapping[str, Any],
    known: VerdictCache,
    is_unchanged: Callable[[str], bool],
) -> dict[Cell, str]:
    """Why `ingest`, `annotate` or `tile` would refuse a file, of all that are there.

    Parameters
    ----------
    rows : DataFrame
        As `sheets.expand` gives them.
    sha256 : mapping
        Digests of the files that are there, by path.
    config : mapping
        The whole.
    known : VerdictCache
    is_unchanged : callable
        Whether a file is still the one that was hashed, by its path.

    Raises
    ------
    BadInput
        If it is not for the file that it cannot be read - a package or memory is lacking - or a
        file changes meanwhile.
    """
    # Not a dict a row: 100,000 of them cost seconds.
    cells = {name: rows[name].tolist() for name in (*FROM_ROWS, *IMAGE_CELLS)}
    reader = cache(lambda: Reader(config, is_unchanged))
    found: dict[Cell, str] = {}
    try:
        for at, micrograph in enumerate(cells["micrograph"]):
            image, mask = _verdicts(at, cells, sha256, known, reader)
            if image.reason:
                found[micrograph, "image"] = image.reason
            if mask.reason:
                found[micrograph, "mask"] = mask.reason
    finally:
        known.save()
    return found


def _verdicts(
    at: int,
    cells: Mapping[str, list[Any]],
    sha256: Mapping[str, str],
    known: VerdictCache,
    reader: Callable[[], Reader],
) -> tuple[Verdict, Verdict]:
    """Those on the micrograph and on the mask of a row; without a shape or reason if not read."""

    def row(column: str, *more: str) -> dict[str, Any]:
        of = {"path": column, "key": f"{column}_key"}
        of |= {name: name for name in ("micrograph", "frame", *more)}
        return {name: cells[cell][at] for name, cell in of.items()}

    def key(column: str, *more: Any) -> Key:
        said = (sha256[cells[column][at]], cells[f"{column}_key"][at], cells["frame"][at], *more)
        return tuple(map(str, said))

    image = mask = Verdict(None)
    if cells["image"][at] in sha256:
        own = [cells[name][at] for name in IMAGE_CELLS]
        image = known.of(
            "image", key("image", *own), lambda: reader().image(row("image", *IMAGE_CELLS))
        )
    path = cells["mask"][at]
    if path not in sha256:
        return image, mask
    drawn_on = None
    if is_json(path):
        if image.shape is None:
            return image, mask  # nobody knows what it is drawn on
        drawn_on = (PurePath(cells["image"][at]).name, image.shape)
    said = ("",) if drawn_on is None else (drawn_on[0], *drawn_on[1])
    mask = known.of("mask", key("mask", *said), lambda: reader().mask(row("mask"), drawn_on))
    if mask.shape is not None and image.shape is not None:
        mask = Verdict(mask.shape, misfit(mask.shape, image.shape))
    return image, mask
