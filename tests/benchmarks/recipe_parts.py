"""What is tried of a recipe of training: networks, losses, batches and strengths, by name.

Nothing here is part of the workflow. What a part gains is measured by `recipe.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from tessera.batches import TileBatches
from tessera.networks import UNet
from tessera.tiles import share_names
from train import Recipe

KEPT = "as planned"
CONTEXT = 1.5
"""Side that is cut for a warped tile, in those of the tile."""


@dataclass(frozen=True)
class Part:
    """One change to the recipe.

    Parameters
    ----------
    said : mapping
        Keys of `train.Recipe` that differ from what is planned.
    rebuilt : callable of UNet
        The network that is trained in its stead.
    lossy : callable of the loss
        The loss in its stead.
    warped : bool
        Cut larger tiles, turned and scaled at random, some blurred, coarse, of another gamma.
    rare_share : float
        Of the tiles drawn, those that hold the rarest class.
    """

    said: Mapping[str, Any] = field(default_factory=dict)
    rebuilt: Callable[[UNet], nn.Module] = lambda network: network
    lossy: Callable[[nn.Module], nn.Module] = lambda loss: loss
    warped: bool = False
    rare_share: float = 0.0


# -------------------------------------------------------------------------------- the networks


class Residual(nn.Module):
    """A block of convolutions around which its input is added (He et al. 2016)."""

    def __init__(self, block: nn.Sequential) -> None:
        super().__init__()
        n_in, n_out = block[0].in_channels, block[-3].out_channels
        self.block = block[:-1]
        self.around = nn.Conv2d(n_in, n_out, 1, bias=False) if n_in != n_out else nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.block(features) + self.around(features), inplace=True)


def residual(network: UNet) -> UNet:
    """The network with every block made residual."""
    for blocks in (network.down, network.join):
        for index, block in enumerate(blocks):
            blocks[index] = Residual(block)
    return network


class Supervised(nn.Module):
    """A network that in training also gives the logits of its coarser joins (Lee et al. 2015)."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network
        n_classes, finer = network.architecture.n_classes, network.architecture.channels[-2:0:-1]
        self.heads = nn.ModuleList(nn.Conv2d(n, n_classes, 1) for n in finer)
        self._coarse: list[torch.Tensor] = []
        for join in list(network.join)[:-1]:
            join.register_forward_hook(self._keep)

    def _keep(self, join: nn.Module, _: Any, made: torch.Tensor) -> None:
        if join.training:
            self._coarse.append(made)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        finest = self.network(images)
        coarse = [head(made) for head, made in zip(self.heads, self._coarse, strict=True)]
        self._coarse.clear()
        return [finest, *reversed(coarse)]


