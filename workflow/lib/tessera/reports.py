"""The scores of a study, turned into the tiles, plots and tables of a page.

Functions take the tables as their files hold them and give plain values; the template decides how
they look. Scores that do not exist stay NaN until the page shows them as a dash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from tessera.classes import palette
from tessera.conditions import noted
from tessera.figures import Row, dot_plot, loss_plot, score_bar
from tessera.metrics import SCORES
from tessera.panels import ERROR_COLOURS, heat_colours
from tessera.quarantines import COLUMNS as LEFT_OUT
from tessera.shifts import shifts
from tessera.summaries import ALL
from tessera.wording import (
    area,
    calibration,
    decimals,
    facts,
    normalisation,
    number,
    planned,
    quarantine,
    settings_of,
    validation,
)

NETWORK, OTSU, SEED = "network", "otsu", "seed-"
MEAN, POOLED, GROUP, MICROGRAPH = "mean over groups", "pooled", "group", "micrograph"
MOST_ROWS, MOST_DOTS = 2000, 400
"""Rows of a table, and groups in a plot: a study of more is shown in part, and the page says so."""

USES = {"cv": "Cross-validated groups", "test": "Test groups"}
ERRORS = (
    "false positive: a class on true background",
    "false negative: a true class missed",
    "one class for another",
)


@dataclass(frozen=True)
class Tables:
    """What a study has written down.

    Parameters
    ----------
    folds : DataFrame
        group, use, fold, micrographs, tiles_used, share_{class}; one row an annotated group.
    leaks : DataFrame
        As `leaks.table_of` gives it: pairs across groups that the settings allow.
    metrics : DataFrame
        As `summaries.summary` gives it; its text columns hold empty strings, not NaN.
    micrographs : DataFrame
        Those predicted: micrograph, rows, columns, pixel_size_nm, what `conditions.noted` needs;
        group, annotated, use, fold.
    histories : dict of (seed, fold) to DataFrame
        step, loss; started_from, where a network did not start from random weights.
    before : dict of int to DataFrame
        Scores of then, by the cohort that they come before, as far as they were kept.
    plan : str
        Text of the plan's file; empty where the config leaves nothing open.
    quarantine : DataFrame
        As `quarantines.COLUMNS` says: one row a file that is refused.
    """

    folds: pd.DataFrame
    leaks: pd.DataFrame
    metrics: pd.DataFrame
    micrographs: pd.DataFrame
    histories: Mapping[tuple[str, str], pd.DataFrame]
    before: Mapping[int, pd.DataFrame] = field(default_factory=dict)
    plan: str = ""
    quarantine: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LEFT_OUT))

    @property
    def scores(self) -> pd.DataFrame:
        """Those of whole groups by the networks of now, not of single cohorts."""
        return self.metrics[self.metrics["use"].isin(USES)]


def content(tables: Tables, settings: Mapping[str, Any]) -> dict[str, Any]:
    """All that the page shows but the pictures.

    Parameters
    ----------
    tables : Tables
    settings : mapping
        title, classes as pairs, inputs where channels are declared, `study` with the settings of
        the rules split, normalise, tile and train, and `cohorts`, see `shifts.shifts`.
    """
    classes = [name for name, _ in settings["classes"]]
    folds, networks = tables.folds, list(tables.histories)
    seeds = len({seed for seed, _ in networks})
    metrics = tables.scores
    scored = [use for use in USES if use in set(metrics["use"])]
    return {
        "title": settings["title"],
        "classes": class_colours(classes),
        "validation": validation(folds, settings["study"]["split"], seeds)
        + quarantine(tables.quarantine, folds)
        + calibration(tables.micrographs),
        "facts": facts(folds, tables.micrographs, networks, tables.quarantine),
        "quarantine": most_missed(tables.quarantine, folds).to_dict("records"),
        "grey_levels": normalisation(settings["study"]["normalise"]),
        "settings": {step: settings_of(block) for step, block in settings["study"].items()},
        "planned": planned(tables.plan, settings["study"]),
        "networks": networks,
        "starts": starts(tables.histories),
        "folds": folds.to_dict("records"),
        "noted": noted(tables.micrographs, settings.get("inputs", [])),
        "leaks": tables.leaks.to_dict("records"),
        "scored": [
            {
                "use": use,
                "name": USES[use],
                "headlines": headlines(metrics, use, classes),
                "methods": methods(metrics, use, classes),
                "plots": dot_plots(metrics, use, classes),
            }
            for use in scored
        ],
        "shifts": shifts(tables.metrics, tables.before, settings["cohorts"], classes),
        "by_group": by(GROUP, metrics),
        "by_micrograph": by(MICROGRAPH, metrics),
        "fold_of": folds.set_index("group")["fold"].to_dict(),
        "most_rows": MOST_ROWS,
        "losses": loss_plots(tables.histories),
        "errors": list(zip(ERRORS, map(_css, ERROR_COLOURS[1:]), strict=True)),
        "heat": [_css(rgba) for rgba in heat_colours()],
        "channels": settings.get("inputs", []),
    }


def most_missed(files: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Files in quarantine: first of groups of which nothing labelled is left, then the labelled."""
    labelled = files["use"] != ""
    gone = labelled & ~files["group"].isin(folds["group"])
    order = files.assign(gone=gone, labelled=labelled)
    by = ["gone", "labelled", "micrograph", "column"]
    return order.sort_values(by, ascending=[False, False, True, True], ignore_index=True)


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
            {
                "name": name,
                "colour": colour,
                "mean": mean,
                "pooled": pooled,
                "otsu": otsu,
                "bar": bar,
            }
        )
    return tiles


