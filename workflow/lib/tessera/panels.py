"""Small pictures of micrographs and masks, for pages that people look at.

A micrograph becomes a grey JPEG; what lies over it, classes, errors or entropy, becomes a PNG of
few colours with a transparent background. The page lays one over the other, so that a micrograph
is embedded once however many overlays it has. All pictures of a micrograph lie on the same grid.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from tessera.classes import IGNORE, palette
from tessera.reduction import area_mean
from tessera.strips import Page, rows_at

CONTRAST_PERCENTILES = (0.5, 99.5)
JPEG_QUALITY = 80
HATCH_PX = 4

CORRECT, FALSE_POSITIVE, FALSE_NEGATIVE, CONFUSED, IGNORED = range(5)
"""Codes of `error_codes`."""

ERROR_COLOURS = np.array(
    [[0, 0, 0, 0], [213, 94, 0, 255], [0, 114, 178, 255], [240, 228, 66, 255]], np.uint8
)
"""RGBA of the first four codes: vermilion, blue and yellow of Okabe and Ito, 2008. Of the sets of
three tried they differ most, from each other and from grey, in simulated protanopia, deuteranopia
and tritanopia (Machado and others, 2009)."""

OUTLINE, OUTLINE_PX, GAP_PX = ERROR_COLOURS[1, :3], 2, 12
"""Colour and width of an outline, and what is between two micrographs side by side."""

HATCH_COLOURS = np.array([[20, 20, 20, 255], [150, 150, 150, 255]], np.uint8)
"""RGBA of the two stripes that cover ignored pixels."""

HEAT = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], float)
"""RGB from entropy 0 to 1: five colours of matplotlib's inferno, between them a straight line."""

HEAT_LEVELS = 32


def panel_shape(shape: tuple[int, int], longest_px: int) -> tuple[int, int]:
    """(rows, columns) of a picture whose longer side has `longest_px`, or fewer if there are fewer.

    Examples
    --------
    >>> panel_shape((1000, 500), 400), panel_shape((30, 20), 400)
    ((400, 200), (30, 20))
    """
    scale = min(1.0, longest_px / max(shape))
    rows, columns = (max(1, round(side * scale)) for side in shape)
    return rows, columns


def nearest(codes: Page, shape: tuple[int, int]) -> np.ndarray:
    """A mask made smaller: of the area that a pixel covers, the code in its middle.

    Examples
    --------
    >>> nearest(np.array([[1, 2, 3, 4]]), (1, 2)).tolist()
    [[2, 4]]
    """
    rows, columns = (
        ((np.arange(wanted) + 0.5) * side / wanted).astype(int)
        for side, wanted in zip(codes.shape, shape, strict=True)
    )
    return rows_at(codes, rows)[:, columns]


def grey(page: np.ndarray) -> np.ndarray:
    """uint8 levels of a page, 0 and 255 at its `CONTRAST_PERCENTILES`; a flat page is black."""
    low, high = np.percentile(page, CONTRAST_PERCENTILES)
    span = high - low if high > low else 1.0
    return np.rint(np.clip((page - low) / span, 0, 1) * 255).astype(np.uint8)


def error_codes(mask_true: np.ndarray, mask_pred: np.ndarray) -> np.ndarray:
    """What is right and what is wrong about each pixel, seen from the classes but the background.

    Parameters
    ----------
    mask_true, mask_pred : (rows, columns) uint8 arrays
        Class codes; `mask_true` may hold `IGNORE`.

    Returns
    -------
    (rows, columns) uint8 array
        `CORRECT`; `FALSE_POSITIVE`, a class on true background; `FALSE_NEGATIVE`, background on a
        true class; `CONFUSED`, one class for another; `IGNORED`.
    """
    wrong = mask_true != mask_pred
    codes = np.full(mask_true.shape, CORRECT, np.uint8)
    codes[wrong & (mask_true == 0)] = FALSE_POSITIVE
    codes[wrong & (mask_pred == 0)] = FALSE_NEGATIVE
    codes[wrong & (mask_true != 0) & (mask_pred != 0)] = CONFUSED
    codes[mask_true == IGNORE] = IGNORED
    return codes


def class_colours(n_classes: int) -> np.ndarray:
    """(n_classes, 4) uint8 RGBA of the class codes; the background is transparent."""
    opaque = np.full((n_classes, 1), 255, np.uint8)
    opaque[0] = 0
    return np.hstack([palette(n_classes), opaque])


