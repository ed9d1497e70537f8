"""In what condition a micrograph is: saturated, constant, with dead rows, or not of numbers.

All is counted in one pass over strips of rows, so that memory holds a strip, whatever the size of
the micrograph; the counts do not depend on how it was cut into strips.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tessera.channels import of_channel
from tessera.crops import COLUMNS, Crop, cut_off

CONSTANT, REFUSE, ALLOW = "constant", "refuse", "allow"
CONDITION = ("lowest", "highest", "lowest_px", "highest_px", "dead_rows", "dead_columns")
"""What a table of micrographs holds of a condition, in columns of these names."""

LARGEST = 1e18
"""ASSUME no grey level is larger: all is computed in 32-bit floats, which cannot square it."""
STEPS = 256
"""Grey levels of a micrograph span at least so many of the steps that 32-bit floats have there."""

REMARKABLE = 0.01
"""Share of pixels at one end of the grey levels from which on it is worth a remark."""


@dataclass(frozen=True)
class Condition:
    """What was counted of a micrograph.

    Parameters
    ----------
    rows, columns : int
    lowest, highest : int or float
        Its grey levels lie between; NaN where no pixel is a number.
    lowest_px, highest_px : int
        Pixels that have just these: where many do, the micrograph is saturated there.
    dead_rows : int
        Rows of one grey level, or exactly like an earlier row.
    dead_columns : int
        Columns of one grey level, or exactly like the one to their left.
    not_finite_px : int
        Pixels that are NaN or infinite.
    """

    rows: int
    columns: int
    lowest: float
    highest: float
    lowest_px: int
    highest_px: int
    dead_rows: int
    dead_columns: int
    not_finite_px: int = 0

    @property
    def is_constant(self) -> bool:
        """Whether all pixels have one grey level."""
        return self.lowest == self.highest

    @property
    def saturated(self) -> float:
        """Share of pixels at either end of the grey levels; none of a constant micrograph."""
        ends = 0 if self.is_constant else self.lowest_px + self.highest_px
        return ends / (self.rows * self.columns)

    @property
    def dead_lines(self) -> float:
        """Share of dead rows, or of dead columns where that is larger."""
        return max(self.dead_rows / self.rows, self.dead_columns / self.columns)


class Inspection:
    """Counts what a `Condition` holds, strip by strip.

    Examples
    --------
    >>> inspection = Inspection()
    >>> inspection.add(np.array([[0, 7, 9], [5, 5, 5]], np.uint8))
    >>> inspection.add(np.array([[0, 7, 9]], np.uint8))
    >>> found = inspection.condition()
    >>> found.dead_rows, found.dead_columns, found.highest, found.highest_px
    (2, 0, 9, 2)
    """

    def __init__(self) -> None:
        self._rows, self._not_finite = 0, 0
        self._lowest, self._highest = _End(np.min, min), _End(np.max, max)
        self._seen: set[bytes] = set()
        self._dead_rows = 0
        self._first = np.zeros(0)
        self._constant = self._copies = np.zeros(0, int)

    def add(self, strip: np.ndarray) -> None:
        """Count a (rows, columns) strip, the next below those before; all of the same dtype."""
        if not len(strip):
            return
        if not self._rows:
            self._first = strip[0].copy()
            self._constant = np.arange(strip.shape[1])
            self._copies = self._constant[1:]
        self._rows += len(strip)
        self._count_levels(strip)
        self._count_rows(np.ascontiguousarray(strip))
        self._constant = _all_equal(strip, self._constant, self._first[self._constant])
        self._copies = _all_equal(strip, self._copies, strip[:, self._copies - 1])

    def _count_levels(self, strip: np.ndarray) -> None:
        if strip.dtype.kind == "f":
            finite = np.isfinite(strip)
            bad = strip.size - int(np.count_nonzero(finite))
            self._not_finite += bad
            strip = strip[finite] if bad else strip
        if strip.size:
            self._lowest.add(strip)
            self._highest.add(strip)

    def _count_rows(self, strip: np.ndarray) -> None:
        constant = strip[:, 0] == strip[:, -1]
        constant[constant] = (strip[constant] == strip[constant, :1]).all(axis=1)
        for row, is_constant in zip(strip, constant.tolist(), strict=True):
            key = hashlib.blake2b(row, digest_size=16).digest()
            self._dead_rows += is_constant or key in self._seen
            self._seen.add(key)

    def condition(self) -> Condition:
        """What was counted so far."""
        return Condition(
            rows=self._rows,
            columns=self._first.size,
            lowest=self._lowest.level,
            highest=self._highest.level,
            lowest_px=self._lowest.pixels,
            highest_px=self._highest.pixels,
            not_finite_px=self._not_finite,
            dead_rows=self._dead_rows,
            dead_columns=np.union1d(self._constant, self._copies).size,
        )


class _End:
    """The outermost grey level at one end, and how many pixels have it."""

    def __init__(self, of_array, of_two) -> None:
        self._of_array, self._of_two = of_array, of_two
        self.level: float = np.nan
        self.pixels = 0

    def add(self, levels: np.ndarray) -> None:
        found = self._of_array(levels).item() + 0  # -0.0 is 0
        if self.pixels == 0 or (found != self.level and self._of_two(found, self.level) == found):
            self.level, self.pixels = found, 0
        if found == self.level:
            self.pixels += int(np.count_nonzero(levels == found))


def _all_equal(strip: np.ndarray, columns: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Those of some columns of a strip that are like others all the way down."""
    if not columns.size:
        return columns
    return columns[(strip[:, columns] == like).all(axis=0)]


