"""What is cut off a picture at its sides, so that a micrograph is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from tessera.problems import UnreadableFile
from tessera.strips import LazyPage, Page

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