def labelled_panels(
    page: Page, mask_true: Page, mask_pred: Page, n_classes: int, longest_px: int
) -> dict[str, str]:
    """Data URIs of a micrograph and of what lies over it: annotation, prediction and errors."""
    shape = panel_shape(page.shape, longest_px)
    true, pred = nearest(mask_true, shape), nearest(mask_pred, shape)
    colours = class_colours(n_classes)
    return {
        "micrograph": jpeg_uri(grey(area_mean(page, shape))),
        "annotation": _overlay_uri(true, colours, true == IGNORE),
        "prediction": _overlay_uri(pred, colours, np.zeros(shape, bool)),
        "errors": _overlay_uri(error_codes(true, pred), ERROR_COLOURS, true == IGNORE),
    }


def unlabelled_panels(
    page: Page, mask_pred: Page, entropy: Page, n_classes: int, longest_px: int
) -> dict[str, str]:
    """Data URIs of a micrograph and of what lies over it: prediction and entropy, 0 to 1."""
    shape = panel_shape(page.shape, longest_px)
    levels = np.rint(np.clip(area_mean(entropy, shape), 0, 1) * (HEAT_LEVELS - 1))
    pred = nearest(mask_pred, shape)
    return {
        "micrograph": jpeg_uri(grey(area_mean(page, shape))),
        "prediction": _overlay_uri(pred, class_colours(n_classes), np.zeros(shape, bool)),
        "entropy": png_uri(levels.astype(np.uint8), heat_colours()),
    }


def side_by_side(
    pages: Sequence[np.ndarray],
    boxes: Sequence[tuple[float, float, float, float]],
    longest_px: int,
) -> np.ndarray:
    """Micrographs beside each other, a part of each outlined.

    Parameters
    ----------
    pages : sequence of (rows, columns) arrays
    boxes : sequence of (top, bottom, left, right)
        The parts, in shares of the sides.
    longest_px : int
        Longer side of each.

    Returns
    -------
    (rows, columns, 3) uint8 array
    """
    shown = []
    for page, box in zip(pages, boxes, strict=True):
        shape = panel_shape(page.shape, longest_px)
        picture = np.repeat(grey(area_mean(page, shape))[:, :, None], 3, axis=2)
        ends = [round(end * side) for end, side in zip(box, np.repeat(shape, 2), strict=True)]
        inside = np.zeros(shape, bool)
        inside[ends[0] : ends[1], ends[2] : ends[3]] = True
        inner = binary_erosion(inside, iterations=OUTLINE_PX)
        picture[inside & ~inner] = OUTLINE
        shown.append(picture)
    tallest = max(len(picture) for picture in shown)
    fill = {"mode": "constant", "constant_values": 255}
    padded = [
        np.pad(picture, ((0, tallest - len(picture)), (0, GAP_PX), (0, 0)), **fill)
        for picture in shown
    ]
    return np.concatenate(padded, axis=1)[:, :-GAP_PX]


def heat_colours() -> np.ndarray:
    """(HEAT_LEVELS, 4) uint8 RGBA from entropy 0 to 1."""
    at = np.linspace(0, len(HEAT) - 1, HEAT_LEVELS)
    rgb = [np.interp(at, np.arange(len(HEAT)), HEAT[:, channel]) for channel in range(3)]
    return np.rint(np.column_stack([*rgb, np.full(HEAT_LEVELS, 255)])).astype(np.uint8)


def _overlay_uri(codes: np.ndarray, colours: np.ndarray, hatched: np.ndarray) -> str:
    """Codes in their colours, and stripes over what is hatched."""
    row, column = np.indices(codes.shape)
    stripes = len(colours) + (row + column) // HATCH_PX % 2
    return png_uri(
        np.where(hatched, stripes, codes).astype(np.uint8), np.vstack([colours, HATCH_COLOURS])
    )


def png_uri(codes: np.ndarray, colours: np.ndarray) -> str:
    """Data URI of (rows, columns) codes, drawn as a PNG in (n, 4) uint8 RGBA colours."""
    picture = Image.fromarray(codes, mode="P")
    picture.putpalette(colours[:, :3].tobytes())
    # Run lengths are sought 30 times faster than all matches, and masks come out as small.
    packed = {"compress_level": 9, "compress_type": zlib.Z_RLE}
    return _uri(picture, "png", transparency=colours[:, 3].tobytes(), **packed)


def jpeg_uri(levels: np.ndarray) -> str:
    """Data URI of (rows, columns) uint8 grey levels, as a JPEG."""
    return _uri(Image.fromarray(levels), "jpeg", quality=JPEG_QUALITY, optimize=True)


def _uri(picture: Image.Image, kind: str, **settings) -> str:
    file = BytesIO()
    picture.save(file, kind, **settings)
    return f"data:image/{kind};base64,{b64encode(file.getvalue()).decode()}"