def faults(of: Condition, limits: Mapping[str, Any]) -> Iterator[str]:
    """Why a micrograph cannot be used, in words with the values.

    Parameters
    ----------
    of : Condition
    limits : mapping
        saturated, dead_lines: shares above which a micrograph is refused; constant: `refuse` or
        `allow`.
    """
    if of.not_finite_px:
        yield f"{of.not_finite_px} pixels are not finite"
    if max(abs(of.lowest), abs(of.highest)) > LARGEST:
        yield (
            f"its grey levels, {level(of.lowest)} to {level(of.highest)}, are too large for the"
            " 32-bit floats that they are computed in; divide them"
        )
    elif of.is_constant:
        if limits[CONSTANT] == REFUSE:
            yield f"all its pixels are {level(of.lowest)} (ingest: limits: constant)"
    elif of.highest - of.lowest < STEPS * _step(of):
        yield (
            f"its grey levels, {level(of.lowest)} to {level(of.highest)}, are too near each other"
            f" for the 32-bit floats that they are computed in; subtract {level(of.lowest)}, or"
            " multiply them"
        )
    limit = "the limit is {} (ingest: limits: {})"
    if of.saturated > limits["saturated"]:
        least = f"{of.lowest_px:,} are {level(of.lowest)}, the least"
        most = f"{of.highest_px:,} are {level(of.highest)}, the most"
        said = limit.format(percent(limits["saturated"]), "saturated")
        yield f"{percent(of.saturated)} of its pixels are saturated ({least}; {most}), {said}"
    if not of.is_constant and of.dead_lines > limits["dead_lines"]:
        said = limit.format(percent(limits["dead_lines"]), "dead_lines")
        yield f"{_dead(of)} are dead, {said}"


def _step(of: Condition) -> float:
    """What 32-bit floats tell apart at the largest grey level."""
    return float(np.spacing(np.float32(max(abs(of.lowest), abs(of.highest)))))


def _dead(of: Condition) -> str:
    return (
        f"{of.dead_rows:,} of its {of.rows:,} rows and {of.dead_columns:,} of its"
        f" {of.columns:,} columns"
    )


def remarks(of: Condition) -> Iterator[str]:
    """What is worth knowing of a micrograph that is used, in words."""
    if of.is_constant:
        yield f"all pixels are {level(of.lowest)}"
        return
    n_pixels = of.rows * of.columns
    for pixels, at, end in (
        (of.lowest_px, of.lowest, "lowest"),
        (of.highest_px, of.highest, "highest"),
    ):
        if pixels >= REMARKABLE * n_pixels:
            share = percent(pixels / n_pixels)
            yield f"{share} of the pixels have the {end} grey level, {level(at)}"
    for count, of_all, noun in (
        (of.dead_rows, of.rows, "rows"),
        (of.dead_columns, of.columns, "columns"),
    ):
        if count:
            yield f"{count:,} of {of_all:,} {noun} are dead"


def columns_of(channels: Sequence[str]) -> list[dict[str, str]]:
    """The columns of a table of micrographs that hold the condition of each channel, by name.

    Parameters
    ----------
    channels : sequence of str
        Empty where micrographs are of one grey picture.
    """
    others = ({name: of_channel(name, channel) for name in CONDITION} for channel in channels[1:])
    return [{name: name for name in CONDITION}, *others]


def noted(table: pd.DataFrame, channels: Sequence[str] = ()) -> list[dict[str, str]]:
    """The micrographs of which something is worth knowing: micrograph, group, cut_off, remarks.

    Parameters
    ----------
    table : DataFrame
        As `ingest` writes it, with the group of each.
    channels : sequence of str
        As for `columns_of`.
    """
    found, places = [], columns_of(channels)
    for row in table.to_dict("records"):
        shape = {side: row[side] for side in ("rows", "columns")}
        counted = ({name: row[at] for name, at in place.items()} for place in places)
        of_each = ("; ".join(remarks(Condition(**shape, **of))) for of in counted)
        named = zip(channels or [""], of_each, strict=True)
        said = {
            "cut_off": "; ".join(cut_off(Crop(*(row[column] for column in COLUMNS)))),
            "remarks": "; ".join(f"{name}: {of}" if name else of for name, of in named if of),
        }
        if any(said.values()):
            found.append({"micrograph": row["micrograph"], "group": row["group"], **said})
    return found


def level(grey: float) -> str:
    """A grey level in words: whole numbers with all their digits.

    Examples
    --------
    >>> level(1000000000001), level(0.1234567)
    ('1000000000001', '0.123457')
    """
    return str(grey) if isinstance(grey, int) else f"{grey:.6g}"


def percent(share: float) -> str:
    """A share in percent, never rounded to a whole that it is not.

    Examples
    --------
    >>> percent(0.5), percent(1), percent(0.12345), percent(0.99999)
    ('50 %', '100 %', '12.3 %', '99.999 %')
    """
    short = f"{100 * share:.3g}"
    return f"{short if share == 1 or float(short) < 100 else format(100 * share, '.6g')} %"
