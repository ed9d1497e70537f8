"""The symmetries of the square: mirror images of a window, and those turned by a right angle.

Their mean prediction is seam-free like a single one: a micrograph extended to the stride stays on
the stride however it is turned, so each symmetry maps the windows of the micrograph to windows of
its image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

COUNTS = (1, 4, 8)
ROWS, COLUMNS = -2, -1


@dataclass(frozen=True)
class Symmetry:
    """Mirrored along `axes`, then, if `transposed`, rows and columns exchanged."""

    axes: tuple[int, ...]
    transposed: bool

    def of(self, images: torch.Tensor) -> torch.Tensor:
        """Return images (..., rows, columns) so changed."""
        images = images.flip(self.axes) if self.axes else images
        return images.transpose(ROWS, COLUMNS) if self.transposed else images

    def of_spans(self, spans: tuple[slice, slice], shape: tuple[int, int]) -> tuple[slice, slice]:
        """Return where rows and columns of an image of `shape` are after `of`.

        Examples
        --------
        >>> turned = Symmetry(axes=(ROWS,), transposed=True)
        >>> turned.of_spans((slice(1, 3), slice(0, 4)), (8, 5))
        (slice(0, 4, None), slice(5, 7, None))
        """
        rows, columns = (
            slice(size - span.stop, size - span.start) if axis in self.axes else span
            for axis, span, size in zip((ROWS, COLUMNS), spans, shape, strict=True)
        )
        return (columns, rows) if self.transposed else (rows, columns)

    def undone(self, images: torch.Tensor) -> torch.Tensor:
        """Return what `of` was given.

        Examples
        --------
        >>> images = torch.arange(6.0).view(1, 1, 2, 3)
        >>> all(torch.equal(s.undone(s.of(images)), images) for s in symmetries(8))
        True
        """
        images = images.transpose(ROWS, COLUMNS) if self.transposed else images
        return images.flip(self.axes) if self.axes else images


def symmetries(count: int) -> tuple[Symmetry, ...]:
    """Return 1 (as it is), 4 (its mirror images) or all 8 symmetries; ValueError for others."""
    if count not in COUNTS:
        raise ValueError(f"symmetries: {count} is none of {COUNTS}")
    axes = ((), (ROWS,), (COLUMNS,), (ROWS, COLUMNS))
    return tuple(Symmetry(along, turned) for turned in (False, True) for along in axes)[:count]
