"""Verdicts: which raw files a study would refuse, found out before any job runs, and kept.

A file is read by the very functions that `ingest` and `annotate` read it with. What came out is
kept by the digest of its bytes and all else that decides it, so that a run reads only what is new.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path, PurePath
from typing import Any
from uuid import uuid4

import pandas as pd

from tessera.channels import IMAGE, image_columns, key_of
from tessera.classes import DECLARED, ClassTable
from tessera.digests import digest, modules_version
from tessera.files import write_text
from tessera.frames import is_json
from tessera.problems import BadInput, Problem, raise_if
from tessera.quarantines import Cell
from tessera.readers.recordings import one_line
from tessera.steps import IMAGE_CELLS, stated
from tessera.tiles import misfit

Shape = tuple[int, int]
NOTHING = (0, 0, 0, 0)
FROM_ROWS = ("micrograph", "image", "image_key", "mask", "mask_key", "frame")
SAVED_AFTER = 500
"""Files looked at before what was found is written down; then a quarter as many as are known."""


@dataclass(frozen=True)
class Verdict:
    """What reading a file came to: what it holds, or why it is refused.

    Parameters
    ----------
    shape : (rows, columns), optional
        In px, of what is taken of it.
    crop : (top, bottom, left, right)
        In px, of what is cut off it.
    reason : str
    """

    shape: Shape | None = None
    crop: tuple[int, ...] = NOTHING
    reason: str = ""

    def __str__(self) -> str:
        return f"!{self.reason}" if self.shape is None else _spaced(*self.shape, *self.crop)

    @classmethod
    @cache
    def parse(cls, text: str) -> Verdict | None:
        """The verdict that a text stands for; None if it is damaged."""
        if text.startswith("!"):
            return cls(reason=text[1:]) if text[1:] else None
        if not TAKEN.fullmatch(text):
            return None
        rows, columns, *crop = map(int, text.split())
        return cls((rows, columns), tuple(crop))


TAKEN = re.compile(r"[1-9][0-9]* [1-9][0-9]*( [0-9]+){4}")


def _spaced(*numbers: int) -> str:
    return " ".join(map(str, numbers))


class VerdictCache:
    """Verdicts on raw files, kept from run to run.

    Parameters
    ----------
    path : path
        A line each: the verdict, and after it all that decides it. A damaged line, or a damaged
        table, is as good as none; so is one of other settings or other code. Processes that write
        at the same time overwrite each other whole, never in part; what is lost is looked at again.
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
        self.crops = bool(config["ingest"]["crop"])
        self._known = self._load()
        self._new = 0

    def of(self, column: str, key: str, look: Callable[[], Verdict]) -> Verdict:
        """The verdict on a file, looked for where it is not known.

        Parameters
        ----------
        column : str
            image or mask.
        key : str
            All that decides the verdict beside settings and code.
        look : callable
        """
        whole = f"{self._by[column]}\t{key}"
        verdict = Verdict.parse(self._known.get(whole, ""))
        if verdict is None:
            verdict = look()
            self._known[whole] = str(verdict)
            self._new += 1
            if self._new > max(SAVED_AFTER, len(self._known) // 4):
                self.save()
        return verdict

    def save(self) -> None:
        """Write down what was found, if anything was."""
        if not self._new:
            return
        of_now = tuple(self._by.values())
        lines = (f"{text}\t{key}\n" for key, text in self._known.items() if key.startswith(of_now))
        # Under a name of its own, as `digests.DigestCache` does.
        whole = self.path.with_name(f"{self.path.stem}-{uuid4().hex}{self.path.suffix}")
        write_text(whole, "".join(lines))
        whole.replace(self.path)
        self._new = 0

    def _load(self) -> dict[str, str]:
        try:
            lines = self.path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError):
            return {}
        # Taken apart when asked for: a line that was cut off has no key that anybody asks for.
        parts = (line.partition("\t") for line in lines)
        return {key: text for text, _, key in parts}


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
        from tessera import annotations, crops, micrographs

        self._read_image, self._read_mask = micrographs.read_image, annotations.read_mask
        self._image, self._json = annotations.Image, cache(annotations.read_json)
        self._crop = crops.Crop
        self._table = ClassTable.from_config(**{key: config[key] for key in DECLARED})
        self._settings = stated(config, "ingest")
        self._is_unchanged = is_unchanged

    def image(self, files: Sequence[Mapping[str, Any]]) -> Verdict:
        """The verdict on a micrograph, in one file or in one a channel."""

        def taken() -> Verdict:
            found = self._read_image(files, self._settings)[0]
            crop = tuple(int(px) for px in astuple(found.crop))
            return Verdict(_whole(found.pixels.shape), crop)

        return self._verdict(files, taken)

    def mask(self, row: Mapping[str, Any], drawn_on: tuple[str, Verdict] | None) -> Verdict:
        """The verdict on an annotation; where it needs its micrograph, with name and verdict."""
        image = None
        if drawn_on is not None:
            crop = self._crop(*drawn_on[1].crop)
            image = self._image(drawn_on[0], crop.whole(drawn_on[1].shape), crop)

        def taken() -> Verdict:
            codes = self._read_mask(row, self._table, image, self._json).codes
            return Verdict(_whole(codes.shape))

        return self._verdict([row], taken)

    def _verdict(self, files: Sequence[Mapping[str, Any]], taken: Callable[[], Verdict]) -> Verdict:
        micrograph, paths = files[0]["micrograph"], [file["path"] for file in files]
        try:
            verdict = taken()
        except ValueError as error:  # UnreadableFile is one too
            if isinstance(error.__cause__, ModuleNotFoundError | MemoryError):
                # Not for the file: it would be refused here, and taken elsewhere.
                raise BadInput([Problem(micrograph, paths[0], str(error))]) from error
            verdict = Verdict(reason=_reason(str(error), paths))
        what = "has changed while it was looked at; run again"
        changed = [path for path in paths if not self._is_unchanged(path)]
        raise_if(Problem(micrograph, path, what) for path in changed)
        return verdict


