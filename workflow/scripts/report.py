"""Write the report of a study: one HTML file that needs no other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tessera import reports, wording
from tessera.classes import IGNORE
from tessera.files import read_page, written_atomically
from tessera.logs import LOG, logged_to
from tessera.panels import ERROR_COLOURS, heat_colours, labelled_panels, unlabelled_panels

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

TEMPLATES = Path(__file__).resolve().parents[1] / "report"
TEXT = ("use", "method", "level", "group", "fold", "micrograph", "class")
SIZES = ["micrograph", "page", "rows", "columns", "pixel_size_nm"]


@dataclass(frozen=True)
class Shard:
    """Where the products of a shard lie, and its placement: group, annotated, use, fold."""

    placement: Mapping[str, Any]
    micrographs: str
    table: str
    predictions: str
    masks: str | None


def main(
    folds: str,
    metrics: str,
    histories: Sequence[str],
    shards: Sequence[Shard],
    settings: Mapping[str, Any],
    output: str,
) -> None:
    """Write the report to `output`.

    Parameters
    ----------
    folds, metrics : str
        Paths of the audited folds and of the scores.
    histories : sequence of str
        Path of each network's history, `.../seed-{seed}/fold-{fold}.history.tsv`.
    shards : sequence of Shard
        All that is predicted.
    settings : mapping
        title, panels, panel_px, classes, and `study` with the settings of split and train.
    output : str
    """
    scores, known = read_table(metrics), micrographs_of(shards)
    classes = [name for name, _ in settings["classes"]]
    curves = {network_of(path): read_table(path) for path in histories}
    placed = known.set_index("micrograph")
    labelled = reports.worst_first(scores)
    unlabelled = list(placed.index[~placed["annotated"]])
    most = settings["panels"]
    html = reports.page(
        TEMPLATES,
        **reports.content(read_table(folds), scores, known, curves, settings),
        labelled=[labelled_row(placed, shards, i, settings) for i in labelled[:most]],
        unlabelled=[unlabelled_row(placed, shards, i, settings) for i in unlabelled[:most]],
        left_out=(max(0, len(labelled) - most), max(0, len(unlabelled) - most)),
        error_colours=[css_colour(rgba) for rgba in ERROR_COLOURS[1:]],
        heat_colours=[css_colour(rgba) for rgba in heat_colours()],
        n_classes=len(classes),
    )
    with written_atomically(output) as temporary:
        temporary.write_text(html, encoding="utf-8")
    LOG.info("%d labelled and %d unlabelled micrographs", len(labelled), len(unlabelled))
