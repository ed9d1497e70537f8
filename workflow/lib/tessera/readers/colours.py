"""Grey levels from pixels that were stored as colours, or with 0 for white."""

from __future__ import annotations

from tessera.readers.recordings import UnreadableFile
from tessera.strips import Page, mapped, strips


def grey(pixels: Page) -> Page:
    """Pixels without alpha, and without the copies of grey stored as red, green and blue.

    Raises
    ------
    UnreadableFile
        If they differ anywhere, or are no picture.
    """
    if pixels.ndim == 2:
        return pixels
    if pixels.ndim != 3 or pixels.shape[2] > 4:
        raise UnreadableFile(f"shape {pixels.shape} is not one grey micrograph")
    colours = slice(3 if pixels.shape[2] >= 3 else 1)
    differ = sum(
        int((strip[..., colours] != strip[..., :1]).any(axis=2).sum()) for strip in strips(pixels)
    )
    if differ:
        raise UnreadableFile(f"a colour image: red, green and blue differ in {differ} pixels")
    return mapped(pixels, lambda strip: strip[..., 0], pixels.shape[:2], pixels.dtype)


def brighter_up(pixels: Page, black: int | None) -> Page:
    """Pixels whose larger numbers are the brighter ones, whatever they are in the file."""
    if black is None:
        return pixels
    dtype = pixels.dtype.newbyteorder("=")
    return mapped(pixels, lambda strip: dtype.type(black) - strip, pixels.shape, dtype)
