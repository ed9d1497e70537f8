"""PNG, JPEG and BMP, by Pillow through imageio.

A PNG carries a checksum of each of its parts, and all are looked at: Pillow passes over those of
the pixels. A JPEG has none, so what its bits say is what is read, to the end of the picture.
Resolutions are for printing and say nothing of the specimen.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import imageio.v3 as imageio
import numpy as np
import PIL.Image

from tessera.frames import NO_FRAME
from tessera.readers.claims import bytes_of, check_claim, check_whole
from tessera.readers.recordings import (
    Palette,
    Recording,
    UnreadableFile,
    iso_date,
    plain,
    plain_text,
)

# `check_claim` takes the place of Pillow's own bound, which large micrographs exceed.
PIL.Image.MAX_IMAGE_PIXELS = None

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_CHANNELS = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}
"""By the colour type in the header; those of a palette are read as colours with alpha."""
EXIF_MAKE, EXIF_MODEL, EXIF_DATE = 271, 272, 306


def read(path: str, key: str, frame: int) -> Recording:
    """Read a JPEG, a BMP, or a frame of an animated picture."""
    index = max(frame, 0) if frame != NO_FRAME else 0
    with PIL.Image.open(path) as image:
        frames = getattr(image, "n_frames", 1)
        if index >= frames:
            raise UnreadableFile(f"there is no frame {index}: frames in all: {frames}")
        channels = len(image.getbands())
        check_claim(bytes_of((*image.size, channels), 4), Path(path).stat().st_size, True)
        wide = {"I": 4, "F": 4}.get(image.mode, 2 if "16" in image.mode else 1)
        check_whole(bytes_of((*image.size, channels), wide))
        said = {name: value for name, value in image.info.items() if name not in ("exif",)}
        exif = {int(tag): value for tag, value in image.getexif().items()}
        palette = _palette(image) if index == 0 else None
    pixels = imageio.imread(path, plugin="pillow", index=index)
    maker = (plain_text(exif[tag]).strip() for tag in (EXIF_MAKE, EXIF_MODEL) if tag in exif)
    return Recording(
        pixels,
        axes="YX" if pixels.ndim == 2 else "YXS",
        instrument=" ".join(maker),
        recorded=iso_date(exif.get(EXIF_DATE)),
        metadata=plain({**said, **({"exif": exif} if exif else {})}),
        palette=palette,
    )


def _palette(image: PIL.Image.Image) -> Palette | None:
    if image.mode != "P":
        return None
    numbers = np.asarray(image)
    # Files may leave out the end of a palette.
    colours = np.zeros((256, 3), np.uint8)
    stated = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    colours[: len(stated)] = stated
    return Palette(numbers, colours)


def read_png(path: str, key: str, frame: int) -> Recording:
    """Read a PNG, of 16-bit colours too, once all its checksums are right."""
    data = Path(path).read_bytes()
    header = _checked(data)
    columns, rows, bits, colour = struct.unpack(">IIBB", header[:10])
    channels = PNG_CHANNELS.get(colour, 4)
    claimed = bytes_of((rows, columns, channels), max(bits // 8, 1))
    check_claim(claimed, len(data), True)
    check_whole(claimed)
    recording = read(path, key, frame)
    # Pillow cuts 16-bit colours to 8 bits.
    if bits == 16 and frame < 1 and recording.pixels.dtype != np.uint16:
        pixels = imagecodecs.png_decode(data)
        axes = "YX" if pixels.ndim == 2 else "YXS"
        return Recording(pixels, axes=axes, metadata=recording.metadata)
    return recording


def _checked(data: bytes) -> bytes:
    """The header of a PNG whose parts are all there, and have the checksums that they should."""
    names, header = [], b""
    for name, content, checksum in _chunks(data):
        if zlib.crc32(content, zlib.crc32(name)) != checksum:
            raise UnreadableFile(f"its part {plain_text(name)} is damaged: its checksum is wrong")
        header = content if name == b"IHDR" and not names else header
        names.append(name)
    if len(header) != 13 or names[-1] != b"IEND":
        raise UnreadableFile("is no whole PNG: its end is missing")
    return header


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """Name, content and checksum of each part of a PNG, up to its end."""
    view, at = memoryview(data), len(PNG_SIGNATURE)
    if data[:at] != PNG_SIGNATURE:
        raise UnreadableFile("begins as a PNG does, but its signature is damaged")
    while at < len(data):
        length = int.from_bytes(view[at : at + 4], "big")
        name, end = bytes(view[at + 4 : at + 8]), at + 8 + length
        if end + 4 > len(data):
            raise UnreadableFile("is cut off: a part is longer than the file")
        yield name, view[at + 8 : end], int.from_bytes(view[end : end + 4], "big")
        if name == b"IEND":
            return
        at = end + 4
