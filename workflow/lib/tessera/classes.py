"""The classes of a study, and what stands for them in annotations.

A study declares its classes once, each with the value that stands for it in the annotation: a grey
level, or a colour in 8-bit red, green, blue. `values`, `instances` and `regions` turn annotations
into class codes, the number of each class in the order of declaration; everything after them knows
codes only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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

DECLARED = ("classes", "ignore", "other", "nearest", "unlabelled", "instances")
"""Keys of the config that say how annotations are read."""

Value = int | tuple[int, int, int]


@dataclass(frozen=True)
class Instances:
    """How label maps, and regions of one class, become codes.

    Parameters
    ----------
    code : int
        The class that every instance is of.
    boundary : int, optional
        Code of pixels where two instances touch. Without it they grow together.
    outlines : bool
        Whether the rim of every instance is boundary, not only where it touches another.
    """

    code: int
    boundary: int | None = None
    outlines: bool = False


@dataclass(frozen=True)
class ClassTable:
    """Names and annotation values of the classes, in the order of their codes.

    Parameters
    ----------
    names : tuple of str
        Class names; the first is the background.
    values : tuple of int or (red, green, blue)
        What stands for each class in the annotation; colours in 8 bits.
    ignore : int or (red, green, blue) or str, optional
        Value of pixels to leave out; a text is the name of such regions.
    other : int, optional
        Code given to undeclared values. Without it they are an error.
    nearest : bool
        Whether an undeclared value counts as the nearest declared one.
    undrawn : int
        Code of what lies in no region and in no instance.
    instances : Instances, optional
        Set where annotations are label maps.
    """

    names: tuple[str, ...]
    values: tuple[Value, ...]
    ignore: Value | str | None = None
    other: int | None = None
    nearest: bool = False
    undrawn: int = 0
    instances: Instances | None = None

    @classmethod
    def from_config(
        cls,
        classes: Mapping[str, int | list[int]],
        ignore: int | list[int] | str | None = None,
        other: str | None = None,
        nearest: bool = False,
        unlabelled: str = "background",
        instances: Mapping[str, Any] | None = None,
    ) -> ClassTable:
        """Build the table from the keys of the config that `DECLARED` names.

        Raises
        ------
        ValueError
            If two classes share a value, a name is none of the classes, or two keys say different
            things of undeclared values.
        """
        names = tuple(classes)
        values = tuple(_value(value) for value in classes.values())
        ignored = ignore if ignore is None or isinstance(ignore, str) else _value(ignore)
        _check_values([*values, *([] if ignored is None else [ignored])])
        if ignored in names:
            raise ValueError(f"`ignore: {ignored}` is a class; ignored regions need their own name")
        partial = unlabelled == "ignore"
        said = {f"other: {other}": other, "nearest: true": nearest, "unlabelled: ignore": partial}
        given = [key for key, is_given in said.items() if is_given]
        if len(given) > 1:
            raise ValueError(f"`{'` and `'.join(given)}` both say what undeclared values are")
        if nearest and instances:
            raise ValueError("`nearest: true` and `instances`: a label map has no nearest value")
        other_code = IGNORE if partial else None
        if other is not None:
            other_code = _code(other, names, f"other: {other}")
        of_labels = None if instances is None else _instances(instances, names)
        undrawn = IGNORE if partial else 0
        return cls(names, values, ignored, other_code, nearest, undrawn, of_labels)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_grey(self) -> bool:
        """Whether every class can be drawn in a grey mask."""
        return all(isinstance(value, int) for value in self.declared)

    @property
    def by_colour(self) -> bool:
        """Whether a picture with a palette is read by its colours, not by their numbers."""
        return not self.is_grey and self.instances is None

    @property
    def declared(self) -> dict[Value, int]:
        """Code of each declared value, the classes first."""
        known = {value: code for code, value in enumerate(self.values)}
        if self.ignore is None or isinstance(self.ignore, str):
            return known
        return {**known, self.ignore: IGNORE}

    def code_of_region(self, name: str) -> int:
        """Code of the regions of a name; `ValueError` if it is not declared."""
        if name == self.ignore:
            return IGNORE
        if name in self.names:
            return self.names.index(name)
        if self.other in (None, IGNORE):  # what is drawn is labelled, so it is not left out
            raise ValueError(f"{name!r} is none of the classes {', '.join(self.names)}")
        return self.other


def _value(value: int | list[int]) -> Value:
    return tuple(value) if isinstance(value, list | tuple) else int(value)


def _check_values(declared: list[Value | str]) -> None:
    # Among colours, grey level v is the colour (v, v, v).
    colours = [(value,) * 3 if isinstance(value, int) else value for value in declared]
    pairs = zip(declared, colours, strict=True)
    doubled = sorted({str(value) for value, colour in pairs if colours.count(colour) > 1})
    if doubled:
        raise ValueError(f"mask value {', '.join(doubled)} stands for more than one class")


def _code(name: str, names: tuple[str, ...], said: str) -> int:
    if name not in names:
        raise ValueError(f"`{said}` is none of the classes {', '.join(names)}")
    return names.index(name)


def _instances(block: Mapping[str, Any], names: tuple[str, ...]) -> Instances:
    code = _code(block["class"], names, f"instances: class: {block['class']}")
    if code == 0:
        raise ValueError(f"`instances: class: {block['class']}` is the background")
    named, outlines = block.get("boundary"), block.get("outlines", False)
    if named is None:
        if outlines:
            raise ValueError("`instances: outlines: true` needs a `boundary`")
        return Instances(code)
    boundary = _code(named, names, f"instances: boundary: {named}")
    if boundary in (0, code):
        raise ValueError(f"`instances: boundary: {named}` must be a class of its own")
    return Instances(code, boundary, outlines)


def palette(n_classes: int) -> np.ndarray:
    """(n_classes, 3) uint8 colours; beyond seven classes, those after the background come again."""
    further = 1 + np.arange(n_classes - 1) % (len(PALETTE) - 1)
    return PALETTE[np.concatenate([[0], further])]
