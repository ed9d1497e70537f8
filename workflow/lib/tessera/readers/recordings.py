"""What a reader gives: pixels, and what the file states of how they were recorded.

Nothing is guessed. A length without a known unit, a date that can be read two ways, a pixel of a
size that no microscope makes: each counts as not stated, and stays in the metadata as it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from tessera.problems import UnreadableFile
from tessera.strips import Page

UNKNOWN = float("nan")
NM_PER = {"nm": 1.0, "um": 1e3, "micron": 1e3, "mm": 1e6, "cm": 1e7, "m": 1e9, "pm": 1e-3}
NM_PER |= {"å": 0.1, "a": 0.1, "angstrom": 0.1, "angstroms": 0.1, "ångström": 0.1}
PREFIXES = {"pico": "pm", "nano": "nm", "micro": "um", "milli": "mm", "centi": "cm", "": "m"}
METRE = {f"{prefix}{metre}": NM_PER[unit] for prefix, unit in PREFIXES.items()
         for metre in ("metre", "metres", "meter", "meters")}  # fmt: skip
PIXELS_NM = (1e-4, 1e7)
"""The smallest and the largest pixel that is taken for one: 0.1 pm and 1 cm."""
SQUARE = 1e-3
"""How far, of their size, the sides of a pixel may differ: calibrations are rounded."""
LARGE_ARRAY = 64
"""Arrays in metadata of more numbers than this, such as thumbnails, are told by their shape."""
LONGEST_TEXT = 200_000
DEEPEST = 40
CLOCK = (" %H:%M:%S", " %H:%M", " %I:%M:%S %p", "")
DATES = ("%Y-%m-%d", "%Y:%m:%d", "%Y/%m/%d", "%d %b %Y", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")


class Palette(NamedTuple):
    """A picture with a palette: (rows, columns) numbers, and the (n, 3) 8-bit colour of each."""

    numbers: Page
    colours: np.ndarray


@dataclass(frozen=True)
class Recording:
    """What a file holds.

    Parameters
    ----------
    pixels : (rows, columns) or (rows, columns, channels) page, or a stack of them along axis 0
        An array, or a `LazyPage` of a large one: what is damaged further down in the file is
        refused when it is come to.
    pixel_sizes_nm : (float, float)
        Height and width of a pixel: the distance of rows, and that of columns. NaN where the file
        states none.
    axes : str
        A letter an axis of `pixels`: Y rows, X columns, S channels, Q anything else. None where a
        file was asked for all that it holds, and that is several pictures: `channels` names them.
    instrument, detector : str
        Empty where the file states none.
    voltage_kv, magnification : float
        NaN where the file states none.
    recorded : str
        Date and time in ISO 8601; empty where the file states none, or an ambiguous one.
    scanned_rows : int
        Rows of the picture that were scanned, from the top; below them is a data bar. 0 where the
        file states none.
    metadata : dict
        All that the file says of itself, as JSON holds it.
    palette : Palette, optional
        Where the file has one: `pixels` are its colours.
    black : int, optional
        What black is where the file says that small numbers are bright, so that the grey level of
        a number is `black` less the number.
    channels : sequence of str
        Names of the channels that a file holds, where it was asked for all of them and names them.
    """

    pixels: Page
    pixel_sizes_nm: tuple[float, float] = (UNKNOWN, UNKNOWN)
    axes: str = ""
    instrument: str = ""
    voltage_kv: float = UNKNOWN
    magnification: float = UNKNOWN
    recorded: str = ""
    detector: str = ""
    scanned_rows: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)
    palette: Palette | None = None
    black: int | None = None
    channels: Sequence[str] = ()

    @property
    def pixel_size_nm(self) -> float:
        """The side of a square pixel; NaN where the file does not state both sides.

        Raises
        ------
        UnreadableFile
            If the pixels are not square.
        """
        height, width = self.pixel_sizes_nm
        if math.isnan(height) or math.isnan(width):
            return UNKNOWN
        if abs(height - width) > SQUARE * max(height, width):
            raise UnreadableFile(
                f"pixels are {height:g} nm high and {width:g} nm wide, not square; resample it, or"
                " state one pixel_size_nm in the sheet"
            )
        return width


def nanometres(length: Any, unit: Any) -> float:
    """A length in nm; NaN where it is no number, its unit unknown, or no pixel has such a size.

    Examples
    --------
    >>> nanometres(0.5, "µm"), nanometres("2", "Å"), nanometres(3, "1/nm")
    (500.0, 0.2, nan)
    """
    name = str(unit or "").strip().replace("µ", "u").replace("μ", "u").casefold()
    size = number(length) * (NM_PER | METRE).get(name, UNKNOWN)
    return size if PIXELS_NM[0] <= size <= PIXELS_NM[1] else UNKNOWN


def number(value: Any) -> float:
    """A finite number, from one or from the text of one; NaN otherwise.

    Examples
    --------
    >>> number("15.0"), number(" 50.00 K"), number("none")
    (15.0, nan, nan)
    """
    try:
        found = float(value)
    except (TypeError, ValueError):
        return UNKNOWN
    return found if math.isfinite(found) else UNKNOWN


def positive(value: Any, times: float = 1.0) -> float:
    """A number above 0, multiplied; NaN otherwise: instruments write 0 for the unknown."""
    found = number(value) * times
    return found if found > 0 else UNKNOWN


def iso_date(text: Any) -> str:
    """Date and time in ISO 8601, empty if there is none or if it can be read two ways.

    Examples
    --------
    >>> iso_date("06/13/2016 05:06:40 PM"), iso_date("2018:11:15 19:42:31"), iso_date("03/04/2016")
    ('2016-06-13T17:06:40', '2018-11-15T19:42:31', '')
    """
    said = " ".join(str(text or "").split())
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", said)).isoformat()
    except ValueError:
        pass
    found = set()
    for form in (date + clock for date in DATES for clock in CLOCK):
        try:
            found.add(datetime.strptime(said, form).isoformat())
        except ValueError:
            continue
    return found.pop() if len(found) == 1 else ""


def plain(value: Any, depth: int = 0) -> Any:
    """Anything that a library gives as metadata, as JSON holds it; large arrays by their shape.

    Examples
    --------
    >>> plain({1: np.float32(0.5), "b": (b"text", float("nan"))})
    {'1': 0.5, 'b': ['text', 'nan']}
    """
    if depth > DEEPEST:
        return "(nested too deep)"
    if isinstance(value, Mapping):
        return {plain_text(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        large = value.size > LARGE_ARRAY or value.dtype.kind == "V"
        return f"({value.dtype} of shape {value.shape})" if large else plain(value.tolist(), depth)
    if isinstance(value, list | tuple | set | frozenset):
        if len(value) > LONGEST_TEXT:
            return f"({len(value)} items)"
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return [plain(item, depth + 1) for item in items]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return plain_text(value)


def one_line(text: str) -> str:
    """Text without breaks, tabs and signs that cannot be seen.

    Examples
    --------
    >>> one_line("Model\\t5 \\0")
    'Model 5'
    """
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def plain_text(value: Any) -> str:
    """Text of anything; bytes that are none by their number."""
    if isinstance(value, bytes):
        try:
            value = value.rstrip(b"\0").decode()
        except UnicodeDecodeError:
            return f"({len(value)} bytes)"
    if isinstance(value, datetime):
        value = value.isoformat()
    if not isinstance(value, str | int | float | complex):
        # Not the repr of an object: it may hold an address, which is another each time.
        return f"({type(value).__name__})"
    text = str(value).encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_TEXT else f"({len(text)} characters)"
