"""Label maps, which number every instance, into class codes; touching instances kept apart.

Any whole number above 0 is an instance, 0 is none. With a boundary class, the pixels of both sides
where two instances touch, by an edge or a corner, become boundary; then no connected component of
the class, corners counted, holds pixels of two instances.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.segmentation import find_boundaries

from tessera.classes import IGNORE, ClassTable, Instances
from tessera.values import UndeclaredValues, counted, without_alpha


def encode_labels(labels: np.ndarray, table: ClassTable) -> tuple[np.ndarray, np.ndarray]:
    """Turn a label map into class codes.

    Parameters
    ----------
    labels : (rows, columns) array of any integer dtype
        Or with alpha, which is left out.
    table : ClassTable
        With `instances`. Its `ignore`, where it is a number, is a number of the label map.

    Returns
    -------
    codes : (rows, columns) uint8 array
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
    ignored = np.zeros(labels.shape, bool)
    if isinstance(table.ignore, int):
        ignored = labels == table.ignore
    codes = np.full(labels.shape, table.undrawn, np.uint8)
    negative = (labels < 0) & ~ignored
    if negative.any():
        if table.other is None:
            raise UndeclaredValues(counted(labels, negative))
        codes[negative] = table.other
    ids = numbered(np.where(ignored | negative, 0, labels))
    codes[ids > 0] = table.instances.code
    codes[ignored] = IGNORE
    swallowed = set_apart(codes, ids, table.instances)
    return codes, np.unique(labels[np.isin(ids, swallowed)])


def numbered(labels: np.ndarray) -> np.ndarray:
    """The same instances, as int32 from 1 on; 0 stays 0."""
    present, ids = np.unique(labels, return_inverse=True)
    ids = ids.reshape(labels.shape).astype(np.int32)
    return ids if 0 in present else ids + 1


def set_apart(codes: np.ndarray, ids: np.ndarray, instances: Instances) -> np.ndarray:
    """Draw the boundaries of instances into a mask, in place.

    Parameters
    ----------
    codes : (rows, columns) uint8 array
    ids : (rows, columns) int array
        Number of the instance of each pixel; 0 where there is none.
    instances : Instances

    Returns
    -------
    array of int
        Instances of which nothing but boundary is left.
    """
    if instances.boundary is None:
        return np.array([], ids.dtype)
    if instances.outlines:
        between = find_boundaries(ids, connectivity=2, mode="inner", background=0)
    else:
        between = touching(ids)
    codes[between] = instances.boundary
    return np.setdiff1d(ids[ids > 0], ids[(ids > 0) & ~between])


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
