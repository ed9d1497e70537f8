"""Label maps, which number every instance, into class codes; touching instances kept apart.

Any whole number above 0 is an instance, 0 is none. With a boundary class, the pixels of both sides
where two instances touch, by an edge or a corner, become boundary; then no connected component of
the class, corners counted, holds pixels of two instances.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from tessera.classes import IGNORE, ClassTable, Instances, Value
from tessera.strips import Page, block_rows, made
from tessera.values import UndeclaredValues, counted, together, without_alpha

Fates = tuple[np.ndarray, np.ndarray]
"""Numbers of the instances that a strip holds, and of those that are more than boundary there."""


def encode_labels(labels: Page, table: ClassTable) -> tuple[Page, np.ndarray]:
    """Turn a label map into class codes.

    Parameters
    ----------
    labels : (rows, columns) page of any integer dtype
        Or with alpha, which is left out.
    table : ClassTable
        With `instances`. Its `ignore`, where it is a number, is a number of the label map.

    Returns
    -------
    codes : (rows, columns) uint8 page
    swallowed : array of int
        Instances of which nothing but boundary is left.

    Raises
    ------
    UndeclaredValues
        If a number is negative, is not ignored and the table has no `other`.
    ValueError
        If the array is a colour picture.

    Examples
    --------
    >>> names = {"none": 0, "cell": 1}
    >>> table = ClassTable.from_config(names, ignore=-1, instances={"class": "cell"})
    >>> encode_labels(np.array([[0, 7, -1]]), table)[0]
    array([[  0,   1, 255]], dtype=uint8)
    """
    labels = without_alpha(labels)
    if labels.ndim != 2:
        raise ValueError("a label map is grey, this mask is a colour picture")
    strip_of = partial(_strip, labels, table)
    codes, said = made(labels.shape, np.uint8, strip_of, block_rows(labels))
    strays, fates = zip(*said, strict=True)
    if any(strays):
        raise UndeclaredValues(together(strays))
    return codes, swallowed(fates)


def _strip(
    labels: Page, table: ClassTable, top: int, end: int
) -> tuple[np.ndarray, tuple[list[tuple[Value, int]], Fates]]:
    """Codes of a strip of rows, numbers that are no instances, and what instances are left.

    A row more on both sides says what the instances of the strip touch.
    """
    above, below = max(top - 1, 0), min(end + 1, labels.shape[0])
    strip, part = slice(top - above, end - above), np.asarray(labels[above:below])
    ignored = np.zeros(part.shape, bool)
    if isinstance(table.ignore, int):
        ignored = part == table.ignore
    codes = np.full(part.shape, table.undrawn, np.uint8)
    negative = (part < 0) & ~ignored
    strays = []
    if negative.any():
        if table.other is None:
            strays = counted(part[strip], negative[strip])
        codes[negative] = table.other or 0
    numbers = np.where(ignored | negative, 0, part)
    ids = numbered(numbers)
    codes[ids > 0] = table.instances.code
    codes[ignored] = IGNORE
    fates = set_apart(codes, ids, table.instances, strip, numbers)
    return codes[strip], (strays, fates)


def numbered(labels: np.ndarray) -> np.ndarray:
    """The same instances, as int32 above 0; 0 stays 0."""
    if labels.size and labels.min() >= 0 and labels.max() < np.iinfo(np.int32).max:
        return labels.astype(np.int32)
    present, ids = np.unique(labels, return_inverse=True)
    ids = ids.reshape(labels.shape).astype(np.int32)
    return ids if 0 in present else ids + 1


def set_apart(
    codes: np.ndarray,
    ids: np.ndarray,
    instances: Instances | None,
    strip: slice,
    numbers: np.ndarray | None = None,
) -> Fates:
    """Draw the boundaries of instances into a part of a mask, in place.

    Parameters
    ----------
    codes : (rows, columns) uint8 array
    ids : (rows, columns) int array
        Number of the instance of each pixel; 0 where there is none.
    instances : Instances, optional
    strip : slice
        Rows whose neighbours are all there, where there are any.
    numbers : (rows, columns) int array, optional
        What the file calls the instances, if it is not `ids`.
    """
    numbers = ids if numbers is None else numbers
    none = np.array([], numbers.dtype)
    if instances is None or instances.boundary is None:
        return none, none
    if instances.outlines:
        between = find_boundaries(ids, connectivity=2, mode="inner", background=0)
    else:
        between = touching(ids)
    codes[between] = instances.boundary
    here, is_inner, numbers = ids[strip] > 0, ~between[strip], numbers[strip]
    return np.unique(numbers[here]), np.unique(numbers[here & is_inner])


def swallowed(fates: Iterable[Fates]) -> np.ndarray:
    """Instances of which nothing but boundary is left, from what all strips hold."""
    here, inner = (np.concatenate(of) for of in zip(*fates, strict=True))
    return np.setdiff1d(here, inner)


def touching(ids: np.ndarray) -> np.ndarray:
    """Where a pixel of an instance has a pixel of another among its eight neighbours.

    Parameters
    ----------
    ids : (rows, columns) int array
        0 where there is no instance.

    Returns
    -------
    (rows, columns) bool array

    Examples
    --------
    >>> touching(np.array([[1, 1, 2, 0, 3]])).astype(int)
    array([[0, 1, 1, 0, 0]])
    """
    beyond = ids.max(initial=0) + 1
    highest = ndimage.maximum_filter(ids, 3, mode="nearest")
    lowest = ndimage.minimum_filter(np.where(ids > 0, ids, beyond), 3, mode="nearest")
    return (ids > 0) & (highest != lowest)