class OfAllScales(nn.Module):
    """The loss of logits at several scales, each counted half as much as the one before."""

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, outputs: list[torch.Tensor], codes: torch.Tensor) -> torch.Tensor:
        weights = [0.5**level for level in range(len(outputs))]
        values = [
            weight
            * self.loss(logits, codes[:, 2**level // 2 :: 2**level, 2**level // 2 :: 2**level])
            for level, (weight, logits) in enumerate(zip(weights, outputs, strict=True))
        ]
        return sum(values) / sum(weights)


# --------------------------------------------------------------------------------- the batches


def warp(images: torch.Tensor, codes: torch.Tensor, side_px: int, draw: np.random.Generator):
    """Turn, scale, blur, coarsen and bend the grey values of tiles; their middle is returned.

    Each with the probabilities and ranges of nnU-Net (Isensee et al. 2021), all on the batch.
    """
    n = len(images)
    angle = draw.uniform(-math.pi, math.pi, n) * (draw.random(n) < 0.2)
    scale = np.where(draw.random(n) < 0.2, np.exp(draw.uniform(math.log(0.7), math.log(1.4), n)), 1)
    across = np.minimum(side_px / images.shape[-1] / scale, 1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * across
    matrix = torch.zeros(n, 2, 3)
    matrix[:, :, :2] = torch.from_numpy(turn.transpose(2, 0, 1))
    grid = functional.affine_grid(matrix, (n, 1, side_px, side_px), align_corners=False)
    sample = partial(
        functional.grid_sample, grid=grid, padding_mode="reflection", align_corners=False
    )
    images = sample(images, mode="bilinear")
    codes = sample(codes[:, None].float(), mode="nearest")[:, 0].to(torch.uint8)

    def some(share: float) -> torch.Tensor:
        return torch.from_numpy(draw.random((n, 1, 1, 1)) < share)

    offsets = torch.arange(-3, 4).float()
    bell = torch.exp(-(offsets**2) / 2 / draw.uniform(0.5, 1.0) ** 2)
    kernel = torch.outer(bell, bell).expand(images.shape[1], 1, 7, 7) / bell.sum() ** 2
    blurred = functional.conv2d(images, kernel, padding=3, groups=images.shape[1])
    images = torch.where(some(0.2), blurred, images)
    coarse = functional.interpolate(images, scale_factor=draw.uniform(0.5, 1.0), mode="nearest")
    coarse = functional.interpolate(coarse, size=images.shape[-2:], mode="bicubic")
    images = torch.where(some(0.25), coarse, images)
    low, high = (getattr(images, end)((1, 2, 3), keepdim=True) for end in ("amin", "amax"))
    power = torch.from_numpy(draw.uniform(0.7, 1.5, (n, 1, 1, 1))).float()
    bent = ((images - low) / (high - low + 1e-6)) ** power * (high - low) + low
    return torch.where(some(0.3), bent, images), codes


def batches_of(part: Part, plain: TileBatches, tables: list[pd.DataFrame], n_classes: int):
    """The tiles that a part draws from."""
    tiles, side_px = plain.tiles, plain.size_px
    if part.rare_share:
        shares = pd.concat(tables)[share_names(n_classes)].to_numpy()
        rare = np.flatnonzero(shares[:, shares.mean(axis=0).argmin()] > 0)
        wanted = part.rare_share / (1 - part.rare_share) * (len(tiles) - len(rare)) / len(rare)
        tiles = np.concatenate([tiles, *[tiles[rare]] * max(0, round(wanted) - 1)])
    if part.warped:
        side_px = int(CONTEXT * side_px) // 2 * 2
        sizes = np.array([mask.shape for mask in plain.masks])[tiles[:, 0]]
        tiles = tiles.copy()
        tiles[:, 1:] = np.clip(
            tiles[:, 1:] - (side_px - plain.size_px) // 2, 0, np.maximum(sizes - side_px, 0)
        )
    cut = (side_px, plain.batch, plain.seed, plain.jitter_px)
    batches = TileBatches(plain.pages, plain.masks, tiles, *cut)
    return Warped(batches, plain.size_px) if part.warped else batches


class Warped:
    """Batches of larger tiles, warped into tiles of `side_px`."""

    def __init__(self, batches: TileBatches, side_px: int) -> None:
        self.batches, self.side_px, self.rows = batches, side_px, batches.rows

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        draw = np.random.default_rng([self.batches.seed, step, 9])
        return warp(*self.batches.at(step), self.side_px, draw)


# ----------------------------------------------------------------------------------- the parts

WITHOUT = {"dihedral": True, "contrast": 0.0, "brightness": 0.0, "noise": 0.0}


def parts_of(recipe: Recipe) -> dict[str, Part]:
    """Everything that is tried, by name."""
    loss = dict.fromkeys(recipe.loss, 0.0)
    channels, batch = list(recipe.channels), recipe.batch
    return {
        KEPT: Part(),
        "twice the batch, half the steps": Part({"batch": 2 * batch}),
        "half the batch, twice the steps": Part({"batch": batch // 2}),
        "class weights, root of inverse": Part({"class_weights": "sqrt-inverse"}),
        "cross-entropy alone": Part({"loss": loss | {"cross_entropy": 1.0}}),
        "focal and Dice": Part({"loss": loss | {"focal": 1.0, "dice": 1.0}}),
        "grey values left alone": Part({"augmentation": WITHOUT}),
        "neither turned nor mirrored": Part(
            {"augmentation": recipe.augmentation | {"dihedral": False}}
        ),
        "augmentation after nnU-Net": Part(warped=True),
        "half of the tiles with the rarest": Part(rare_share=0.5),
        "deep supervision": Part(rebuilt=Supervised, lossy=OfAllScales),
        "residual blocks": Part(rebuilt=residual),
        "twice as wide": Part({"channels": [2 * n for n in channels]}),
        "one level less": Part({"channels": channels[:-1]}),
        "one level more": Part({"channels": [*channels, 2 * channels[-1]]}),
    }
