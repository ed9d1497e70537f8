"""Augmentation of a batch: the eight symmetries of the square, contrast, brightness, noise.

The channels of a micrograph move together; contrast, brightness and noise are each one's own.

Every number is drawn on the CPU from a generator that the caller makes for the sample, so what it
looks like is a function of the seed, the step and its row, whatever device and company it is in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

import torch

from tessera.batches import TileBatches, on_device, sample_generators


@dataclass(frozen=True)
class Augmentation:
    """How far augmentation may go; a micrograph has no preferred handedness or grey scale.

    Parameters
    ----------
    dihedral : bool
        Turn and mirror each sample by one of the eight symmetries of the square.
    contrast : float
        Half-range of the factor on grey values: 0.2 means 0.8 to 1.2.
    brightness : float
        Half-range of the offset, in standard deviations of the micrograph.
    noise : float
        Largest standard deviation of added Gaussian noise, in those of the micrograph.

    Raises
    ------
    ValueError
        If a strength is negative, or the contrast reaches 1 (the factor would reach 0).
    """

    dihedral: bool
    contrast: float
    brightness: float
    noise: float

    def __post_init__(self) -> None:
        if min(astuple(self)) < 0 or self.contrast >= 1:
            raise ValueError(f"{self}: strengths are >= 0, and contrast is below 1")


def augment(
    images: torch.Tensor,
    codes: torch.Tensor,
    generators: Sequence[torch.Generator],
    settings: Augmentation,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an augmented copy of a batch.

    Parameters
    ----------
    images : Tensor, shape (n, inputs, h, w)
        Normalised grey values: mean 0 and standard deviation 1 over the micrograph. Contrast
        therefore turns about 0, the mean of the micrograph and not of the tile.
    codes : Tensor, shape (n, h, w)
        Class codes; they move with the pixels and are otherwise left alone.
    generators : sequence of torch.Generator
        On the CPU, one a sample, made for it and this step.
    settings : Augmentation

    Raises
    ------
    ValueError
        If `dihedral` is asked for and tiles are not square.
    """
    # All are drawn whether used or not, so that switching one off leaves the others as they are.
    n_inputs = images.shape[1]
    numbers = 3 + 3 * n_inputs
    drawn = torch.stack([torch.rand(numbers, generator=generator) for generator in generators], 1)
    moves = drawn[:3] < 0.5
    contrast, brightness, noise = drawn[3:].view(3, n_inputs, -1).mT[..., None, None]
    if settings.dihedral:
        images, codes = dihedral(images, moves), dihedral(codes, moves)
    factor = 1 + settings.contrast * (2 * contrast - 1)
    offset = settings.brightness * (2 * brightness - 1)
    images = images * factor.to(images) + offset.to(images)
    if settings.noise:
        grain = torch.empty(images.shape)
        for sample, generator in zip(grain, generators, strict=True):
            sample.normal_(generator=generator)
        images = images.add_(grain.mul_(settings.noise * noise).to(images))
    return images, codes


def augmented(
    batches: TileBatches, seed: int, settings: Augmentation, device: str
) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    """Return what makes the augmented batch of a step, on the device, from seed and step alone."""

    def prepare(step: int, images: torch.Tensor, codes: torch.Tensor):
        return augment(images, codes, sample_generators(seed, step, batches.rows), settings)

    return on_device(batches.at, prepare, device)


def dihedral(pixels: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """Apply a symmetry of the square to each sample.

    Parameters
    ----------
    pixels : Tensor, shape (n, ..., side, side)
    moves : Tensor of bool, shape (3, n)
        Per sample: mirror rows, then mirror columns, then transpose. The eight combinations
        are the eight symmetries.

    Raises
    ------
    ValueError
        If the last two axes differ in length.
    """
    if pixels.shape[-1] != pixels.shape[-2]:
        raise ValueError(f"dihedral: tiles of {tuple(pixels.shape[-2:])} px are not square")
    shape = (-1, *[1] * (pixels.ndim - 1))
    rows, columns, transposed = (move.to(pixels.device).view(shape) for move in moves)
    pixels = torch.where(rows, pixels.flip(-2), pixels)
    pixels = torch.where(columns, pixels.flip(-1), pixels)
    return torch.where(transposed, pixels.mT, pixels)
