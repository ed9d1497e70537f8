"""The recipe of training, part by part: what each gains on a fold, for the same number of tiles.

    python tests/benchmarks/recipe.py --sheet superalloy/micrographs.tsv \\
        --study config/studies/superalloy.yaml --steps 600 --seeds 0 1 2

Every network learns from the same tiles, cut by the workflow, and is scored on the micrographs that
the fold holds out; in batches of another size it takes so many steps that it sees as many tiles in
all. `--normalise` gives all of them other grey levels. Parts that were tried and not kept live here
and nowhere else. Rows that the table has already are not run again. A process takes one core;
several may share the work by seed.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accuracy import Comparison, append_rows, is_known, read_rows, scores, snakemake
from datasets import ROOT, examples, find_sheet, read_study, test_shards
from torch import nn
from torch.nn import functional

from predict import codes_of
from tessera.augmentation import Augmentation, augmented
from tessera.batches import TileBatches
from tessera.files import map_pages, read_table
from tessera.folding import ready
from tessera.networks import Architecture, UNet, build
from tessera.plans import Plan
from tessera.stitching import probabilities
from tessera.studies import Study
from tessera.tiles import share_names
from tessera.training import Hooks, train
from train import Recipe, Run, loss_of, prepare_process, recipe_of, settings_of, training_tiles

COLUMNS = ["dataset", "fold", "part", "seed", "steps", "mean_iou", "pooled_iou", "mean_dice", "iou"]
COLUMNS += ["seconds"]
KEY = COLUMNS[:5]
KEPT = "as planned"
GREY = {
    "z-score": {},
    "polynomial": {"flatten": {"surface": "polynomial"}},
    "gaussian": {"flatten": {"surface": "gaussian"}},
    "clahe": {"method": "clahe"},
    "none": {"method": "none"},
    "group": {"by": "group"},
}
"""What the config may say of grey levels."""
AVERAGED = "averaged weights"
DECAY = 0.99
"""Of the moving average of the weights; less in the first steps."""
CORE_PX = 512
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


def averaging(network: nn.Module, average: nn.Module) -> Callable[[int, torch.Tensor], None]:
    """A hook that lets `average` follow the weights of `network`."""

    @torch.no_grad()
    def follow(done: int, _: torch.Tensor) -> None:
        decay = min(DECAY, done / (9 + done))
        pairs = zip(average.state_dict().values(), network.state_dict().values(), strict=True)
        for mean, weight in pairs:
            if mean.dtype.is_floating_point:
                mean.lerp_(weight, 1 - decay)
            else:
                mean.copy_(weight)

    return follow


def trained(name: str, recipe: Recipe, run: Run, study: Study, work: Path, n_steps: int):
    """Networks trained for the steps, by the name of their rows; and the seconds it took."""
    part = parts_of(recipe)[name]
    n_tiles = n_steps * recipe.batch
    recipe = replace(recipe, **part.said)
    n_steps = round(n_tiles / recipe.batch)
    names = study.training_shards(run.fold)
    folders = ("normalised", "tiles", "tiles")
    suffixes = ("tif", "tif", "parquet")
    shards = [
        tuple(
            str(work / f"results/{folder}/{shard}.{suffix}")
            for folder, suffix in zip(folders, suffixes, strict=True)
        )
        for shard in names
    ]
    plain, shares = training_tiles(shards, recipe, run.seed)
    tables = [pd.read_parquet(table).query("used") for _, _, table in shards]
    batches = batches_of(part, plain, tables, len(recipe.classes))
    architecture = Architecture(recipe.network, tuple(recipe.channels), 1, len(recipe.classes))
    bare = build(architecture, run.seed)
    network = part.rebuilt(bare)
    average = copy.deepcopy(bare) if name == KEPT else None
    hooks = Hooks(on_step=averaging(bare, average)) if average else Hooks()
    start = time.monotonic()
    train(
        network,
        part.lossy(loss_of(recipe, shares)),
        augmented(batches, run.seed, Augmentation(**recipe.augmentation), "cpu"),
        n_steps,
        settings_of(recipe, run, n_steps),
        hooks=hooks,
    )
    seconds = time.monotonic() - start
    return {name: bare} | ({AVERAGED: average} if average else {}), seconds


# ------------------------------------------------------------------------------------ the table


def rows_of(name: str, recipe: Recipe, run: Run, study: Study, work: Path, steps: int) -> Iterator:
    """The rows of a part: what it predicts, and for what is kept, with symmetries as well."""
    networks, seconds = trained(name, recipe, run, study, work, steps)
    held_out = test_shards(study, run.fold)
    true = [example.mask for example in examples(study, held_out)]
    pages = []
    for shard in held_out:
        n_pages = len(read_table(work / f"results/micrographs/{shard}.tsv"))
        pages += map_pages(work / f"results/normalised/{shard}.tif", np.arange(n_pages))
    for label, network in networks.items():
        runs = ready(network.eval(), "cpu", run.precision)
        for count in (1, 4, 8) if label == KEPT else (1,):
            masks = [mask_of(runs, page, count) for page in pages]
            found = scores(list(zip(true, masks, strict=True)), list(study.config["classes"]))
            part = label if count == 1 else f"{label}, mean of {count} symmetries"
            yield {"part": part, "seed": run.seed, "steps": steps, "seconds": seconds} | found


def mask_of(network: nn.Module, page: np.ndarray, symmetries: int) -> np.ndarray:
    """The most probable class of each pixel of a page."""
    mask = np.empty(page.shape, np.uint8)
    for core, (share,) in probabilities([[network]], page, CORE_PX, symmetries):
        mask[core.rows, core.columns] = codes_of(share)
    return mask


def markdown(table: pd.DataFrame) -> str:
    """The rows as a table: mean IoU of what is kept, and what each part adds to it.

    Of every seed that has both: the mean, the least and the most, and how many seeds.
    """
    key = ["dataset", "fold", "steps"]
    seeds = [*key, "seed"]
    kept = table.loc[table["part"] == KEPT, [*seeds, "mean_iou"]]
    both = table.merge(kept, on=seeds, suffixes=("", "_kept"))
    both["gain"] = both["mean_iou"] - both["mean_iou_kept"].where(both["part"] != KEPT, 0)
    known = both.groupby([*key, "part"])["gain"].agg(["mean", "min", "max", "count"])
    studies = list(dict.fromkeys(both[key].itertuples(index=False, name=None)))
    parts = list(dict.fromkeys(both["part"]))
    heads = [f"{Path(name).parts[0]}, fold {fold}, {steps} steps" for name, fold, steps in studies]
    lines = [["part", *heads], ["---"] * (1 + len(heads))]
    for part in sorted(parts, key=lambda part: (part != KEPT, KEPT not in part, part)):
        places = [(*study, part) for study in studies]
        cells = [_cell(known.loc[place], part) if place in known.index else "" for place in places]
        lines.append([part, *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(found: pd.Series, part: str) -> str:
    sign = "" if part == KEPT else "+"
    mean, low, high = (f"{found[name]:{sign}.4f}" for name in ("mean", "min", "max"))
    return mean if found["count"] == 1 else f"{mean} ({low} to {high}, {found['count']:.0f} seeds)"


def main() -> None:
    """Run what is missing from the table, and print what each part gained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sheet", required=True, help="or a path in $TESSERA_BENCH_DATA")
    parser.add_argument("--study", type=Path, required=True, help="config of the study")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--fold", help="name; the first one by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", help="names; all by default")
    parser.add_argument("--normalise", choices=GREY, default="z-score")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "recipe.tsv")
    said = parser.parse_args()
    prepare_process(1)
    sheet, out, scratch = find_sheet(said.sheet), said.out.resolve(), ROOT / "bench"
    grey = "" if said.normalise == "z-score" else f" ({said.normalise})"
    work = scratch / "recipe" / sheet.parent.name / f"{sheet.stem}{grey}"
    study = read_study(sheet, said.study.resolve(), work)
    fold = said.fold or study.fold_names[0]
    comparison = Comparison(study, said.study.resolve(), fold, 1, work, scratch / "logs")
    prepare(comparison, GREY[said.normalise])
    planned = Plan.parse((work / "results/plan.yaml").read_text(encoding="utf-8"))
    recipe = recipe_of({step: study.settings(step, planned) for step in ("tile", "train")})
    for name in said.parts or parts_of(recipe):
        for seed in said.seeds:
            key = (comparison.dataset, fold, f"{name}{grey}", seed, said.steps)
            if is_known(read_rows(out, COLUMNS), KEY, key):
                continue
            run = Run(seed, fold, "cpu", "bf16", 1, "")
            rows = pd.DataFrame(rows_of(name, recipe, run, study, work, said.steps))
            rows = rows.assign(dataset=comparison.dataset, fold=fold, part=rows["part"] + grey)
            rows = rows[COLUMNS]
            append_rows(out, rows)
            print(rows.to_string(index=False, header=False), flush=True)
    print(markdown(read_rows(out, COLUMNS)), end="")


def prepare(comparison: Comparison, grey: Mapping[str, Any]) -> None:
    """Let the workflow cut the tiles of the fold and normalise what it holds out."""
    study, fold = comparison.study, comparison.fold
    learnt, held_out = study.training_shards(fold), test_shards(study, fold)
    targets = ["results/plan.yaml", *(f"results/tiles/{shard}.parquet" for shard in learnt)]
    targets += [
        f"results/{kind}/{shard}.tif" for kind in ("normalised", "masks") for shard in held_out
    ]
    if not all((comparison.work / target).is_file() for target in targets):
        # Here what is predicted is scored on the grid that it is predicted on.
        said = {"device": "cpu", "normalise": {"pixel_size_nm": "keep", **grey}}
        snakemake(comparison, said, targets)


if __name__ == "__main__":
    main()
