"""Annotations drawn in values, a grey level or a colour for each class, into class codes.

`encode` gives every pixel the code of the class whose value it has; what is not declared is an
error, unless the table says what else it counts as.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from tessera.classes import IGNORE, ClassTable, Value
from tessera.strips import Page, block_rows, made, mapped, strips

COLOUR_SCALE = {np.dtype(np.uint8): 1, np.dtype(np.uint16): 257}
"""What a declared 8-bit colour is multiplied by, per dtype of a colour annotation."""


class UndeclaredValues(ValueError):
    """An annotation holds values that stand for no class.

    Attributes
    ----------
    values : list of (value, pixels)
        Each undeclared value, as it is in the file, with the number of its pixels, most first.
    """

    def __init__(self, values: list[tuple[Value, int]]) -> None:
        self.values = values
        shown = ", ".join(f"{value} ({pixels} px)" for value, pixels in values[:5])
        more = f" and {len(values) - 5} more values" if len(values) > 5 else ""
        super().__init__(f"undeclared mask value {shown}{more}")


def encode(annotation: Page, table: ClassTable) -> Page:
    """Turn an annotation into class codes.

    Parameters
    ----------
    annotation : (rows, columns) or (rows, columns, 2 to 4) page
        Grey levels, or grey with alpha, RGB, RGBA. Alpha carries no class and is left out. In a
        grey annotation a declared grey level is compared as it is; in a colour one, grey level v
        means (v, v, v), and 16-bit colours are read as 257 times the declared 8-bit ones. If the
        table says `nearest`, a stray value counts as the declared one at the least distance,
        Euclidean among colours; of several as near, as the first declared, `ignore` last.
    table : ClassTable

    Returns
    -------
    (rows, columns) uint8 page
        Codes 0 .. len(table) - 1, and `IGNORE`; a large one is made as its rows are asked for.

    Raises
    ------
    UndeclaredValues
        If a value stands for no class and the table has no `other`.
    ValueError
        If the array is no annotation, or colours are declared and the annotation is grey.

    Examples
    --------
    >>> table = ClassTable.from_config({"matrix": 0, "oxide": 255})
    >>> encode(np.array([[0, 255]], np.uint8), table)
    array([[0, 1]], dtype=uint8)
    """
    levels = _levels(annotation, table)

    def strip_of(top: int, end: int) -> tuple[np.ndarray, list[tuple[Value, int]]]:
        strip = np.asarray(levels[top:end])
        codes, known = _coded(strip, table)
        if known.all():
            return codes, []
        if table.nearest:
            codes[~known] = _nearest(strip[~known], table)
        elif table.other is not None:
            codes[~known] = table.other
        else:
            return codes, counted(strip, ~known)
        return codes, []

    codes, strays = made(levels.shape[:2], np.uint8, strip_of, block_rows(levels))
    if any(strays):
        raise UndeclaredValues(together(strays))
    return codes


def undeclared(annotation: np.ndarray, table: ClassTable) -> np.ndarray:
    """(rows, columns) bool: where an annotation, as of `encode`, has no declared value."""
    return ~_coded(np.asarray(_levels(annotation, table)), table)[1]


def undeclared_px(annotation: Page, table: ClassTable) -> int:
    """How many pixels of an annotation have no declared value."""
    return sum(int(undeclared(strip, table).sum()) for strip in strips(annotation))


def _coded(levels: np.ndarray, table: ClassTable) -> tuple[np.ndarray, np.ndarray]:
    """Codes, and whether each pixel has a declared value."""
    keys = _keys(levels)
    scale = _scale(levels, levels.ndim)
    codes = np.full(keys.shape, IGNORE, np.uint8)
    known = np.zeros(keys.shape, bool)
    for value, code in table.declared.items():
        hit = keys == _key_of(value, levels.ndim, scale)
        codes[hit] = code
        known |= hit
    return codes, known


def _nearest(strays: np.ndarray, table: ClassTable) -> np.ndarray:
    """Code of the nearest declared value of each of (pixels,) or (pixels, 3) levels."""
    values, which = np.unique(strays, axis=0, return_inverse=True)
    declared = table.declared
    if values.ndim == 2:
        colours = [(value,) * 3 if isinstance(value, int) else value for value in declared]
        targets = np.array(colours, np.int64) * _scale(values, 3)
        far = ((values[:, None, :].astype(np.int64) - targets[None]) ** 2).sum(axis=2)
    else:
        # As Python's integers: no dtype holds the difference of any two levels of 64 bits.
        levels = values.astype(object)
        far = np.stack([abs(levels - value) for value in declared], axis=1)
    codes = np.array(list(declared.values()), np.uint8)
    return codes[far.argmin(axis=1)][which.ravel()]


def _scale(levels: np.ndarray, ndim: int) -> int:
    return COLOUR_SCALE[levels.dtype.newbyteorder("=")] if ndim == 3 else 1


def _levels(annotation: Page, table: ClassTable) -> Page:
    levels = without_alpha(annotation)
    if levels.ndim == 2 and not table.is_grey:
        raise ValueError("the classes are colours, but this mask is grey")
    return levels


def without_alpha(annotation: Page) -> Page:
    """Grey (rows, columns) or colour (rows, columns, 3) levels of an annotation."""
    if annotation.ndim == 2:
        return annotation
    shape = annotation.shape
    if annotation.ndim == 3 and shape[2] == 2:
        return mapped(annotation, lambda strip: strip[..., 0], shape[:2], annotation.dtype)
    if annotation.ndim == 3 and shape[2] in (3, 4):
        if annotation.dtype.newbyteorder("=") not in COLOUR_SCALE:
            raise ValueError(f"a colour mask must be 8- or 16-bit, this one is {annotation.dtype}")
        colours = (*shape[:2], 3)
        return mapped(annotation, lambda strip: strip[..., :3], colours, annotation.dtype)
    raise ValueError(f"a mask is grey or RGB(A), this one has shape {shape}")


def _keys(levels: np.ndarray) -> np.ndarray:
    """One whole number a pixel, so that values compare in one operation."""
    if levels.ndim == 2:
        return levels
    red, green, blue = (levels[..., channel].astype(np.int64) for channel in range(3))
    return (red << 32) | (green << 16) | blue


def _key_of(value: Value, ndim: int, scale: int) -> int:
    if ndim == 2:
        return value
    red, green, blue = (value,) * 3 if isinstance(value, int) else value
    return (red * scale << 32) | (green * scale << 16) | blue * scale


def counted(levels: np.ndarray, where: np.ndarray) -> list[tuple[Value, int]]:
    """Each value of the pixels `where`, with the number of them, most first."""
    values, pixels = np.unique(levels[where], axis=0, return_counts=True)
    order = np.argsort(-pixels, kind="stable")
    as_value = (lambda v: tuple(int(x) for x in v)) if levels.ndim == 3 else (lambda v: v.item())
    return [(as_value(values[i]), int(pixels[i])) for i in order]


def together(counts: Iterable[list[tuple[Value, int]]]) -> list[tuple[Value, int]]:
    """What `counted` gives of the whole, from what it gives of its strips."""
    pixels: Counter[Value] = Counter()
    for of_strip in counts:
        pixels.update(dict(of_strip))
    return sorted(pixels.items(), key=lambda of: (-of[1], of[0]))
