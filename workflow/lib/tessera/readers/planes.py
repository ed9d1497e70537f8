"""Channels of one file, each as a picture by itself.

They are pages, frames, samples of a pixel, or several pictures. Where the file names them they are
told by their names; where it does not they are in the order of the config, and as many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from tessera.frames import NO_FRAME, WHOLE
from tessera.readers.recordings import Recording, UnreadableFile
from tessera.strips import Page, mapped

Read = Callable[[str, int], Recording]


def channels_of(read: Read, key: str, frame: int, channels: Sequence[str]) -> list[Recording]:
    """The channels of a micrograph in one file, in the order in which they are asked for.

    Parameters
    ----------
    read : callable
        Of key and frame: reads the file.
    key, frame
        As for `read_micrograph`.
    channels : sequence of str

    Returns
    -------
    list of Recording
        Of (rows, columns) pixels; of a single channel, what the file holds.

    Raises
    ------
    UnreadableFile
        If the file holds other channels, or another number of them, or if rows and columns cannot
        be told from channels.
    """
    whole = read(key, WHOLE if frame == NO_FRAME else frame)
    names, n_channels = whole.channels, len(channels)
    places = [_place(names, channel, channels) for channel in channels] if names else None
    if not whole.axes:
        return [read(names[place], frame) for place in places]
    if n_channels == 1 and (places is None or whole.pixels.ndim == 2):
        return [read(key, frame)]
    axis = _axis(whole.pixels, len(names) or n_channels, channels)
    places = places or range(n_channels)
    if axis == 0 and frame == NO_FRAME:
        return [read(key, place) for place in places]
    return [replace(whole, pixels=_plane(whole.pixels, axis, place), axes="YX") for place in places]


def _place(names: Sequence[str], channel: str, channels: Sequence[str]) -> int:
    if names.count(channel) != 1:
        times = "twice" if channel in names else "by no such name"
        raise UnreadableFile(
            f"its channels are called {', '.join(names)}: {channel} is there {times}; call them so"
            f" in the config, or name a file of each (image.{channels[0]} ...)"
        )
    return names.index(channel)


def _axis(pixels: Page, n_channels: int, channels: Sequence[str]) -> int:
    """Which axis is that of so many channels."""
    shape = tuple(pixels.shape)
    if len(shape) == 2:
        raise UnreadableFile(f"is one grey picture, not the channels {', '.join(channels)}")
    axes = [axis for axis in (0, 2) if len(shape) == 3 and shape[axis] == n_channels]
    if len(axes) == 1:
        return axes[0]
    what = "could be so in two ways" if axes else "is something else"
    raise UnreadableFile(
        f"shape {shape} {what}: the config has {_counted(channels)}, before or behind rows and"
        " columns"
    )


def _counted(channels: Iterable[str]) -> str:
    names = list(channels)
    return f"{len(names)} channels ({', '.join(names)})"


def _plane(pixels: Page, axis: int, place: int) -> Page:
    if axis == 0:
        return np.asarray(pixels[place])
    return mapped(pixels, lambda strip: strip[..., place], pixels.shape[:2], pixels.dtype)
