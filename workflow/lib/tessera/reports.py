"""The scores of a study, turned into the tiles, plots and tables of a page.

Functions take the tables as their files hold them and give plain values; the template decides how
they look. Scores that do not exist stay NaN until the page shows them as a dash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from tessera.classes import palette
from tessera.figures import Row, dot_plot, loss_plot, score_bar
from tessera.metrics import SCORES
from tessera.summaries import ALL
from tessera.wording import area, decimals, number

NETWORK, OTSU, SEED = "network", "otsu", "seed-"
MEAN, POOLED, GROUP, MICROGRAPH = "mean over groups", "pooled", "group", "micrograph"


def headlines(metrics: pd.DataFrame, use: str, classes: Sequence[str]) -> list[dict[str, Any]]:
    """For each class its scores, mean over groups and pooled, and Otsu's mean where there is one.

    Returns
    -------
    list of dict
        name, colour; mean, pooled, otsu: rows of `metrics` as dicts, or None; bar: dice as markup.
    """
    tiles = []
    for name, colour in class_colours(classes):
        mean, otsu = (_score(metrics, use, method, MEAN, name) for method in (NETWORK, OTSU))
        if mean is None:
            continue
        other = otsu["dice"] if otsu else np.nan
        bar = score_bar(mean["dice"], mean["dice_low"], mean["dice_high"], other)
        pooled = _score(metrics, use, NETWORK, POOLED, name)
        tiles.append(
            {"name": name, "colour": colour, "mean": mean, "pooled": pooled, "otsu": otsu, "bar": bar}
        )
    return tiles


def class_colours(classes: Sequence[str]) -> list[tuple[str, str]]:
    """(name, colour) of each class; the background has none."""
    colours = [f"rgb({red} {green} {blue})" for red, green, blue in palette(len(classes))]
    return list(zip(classes, ["transparent", *colours[1:]], strict=True))


def methods(metrics: pd.DataFrame, use: str, classes: Sequence[str]) -> list[dict[str, Any]]:
    """For each class, and for all pooled, the scores of every method; the spread of the seeds.

    Returns
    -------
    list of dict
        name; rows: method, mean, pooled; spread: by score (lowest, highest, standard deviation) of
        the seeds' means over groups, empty for one seed.
    """
    tables = []
    of_use = metrics[metrics["use"] == use]
    order = sorted(of_use["method"].unique(), key=_method_order)
    for name in [*classes, ALL]:
        rows = [
            {"method": method, MEAN: _score(of_use, use, method, MEAN, name)}
            | {"pooled": _score(of_use, use, method, POOLED, name)}
            for method in order
        ]
        rows = [row for row in rows if row[MEAN] is not None]
        seeds = pd.DataFrame([row[MEAN] for row in rows if row["method"].startswith(SEED)])
        spread = {} if seeds.empty else seeds[SCORES].agg(["min", "max", "std"]).to_dict()
        if rows:
            tables.append({"name": name, "rows": rows, "spread": spread})
    return tables


def _method_order(method: str) -> tuple[int, int]:
    if method.startswith(SEED):
        return 1, int(method.removeprefix(SEED))
    return (0 if method == NETWORK else 2), 0


def dot_plots(metrics: pd.DataFrame, use: str, classes: Sequence[str]) -> list[dict[str, Any]]:
    """For each class its name and the plot of its scores by group, the worst group on top."""
    of_use = metrics[metrics["use"] == use]
    order = worst_first(of_use, GROUP)
    plots = []
    for name in classes:
        of_class = of_use[of_use["class"] == name]
        wide = of_class[of_class["level"] == GROUP].set_index(["group", "method"])
        rows = [_row(group, wide.loc[group]) for group in order]
        at_mean = of_class[of_class["level"] == MEAN].set_index("method")
        if rows and not at_mean.empty:
            title = f"Dice and IoU of {name} by group"
            plots.append({"name": name, "plot": dot_plot(rows, _row("mean", at_mean), title)})
    return plots


def _row(label: str, by_method: pd.DataFrame) -> Row:
    network = by_method.loc[NETWORK]
    otsu = by_method["dice"].get(OTSU, np.nan)
    seeds = by_method.loc[by_method.index.str.startswith(SEED), "dice"]
    ends = (network["dice_low"], network["dice_high"]) if label == "mean" else (np.nan, np.nan)
    return Row(label, network["dice"], network["iou"], otsu, tuple(seeds), *ends)


def worst_first(metrics: pd.DataFrame, level: str = MICROGRAPH) -> list[str]:
    """Ids of micrographs, or of groups, by the mean of the network's IoU over the classes.

    Classes without a score are left out of the mean; without any score an id comes last, and equal
    ids are in the order of their names.
    """
    known = metrics["level"].eq(level) & metrics["method"].eq(NETWORK) & metrics["class"].ne(ALL)
    means = metrics[known].groupby(level)["iou"].mean()
    return list(means.sort_index().sort_values(kind="stable", na_position="last").index)


def by(level: str, metrics: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The network's scores of every group or micrograph: class to row, by id."""
    known = metrics["level"].eq(level) & metrics["method"].eq(NETWORK)
    table: dict[str, dict[str, Any]] = {}
    for row in metrics[known].to_dict("records"):
        table.setdefault(row[level], {})[row["class"]] = row
    return table


def loss_plots(histories: Mapping[tuple[str, str], pd.DataFrame]) -> list[dict[str, Any]]:
    """For each fold its name and the plot of its networks' losses, by (seed, fold)."""
    known = {
        pair: (table["step"].to_numpy(float), table["loss"].to_numpy(float))
        for pair, table in histories.items()
        if not table.empty
    }
    plots = []
    for fold in dict.fromkeys(fold for _, fold in known):
        of = [curve for pair, curve in known.items() if pair[1] == fold]
        others = [curve for pair, curve in known.items() if pair[1] != fold]
        name = "All annotated groups" if fold == "all" else f"Fold {fold}"
        plots.append({"name": name, "plot": loss_plot(of, others, f"Loss of {name} by step")})
    return plots


def _score(metrics, use, method, level, name) -> dict[str, Any] | None:
    known = metrics["use"].eq(use) & metrics["method"].eq(method) & metrics["level"].eq(level)
    rows = metrics[known & metrics["class"].eq(name)]
    return None if rows.empty else rows.iloc[0].to_dict()


def page(folder: Path, **content: Any) -> str:
    """The page: the template `report.html.j2` of a folder, filled with what it is to show."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "decimals": decimals, "area": area}
    return environment.get_template("report.html.j2").render(**content)
