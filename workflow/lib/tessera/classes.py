"""The classes of a study, and the masks drawn with them.

A study declares its classes once, each with the value that stands for it in the annotation: a grey
level, or a colour in 8-bit red, green, blue. `encode` turns an annotation into class codes, the
number of each class in the order of declaration; everything after it knows codes only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IGNORE = 255
"""Code of pixels that count neither in training nor in evaluation."""

PALETTE = np.array(
    [
        [0, 0, 0],
        [230, 159, 0],
        [86, 180, 233],
        [0, 158, 115],
        [240, 228, 66],
        [0, 114, 178],
        [213, 94, 0],
        [204, 121, 167],
    ],
    np.uint8,
)
"""Colours of the codes, background first, told apart by the colour-blind too: Okabe and Ito, Color
Universal Design, 2008."""

COLOUR_SCALE = {np.dtype(np.uint8): 1, np.dtype(np.uint16): 257}
"""What a declared 8-bit colour is multiplied by, per dtype of a colour annotation."""

Value = int | tuple[int, int, int]


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


@dataclass(frozen=True)
class ClassTable:
    """Names and annotation values of the classes, in the order of their codes.

    Parameters
    ----------
    names : tuple of str
        Class names; the first is the background.
    values : tuple of int or (red, green, blue)
        What stands for each class in the annotation; colours in 8 bits.
    ignore : int or (red, green, blue), optional
        Value of pixels to leave out.
    other : int, optional
        Code given to undeclared values. Without it they are an error.
    """

    names: tuple[str, ...]
    values: tuple[Value, ...]
    ignore: Value | None = None
    other: int | None = None

    @classmethod
    def from_config(
        cls, classes: dict[str, int | list[int]], ignore=None, other: str | None = None
    ) -> ClassTable:
        """Build the table from the config's `classes`, `ignore` and `other`.

        Raises
        ------
        ValueError
            If two classes share a value, or `other` names no class.
        """
        names = tuple(classes)
        values = tuple(_value(value) for value in classes.values())
        ignore_value = None if ignore is None else _value(ignore)
        declared = [*values, *([] if ignore_value is None else [ignore_value])]
        # Among colours, grey level v is the colour (v, v, v).
        colours = [(value,) * 3 if isinstance(value, int) else value for value in declared]
        pairs = zip(declared, colours, strict=True)
        doubled = sorted({str(value) for value, colour in pairs if colours.count(colour) > 1})
        if doubled:
            raise ValueError(f"mask value {', '.join(doubled)} stands for more than one class")
        if other is not None and other not in names:
            raise ValueError(f"`other: {other}` is none of the classes {', '.join(names)}")
        return cls(names, values, ignore_value, None if other is None else names.index(other))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_grey(self) -> bool:
        """Whether every class can be drawn in a grey mask."""
        return all(isinstance(value, int) for value in (*self.values, self.ignore or 0))


def _value(value: int | list[int]) -> Value:
    return tuple(value) if isinstance(value, list | tuple) else int(value)


def palette(n_classes: int) -> np.ndarray:
    """(n_classes, 3) uint8 colours; beyond seven classes, those after the background come again."""
    further = 1 + np.arange(n_classes - 1) % (len(PALETTE) - 1)
    return PALETTE[np.concatenate([[0], further])]


def encode(annotation: np.ndarray, table: ClassTable) -> np.ndarray:
    """Turn an annotation into class codes.

    Parameters
    ----------
    annotation : (rows, columns) or (rows, columns, 2 to 4) array
        Grey levels, or grey with alpha, RGB, RGBA. Alpha carries no class and is left out. In a
        grey annotation a declared grey level is compared as it is; in a colour one, grey level v
        means (v, v, v), and 16-bit colours are read as 257 times the declared 8-bit ones.
    table : ClassTable

    Returns
    -------
    (rows, columns) uint8 array
        Codes 0 .. len(table) - 1, and `IGNORE`.

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
    levels = _without_alpha(annotation)
    if levels.ndim == 2 and not table.is_grey:
        raise ValueError("the classes are colours, but this mask is grey")
    keys = _keys(levels)
    scale = COLOUR_SCALE[levels.dtype] if levels.ndim == 3 else 1
    codes = np.full(keys.shape, IGNORE, np.uint8)
    known = np.zeros(keys.shape, bool)
    if table.ignore is not None:
        known |= keys == _key_of(table.ignore, levels.ndim, scale)
    for code, value in enumerate(table.values):
        hit = keys == _key_of(value, levels.ndim, scale)
        codes[hit] = code
        known |= hit
    if not known.all():
        if table.other is None:
            raise UndeclaredValues(_counted(levels, known))
        codes[~known] = table.other
    return codes


def _without_alpha(annotation: np.ndarray) -> np.ndarray:
    """Grey (rows, columns) or colour (rows, columns, 3) levels of an annotation."""
    if annotation.ndim == 2:
        return annotation
    if annotation.ndim == 3 and annotation.shape[2] == 2:
        return annotation[..., 0]
    if annotation.ndim == 3 and annotation.shape[2] in (3, 4):
        if annotation.dtype not in COLOUR_SCALE:
            raise ValueError(f"a colour mask must be 8- or 16-bit, this one is {annotation.dtype}")
        return annotation[..., :3]
    raise ValueError(f"a mask is grey or RGB(A), this one has shape {annotation.shape}")


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


def _counted(levels: np.ndarray, known: np.ndarray) -> list[tuple[Value, int]]:
    values, pixels = np.unique(levels[~known], axis=0, return_counts=True)
    order = np.argsort(-pixels, kind="stable")
    as_value = (lambda v: tuple(int(x) for x in v)) if levels.ndim == 3 else (lambda v: v.item())
    return [(as_value(values[i]), int(pixels[i])) for i in order]