def class_colours(classes: Sequence[str]) -> list[tuple[str, str]]:
    """(name, colour) of each class; the background has none."""
    colours = [_css(rgb) for rgb in palette(len(classes))]
    return list(zip(classes, ["transparent", *colours[1:]], strict=True))


def methods(metrics: pd.DataFrame, use: str, classes: Sequence[str]) -> list[dict[str, Any]]:
    """For each class, and for all pooled, the scores of every method; the spread of the seeds.

    Returns
    -------
    list of dict
        name; methods: method, mean, pooled; spread: min, max and std of the seeds' means over
        groups, by score, empty for one seed.
    """
    tables = []
    of_use = metrics[metrics["use"] == use]
    order = sorted(of_use["method"].unique(), key=_method_order)
    for name in [*classes, ALL]:
        rows = [
            {
                "method": method,
                "mean": _score(of_use, use, method, MEAN, name),
                "pooled": _score(of_use, use, method, POOLED, name),
            }
            for method in order
        ]
        rows = [row for row in rows if row["mean"] is not None]
        seeds = pd.DataFrame([row["mean"] for row in rows if row["method"].startswith(SEED)])
        spread = {} if seeds.empty else seeds[SCORES].agg(["min", "max", "std"]).to_dict()
        if rows:
            tables.append({"name": name, "methods": rows, "spread": spread})
    return tables


def _method_order(method: str) -> tuple[int, int]:
    if method.startswith(SEED):
        return 1, int(method.removeprefix(SEED))
    return (0 if method == NETWORK else 2), 0


def dot_plots(metrics: pd.DataFrame, use: str, classes: Sequence[str]) -> list[dict[str, Any]]:
    """For each class its name and the plot of its scores by group, the worst group on top.

    Where there are more than `MOST_DOTS` groups one in `step` of them is drawn.
    """
    of_use = metrics[metrics["use"] == use]
    groups = worst_first(of_use, GROUP)
    step = -(-len(groups) // MOST_DOTS)
    order = groups[::step] if groups else []
    plots = []
    for name in classes:
        of_class = of_use[of_use["class"] == name]
        wide = of_class[of_class["level"] == GROUP].set_index(["group", "method"])
        rows = [_row(group, wide.loc[group]) for group in order]
        at_mean = of_class[of_class["level"] == MEAN].set_index("method")
        if rows and not at_mean.empty:
            title = f"Dice and IoU of {name} by group"
            plot = dot_plot(rows, _row("mean", at_mean), title)
            plots.append({"name": name, "plot": plot, "step": step})
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
    """The network's scores of every group or micrograph, worst first: class to row, by id."""
    known = metrics["level"].eq(level) & metrics["method"].eq(NETWORK)
    table: dict[str, dict[str, Any]] = {name: {} for name in worst_first(metrics, level)}
    for row in metrics[known].to_dict("records"):
        table[row[level]][row["class"]] = row
    return table


def starts(histories: Mapping[tuple[str, str], pd.DataFrame]) -> list[tuple[str, str]]:
    """(from what, which networks) of those that did not start from random weights, in words."""
    of: dict[str, list[str]] = {}
    for (seed, fold), table in histories.items():
        if "started_from" in table and not table.empty:
            path = table["started_from"].iloc[0]
            of.setdefault(path.partition("/networks/")[0], []).append(f"seed {seed}, fold {fold}")
    return [(start, "; ".join(names)) for start, names in sorted(of.items())]


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


def _css(colour: np.ndarray) -> str:
    return "rgb({} {} {})".format(*colour[:3])


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