def _whole(shape: Sequence[int]) -> Shape:
    rows, columns = map(int, shape)
    return rows, columns


def _reason(said: str, paths: Sequence[str]) -> str:
    """What a reader says of files, in one line that is the same wherever they lie."""
    for path in paths:
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
    # As lists: a row at a time, pandas takes seconds for 100,000.
    further = [column for column in image_columns(rows) if column != IMAGE]
    names = (*FROM_ROWS, *IMAGE_CELLS, *further, *map(key_of, further))
    cells = {name: rows[name].tolist() for name in names}
    reader = cache(lambda: Reader(config, is_unchanged))
    found: dict[Cell, str] = {}
    try:
        for at, micrograph in enumerate(cells["micrograph"]):
            columns = [IMAGE, *(column for column in further if cells[column][at])]
            image = _of_image(at, columns, cells, sha256, known, reader)
            mask = _of_mask(at, cells, sha256, known, reader, image)
            if image.reason:
                found[micrograph, "image"] = image.reason
            if mask.reason:
                found[micrograph, "mask"] = mask.reason
    finally:
        known.save()
    return found


Cells = Mapping[str, list[Any]]
UNKNOWN = Verdict()


def _of_image(
    at: int,
    columns: Sequence[str],
    cells: Cells,
    sha256: Mapping[str, str],
    known: VerdictCache,
    reader: Callable[[], Reader],
) -> Verdict:
    """The verdict on the micrograph of a row; unknown if a file of it is not there."""
    said = [cells[name][at] for name in ("frame", *IMAGE_CELLS)]
    for column in columns:
        raw = sha256.get(cells[column][at])
        if raw is None:
            return UNKNOWN
        said += [raw, cells[key_of(column)][at]]
    return known.of(
        IMAGE,
        _key(said),
        lambda: reader().image([_row(at, cells, column, *IMAGE_CELLS) for column in columns]),
    )


def _of_mask(
    at: int,
    cells: Cells,
    sha256: Mapping[str, str],
    known: VerdictCache,
    reader: Callable[[], Reader],
    image: Verdict,
) -> Verdict:
    """The same of its mask; unknown too if it is drawn on a micrograph that is refused."""
    path = cells["mask"][at]
    raw = sha256.get(path)
    if raw is None:
        return UNKNOWN
    said, drawn_on = [raw, cells["mask_key"][at], cells["frame"][at]], None
    if known.crops or is_json(path):
        if image.shape is None:
            return UNKNOWN
        drawn_on = (PurePath(cells["image"][at]).name, image)
        said += [drawn_on[0], image]
    mask = known.of("mask", _key(said), lambda: reader().mask(_row(at, cells, "mask"), drawn_on))
    if mask.shape is None or image.shape in (None, mask.shape):
        return mask
    return Verdict(mask.shape, reason=misfit(mask.shape, image.shape))


def _row(at: int, cells: Cells, column: str, *more: str) -> dict[str, Any]:
    """What a step has to know to read a file of a row."""
    names = {"path": column, "key": key_of(column)}
    names |= {name: name for name in ("micrograph", "frame", *more)}
    return {name: cells[cell][at] for name, cell in names.items()}


def _key(said: list[Any]) -> str:
    """Anything as one text without breaks, that nothing else has."""
    parts = list(map(str, said))
    return "\t".join(parts) if all(map(str.isprintable, parts)) else json.dumps(parts)
