"""Channels: what a micrograph holds side by side, such as HAADF, O and Fe, and where each is.

In the sheet a row names one file of all channels, `image`, or one of each, `image.HAADF`, `image.O`
... In the files of the workflow a micrograph is as many pages as it has channels, one after the
other. In tables what has no channel in its column's name is the first channel's: `dtype` and
`dtype.O`, and so is a row's file: `image` and `image.O`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tessera.problems import Problem

IMAGE = "image"
MARK = "."


def of_channel(column: str, channel: str) -> str:
    """The column of a channel.

    Examples
    --------
    >>> of_channel("image", "O")
    'image.O'
    """
    return f"{column}{MARK}{channel}"


def split_column(column: str) -> tuple[str, str]:
    """What a column says, and of which channel; empty where it names none.

    Examples
    --------
    >>> split_column("image.O"), split_column("image")
    (('image', 'O'), ('image', ''))
    """
    kind, _, channel = column.partition(MARK)
    return kind, channel


def key_of(column: str) -> str:
    """The column that holds the keys, in their containers, of the files in another.

    Examples
    --------
    >>> key_of("mask"), key_of("image.O")
    ('mask_key', 'image_key.O')
    """
    kind, mark, channel = column.partition(MARK)
    return f"{kind}_key{mark}{channel}"


def name_of(column: str) -> str:
    """The column of ancestries that holds the names of the files in another.

    Examples
    --------
    >>> name_of("mask"), name_of("image.O")
    ('file', 'file.O')
    """
    _, mark, channel = column.partition(MARK)
    return f"file{mark}{channel}"


def image_columns(columns: Iterable[str]) -> list[str]:
    """Those that name micrographs' files."""
    return [column for column in columns if split_column(column)[0] == IMAGE]


def with_first(cells: pd.DataFrame, channels: Sequence[str] | None) -> pd.DataFrame:
    """The cells of a sheet, in which the first channel's file is the image, as in all tables.

    In the order of the config: that of the sheet's columns decides nothing.
    """
    if not channels:
        return cells
    first, *others = (of_channel(IMAGE, channel) for channel in channels)
    if first in cells:
        images = zip(cells[IMAGE].tolist(), cells[first].tolist(), strict=True)
        cells = cells.assign(**{IMAGE: [whole or one for whole, one in images]})
    others = [column for column in others if column in cells]
    left = [column for column in cells if column not in (first, *others)]
    return cells[[*left, *others]]


def n_pages(channels: Sequence[str] | None) -> int:
    """Pages of a micrograph."""
    return len(channels) if channels else 1


def pages_of(micrographs: Iterable[int], n_channels: int) -> list[int]:
    """The pages of micrographs, which are told by their place in the shard.

    Examples
    --------
    >>> pages_of([0, 2], 3)
    [0, 1, 2, 6, 7, 8]
    """
    return [of * n_channels + channel for of in micrographs for channel in range(n_channels)]


def stacked(pages: Sequence[np.ndarray], n_channels: int) -> Sequence[np.ndarray | Planes]:
    """The pages of micrographs, each micrograph as one: as it is where it has one channel."""
    if n_channels == 1:
        return pages
    firsts = range(0, len(pages), n_channels)
    return [Planes(pages[first : first + n_channels]) for first in firsts]


def bad_cells(cells: pd.DataFrame, sheet: str, channels: Sequence[str] | None) -> Iterator[Problem]:
    """Rows that do not name one file of all channels, or one of each.

    Parameters
    ----------
    cells : DataFrame of str
        The sheet; empty cells are empty strings.
    sheet : str
        Path, for errors.
    channels : sequence of str, optional
        As the config declares them.
    """
    wanted = [of_channel(IMAGE, channel) for channel in channels or ()]
    declared = f"channels: [{', '.join(channels)}]" if channels else "no channels"
    for column in image_columns(cells):
        if column not in (IMAGE, *wanted):
            what = f"the column {column} is of no channel: the config declares {declared}"
            yield Problem("sheet", sheet, what)
    if not channels:
        return
    of_each = [
        cells[column].tolist() if column in cells else [""] * len(cells) for column in wanted
    ]
    rows = zip(cells["micrograph"], cells[IMAGE], zip(*of_each, strict=True), strict=True)
    for micrograph, whole, each in rows:
        lacking = [column for column, cell in zip(wanted, each, strict=True) if not cell]
        if whole and len(lacking) < len(wanted):
            what = "names a file of all channels (image) and files of single ones; leave one out"
            yield Problem(micrograph, sheet, what)
        elif not whole and len(lacking) == len(wanted):
            what = f"names no file: neither image, nor {', '.join(wanted)}"
            yield Problem(micrograph, sheet, what)
        elif not whole and lacking:
            yield Problem(micrograph, sheet, f"names no file of {', '.join(lacking)}")


def named(channels: Sequence[str] | None) -> list[str]:
    """What tables call each channel of a micrograph: the first has no name.

    Examples
    --------
    >>> named(["HAADF", "O"]), named(None)
    (['', 'O'], [''])
    """
    return ["", *(channels or ())[1:]]


def in_columns(record: Mapping[str, Any], channel: str) -> dict[str, Any]:
    """What is known of a channel, in columns of its own.

    Examples
    --------
    >>> in_columns({"dtype": "uint8"}, "O"), in_columns({"dtype": "uint8"}, "")
    ({'dtype.O': 'uint8'}, {'dtype': 'uint8'})
    """
    if not channel:
        return dict(record)
    return {of_channel(key, channel): value for key, value in record.items()}


class Planes:
    """Pages of one shape as one array of (channels, rows, columns), of which windows are read.

    Parameters
    ----------
    pages : sequence of (rows, columns) arrays
        Anything that slices like an array, such as a memory map.

    Examples
    --------
    >>> Planes([np.zeros((4, 6)), np.ones((4, 6))])[..., 1:3, 2:6].shape
    (2, 2, 4)
    """

    def __init__(self, pages: Sequence[np.ndarray]) -> None:
        self._pages = pages
        self.shape = (len(pages), *pages[0].shape)
        self.ndim = 3

    def __getitem__(self, window: tuple[Any, ...]) -> np.ndarray:
        return np.stack([page[window] for page in self._pages])
