"""Planning: what the config leaves open, settled from the first cohort, each value with its reason.

`decide` is a pure function of what was surveyed, of what the config states and of the machine. What
the config states is taken as given, and all else is made to fit it. `plans` puts it on paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tessera.channels import n_pages
from tessera.pixel_sizes import AUTO, KEEP
from tessera.plans import BLOCKS, OPEN, STATED, Decision, Decisions
from tessera.surveys import Survey

# Measured on SEM micrographs of 512 px (4 folds): tiles of 192 px with five levels beat larger ones
# in smaller batches, for the same time. On a CPU batches of 8 beat those of 16 for the same time
# (docs/recipe.md); a GPU is not filled by so few.
TILE_PX = 192
LARGEST_TILE_PX = 384
SMALLEST_TILE_PX = 64
PIXELS_A_BATCH = {"cpu": 8 * TILE_PX**2, "cuda": 16 * TILE_PX**2}
USUAL_BATCH = (4, 32)  # bounds where memory is no matter
SMALLEST_BATCH = 2  # batch normalisation needs something to average over
TILES_ACROSS = 2  # of the shorter side: one tile would show an epoch the same cut again and again
STRUCTURES_A_TILE = 1.5  # a structure, and half as much again of what surrounds it
# nnU-Net stops at maps of 4 px (Isensee et al. 2021, DOI 10.1038/s41592-020-01008-z); its patches
# are whole organs, tiles of textures have nothing to say about anything so coarse.
SMALLEST_MAP_PX = 12
MOST_LEVELS = 6
FIRST_CHANNELS = {"cpu": 16, "cuda": 32}  # a GPU has arithmetic to spare
LARGEST_CHANNELS = 512
EPOCHS = 60
STEPS = {"cpu": (1600, 6000), "cuda": (800, 3000)}  # fewest and most: about as much work
BALANCED = 1.5  # ratio of the most to the least frequent class below which weights change nothing
LOSS = {"cross_entropy": 1.0, "bce": 0.0, "dice": 1.0, "focal": 0.0}
SHARE_OF_MEMORY = 0.6  # the rest is for the system, the micrographs, and for errors of the estimate
# Bytes a pixel of each feature map, forward and backward, and the process without: peak memory of
# trainings on a CPU, 3 to 6 levels, batches of 4 and 16 (32 to 51 in bf16 from 0.2 GB upwards).
BYTES_A_MAP_PIXEL = {"bf16": 50, "fp32": 70}
BASE_MB = 400


@dataclass(frozen=True)
class Surroundings:
    """What a plan has to fit, beside the micrographs.

    Parameters
    ----------
    n_folds : int
        0 where nothing is cross-validated.
    background_share : float
        Of the tiles used.
    device : {'cpu', 'cuda'}
    precision : {'fp32', 'bf16'}
    memory_mb : int
        What one training may fill.
    memory_of : str
        In words, whose memory that is.
    """

    n_folds: int
    background_share: float
    device: str
    precision: str
    memory_mb: int
    memory_of: str


def memory_mb(
    size_px: int,
    channels: Sequence[int],
    batch: int,
    precision: str = "fp32",
    fixed_mb: float = BASE_MB,
    n_inputs: int = 1,
) -> int:
    """About what a training fills: its process, and all feature maps of a batch.

    Further channels of the micrographs count as such: a few are a small part of them.
    """
    maps = sum(n * size_px**2 / 4**level for level, n in enumerate(channels))
    maps += (n_inputs - 1) * size_px**2
    return round(fixed_mb + batch * maps * BYTES_A_MAP_PIXEL[precision] / 1e6)


def decide(survey: Survey, stated: Mapping[str, Any], around: Surroundings) -> Decisions:
    """Settle every open value; what is stated comes back as it is.

    Parameters
    ----------
    survey : Survey
        What the first cohort holds.
    stated : mapping
        The keys of `OPEN`, `AUTO` where they are open; `size_nm` where it is stated; `inputs`, the
        channels of a micrograph, where it has several.
    around : Surroundings

    Raises
    ------
    ValueError
        If `size_nm` is stated, and nothing says how many pixels that is.
    """
    given = {key: value for key, value in stated.items() if value != AUTO}
    found = {key: Decision(value, STATED) for key, value in given.items()}
    found.setdefault("pixel_size_nm", _pixel_size(survey))
    size, channels = _size_and_channels(survey, given, around)
    found = {"size_px": size, "channels": channels} | found
    _fit(found, given, survey, around)
    side = found["size_px"].value
    found.setdefault("stride_px", Decision(max(1, side // 2), "Half a tile: neighbours overlap."))
    stride = found["stride_px"].value
    why = "Half the distance between tiles: every cut in between comes up."
    found.setdefault("jitter_px", Decision(stride // 2, why))
    found.setdefault("epochs", _epochs(survey, found, around))
    found.setdefault("loss", Decision(dict(LOSS), _why_loss(survey)))
    found.setdefault("class_weights", _class_weights(survey, found["loss"].value))
    return {key: found[key] for block in BLOCKS for key in OPEN[block]}


def _size_and_channels(survey, given, around) -> tuple[Decision, Decision]:
    """Side of a tile and width of each level, before memory is looked at."""
    wanted, why = _stated_size(survey, given) or _wanted_size(survey)
    wanted = given.get("size_px", wanted)
    if "channels" in given:
        stride = 2 ** (len(given["channels"]) - 1)
    else:
        levels = 1 + max(1, min(MOST_LEVELS - 1, int(math.log2(max(1, wanted / SMALLEST_MAP_PX)))))
        while given.get("size_px", 0) % 2 ** (levels - 1):
            levels -= 1
        stride = 2 ** (levels - 1)
    side = max(
        stride, round(wanted / stride) * stride if "size_nm" in given else wanted - wanted % stride
    )
    size = Decision(side, f"{why} In multiples of the network's stride, {stride}.")
    first = FIRST_CHANNELS[around.device]
    channels = [
        min(LARGEST_CHANNELS, first * 2**level) for level in range(int(math.log2(stride)) + 1)
    ]
    coarsest = side // stride
    reason = (
        f"{len(channels)} levels: the coarsest map of a tile is {coarsest} px wide, and must be "
    )
    reason += f"{SMALLEST_MAP_PX} or more (up to {MOST_LEVELS} levels). From {first} upwards on "
    reason += "a GPU." if around.device == "cuda" else "a CPU."
    return size, Decision(channels, reason)


def _pixel_size(survey: Survey) -> Decision:
    if survey.pixel_size_nm is None:
        return Decision(KEEP, "No pixel size is known: nothing is resampled.")
    smallest, largest = survey.pixel_sizes_nm
    why = f"The median; micrographs of other pixel sizes ({smallest:g} to {largest:g} nm here) are "
    why += "resampled to it, those within 1 % are not."
    return Decision(survey.pixel_size_nm, why)


def _stated_size(survey: Survey, given: Mapping[str, Any]) -> tuple[int, str] | None:
    """The side of a tile that is stated in nm; ValueError if no pixel size is common."""
    if "size_nm" not in given:
        return None
    size_nm, pixel_nm = given["size_nm"], survey.grid_nm
    if pixel_nm is None:
        raise ValueError(f"tile.size_nm: {size_nm:g} nm is no number of pixels: {_no_size(survey)}")
    return round(size_nm / pixel_nm), f"tile.size_nm, {size_nm:g}, in pixels of {pixel_nm:g} nm."


def _no_size(survey: Survey) -> str:
    if survey.pixel_sizes_nm is None:
        return "no pixel size is known; say them in the sheet (pixel_size_nm)"
    smallest, largest = survey.pixel_sizes_nm
    why = f"pixel sizes are {smallest:g} to {largest:g} nm, or unknown, and are kept; "
    return why + "give them a common one (normalise: pixel_size_nm)"


def _wanted_size(survey: Survey) -> tuple[int, str]:
    side, structure = survey.short_side_px, survey.structure_px
    wanted, why = TILE_PX, f"{TILE_PX} px: many small tiles teach more than a few large ones."
    if structure and STRUCTURES_A_TILE * structure > wanted:
        wanted = min(LARGEST_TILE_PX, round(STRUCTURES_A_TILE * structure))
        why = f"{STRUCTURES_A_TILE} times the typical connected structure, as large in area "
        why += f"as a disc of {structure:.0f} px (at most {LARGEST_TILE_PX} px)."
    fits = max(min(SMALLEST_TILE_PX, side), side // TILES_ACROSS)
    if fits < wanted:
        wanted = fits
        why = f"The shorter side of a micrograph, {side} px, holds {TILES_ACROSS} tiles "
        why += f"(of {SMALLEST_TILE_PX} px or more)."
    return wanted, why


def _fit(found: Decisions, given: Mapping[str, Any], survey: Survey, around: Surroundings) -> None:
    """Settle the batch, and give way to memory: first the batch, then the tile."""
    room = round(SHARE_OF_MEMORY * around.memory_mb)
    channels = found["channels"].value
    size = found["size_px"].value
    n_inputs = n_pages(given.get("inputs"))

    def needed(size, batch):
        return memory_mb(size, channels, batch, around.precision, n_inputs=n_inputs)

    pixels = PIXELS_A_BATCH[around.device]
    least, largest = USUAL_BATCH
    wanted = max(least, min(largest, round(pixels / size**2)))
    batch, why = given.get("batch", wanted), ""
    if "batch" not in given:
        while batch > SMALLEST_BATCH and needed(size, batch) > room:
            batch = max(SMALLEST_BATCH, batch // 2)
        why = f"About {pixels / 1e6:.2g} megapixels a step."
    stride = 2 ** (len(channels) - 1)
    if not {"size_px", "size_nm"} & given.keys():
        smaller = size
        while smaller > max(stride, SMALLEST_TILE_PX) and needed(smaller, batch) > room:
            smaller -= stride
        if smaller < size:
            reason = f"What fits into memory; without that limit {size}. {found['size_px'].reason}"
            found["size_px"] = Decision(smaller, reason)
            size = smaller
    if "batch" not in given:
        if batch < wanted:
            why = f"What fits into memory; without that limit {wanted}."
        why += f" Fills about {needed(size, batch)} of {room} MB: {SHARE_OF_MEMORY:.0%} of "
        why += f"{around.memory_of}."
        found["batch"] = Decision(batch, why)


def _epochs(survey: Survey, found: Decisions, around: Surroundings) -> Decision:
    """As many passes as make a number of steps between the bounds."""
    size, stride, batch = (found[key].value for key in ("size_px", "stride_px", "batch"))
    tiles = survey.tiles_used(size, stride, around.background_share)
    if around.n_folds > 1:
        tiles *= 1 - 1 / around.n_folds
    tiles = max(1.0, tiles)
    fewest, most = STEPS[around.device]
    steps = min(most, max(fewest, EPOCHS * tiles / batch))
    epochs = _two_digits(steps * batch / tiles)
    planned = math.ceil(epochs * tiles / batch)
    usual = EPOCHS * tiles / batch
    why = f"About {planned} steps a fold, of about {tiles:.0f} tiles: "
    if usual < fewest:
        why += f"{EPOCHS} passes would be fewer than {fewest} steps."
    elif usual > most:
        why += f"{EPOCHS} passes would be more than {most} steps."
    else:
        why += f"{EPOCHS} passes, which makes {fewest} to {most} steps."
    why += " Passes stay as data grow, so steps grow with them."
    return Decision(epochs, why)


def _two_digits(value: float) -> int | float:
    """A number rounded to two digits, whole from 10 upwards.

    Examples
    --------
    >>> _two_digits(123.4), _two_digits(60.2), _two_digits(1.26), _two_digits(0.0314)
    (120, 60, 1.3, 0.031)
    """
    rounded = float(f"{value:.1e}")
    return int(rounded) if rounded >= 10 else rounded


def _why_loss(survey: Survey) -> str:
    rare = min(survey.classes, key=lambda found: found.share)
    return (
        "Cross-entropy judges each pixel, Dice each class as a whole, however rare: the rarest "
        f"here, {rare.name}, has {rare.share:.2%} of the pixels."
    )


def _class_weights(survey: Survey, loss: Mapping[str, float]) -> Decision:
    if loss.get("dice"):
        why = "Dice counts each class as a whole; weights beside it make rare ones too large."
        return Decision("none", why)
    shares = [found.share for found in survey.classes]
    most, least = max(shares), min(shares)
    if least > 0 and most / least < BALANCED:
        why = f"All classes are about as frequent: {least:.0%} to {most:.0%}."
        return Decision("none", why)
    why = f"Shares range from {least:.2%} to {most:.2%}; their inverse would let the rarest rule."
    return Decision("sqrt-inverse", why)
