"""The recipe of training, part by part: what each gains on a fold, for the same number of tiles.

    python tests/benchmarks/recipe.py --sheet superalloy/micrographs.tsv \\
        --study config/studies/superalloy.yaml --steps 600 --seeds 0 1 2

Every network learns from the same tiles, cut by the workflow, and is scored on the micrographs that
the fold holds out; in batches of another size it takes so many steps that it sees as many tiles in
all. `--normalise` gives all of them other grey levels. What is tried is in `recipe_parts.py`. Rows
that the table has already are not run again. A process takes one core; several may share the work
by seed.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accuracy import Comparison, append_rows, is_known, read_rows, scores, snakemake
from datasets import ROOT, examples, find_sheet, read_study, test_shards
from recipe_parts import KEPT, batches_of, parts_of
from torch import nn

from predict import codes_of
from tessera.augmentation import Augmentation, augmented
from tessera.devices import prepare_process
from tessera.files import map_pages, read_table
from tessera.folding import ready
from tessera.networks import Architecture, build
from tessera.plans import Plan
from tessera.stitching import probabilities
from tessera.studies import Study
from tessera.training import Hooks, train
from train import Recipe, Run, loss_of, recipe_of, settings_of, training_tiles

COLUMNS = ["dataset", "fold", "part", "seed", "steps", "mean_iou", "pooled_iou", "mean_dice", "iou"]
COLUMNS += ["seconds"]
KEY = COLUMNS[:5]
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


def files_of(study: Study, fold: str, work: Path) -> list[tuple[str, str, str]]:
    """What the networks of a fold learn from, as `train.main` takes it."""
    shards = study.training_shards(fold)
    kinds = (("normalised", "tif"), ("tiles", "tif"), ("tiles", "parquet"))
    return [
        tuple(str(work / f"results/{folder}/{shard}.{suffix}") for folder, suffix in kinds)
        for shard in shards
    ]


def trained(
    name: str, recipe: Recipe, run: Run, shards: Sequence[tuple[str, str, str]], n_steps: int
) -> tuple[dict[str, nn.Module], float]:
    """Networks trained for the steps, by the name of their rows; and the seconds it took."""
    part = parts_of(recipe)[name]
    n_tiles = n_steps * recipe.batch
    recipe = replace(recipe, **part.said)
    n_steps = round(n_tiles / recipe.batch)
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
    networks, seconds = trained(name, recipe, run, files_of(study, run.fold, work), steps)
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
