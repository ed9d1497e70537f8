"""What is cut off a picture at its sides, so that a micrograph is left.

A crop is known in pixels, or found: a data bar at the bottom, from what the file states of the rows
that were scanned, or else by the rows themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from tessera.data_bars import bar_px
from tessera.problems import UnreadableFile
from tessera.strips import LazyPage, Page

AUTO = "auto"
SIDES = ("top", "bottom", "left", "right")
COLUMNS = tuple(f"crop_{side}_px" for side in SIDES)
"""Of a table of micrographs, what was cut off each."""


@dataclass(frozen=True)
class Crop:
    """Pixels that are cut off each side of a picture.

    Examples
    --------
    >>> crop = Crop(bottom=60)
    >>> crop.of(np.zeros((460, 640))).shape, crop.whole((400, 640)), bool(crop), bool(Crop())
    ((400, 640), (460, 640), True, False)
    """

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return self != NO_CROP

    def whole(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Shape of the picture that one of a shape was cut from."""
        return shape[0] + self.top + self.bottom, shape[1] + self.left + self.right

    def of(self, page: Page) -> Page:
        """What is left of a page, its rows read as they are asked for where the page's are.

        Raises
        ------
        UnreadableFile
            If nothing is left.
        """
        if not self:
            return page
        rows, columns = page.shape[:2]
        height, width = rows - self.top - self.bottom, columns - self.left - self.right
        if min(height, width) < 1:
            cut = "".join(cut_off(self))
            raise UnreadableFile(f"nothing of its {rows} x {columns} px is left ({cut})")
        across = slice(self.left, self.left + width)
        if isinstance(page, np.ndarray):
            return page[self.top : self.top + height, across]
        shape = (height, width, *page.shape[2:])
        return LazyPage(
            shape,
            page.dtype,
            lambda first, end: np.asarray(page[self.top + first : self.top + end, across]),
        )


NO_CROP = Crop()


def cut_off(crop: Crop) -> Iterator[str]:
    """What was cut off, in words.

    Examples
    --------
    >>> list(cut_off(Crop(bottom=60, left=4)))
    ['cut off: bottom 60 px, left 4 px']
    """
    if crop:
        yield "cut off: " + ", ".join(f"{side} {px} px" for side, px in asdict(crop).items() if px)


def crop_of(page: Page, setting: str | Mapping[str, int] | None, scanned_rows: int = 0) -> Crop:
    """What is to be cut off a picture.

    Parameters
    ----------
    page : page
    setting : None, `auto`, or mapping
        Nothing; a data bar at the bottom if there is one; pixels by side.
    scanned_rows : int
        Height of what was scanned, as far as the file states it; 0 where it does not.
    """
    if setting is None:
        return NO_CROP
    if setting == AUTO:
        return Crop(bottom=page.shape[0] - scanned_rows if scanned_rows else bar_px(page))
    return Crop(**setting)
