"""Write the report of a study: one HTML file that needs no other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tessera.channels import n_pages
from tessera.conditions import columns_of
from tessera.crops import COLUMNS
from tessera.files import open_page, read_table, write_text
from tessera.logs import LOG, logged_to
from tessera.panels import labelled_panels, unlabelled_panels
from tessera.reports import Tables, content, page, worst_first
from tessera.strips import strips

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

TEMPLATES = Path(__file__).resolve().parents[1] / "report"
OF_MICROGRAPHS = ["micrograph", "page", "rows", "columns", "pixel_size_nm"]
OF_MICROGRAPHS += [*COLUMNS]
PLACEMENT = ("group", "annotated", "use", "fold")


@dataclass(frozen=True)
class Shard:
    """A shard's placement (group, annotated, use, fold), and the paths of its products."""

    placement: Mapping[str, Any]
    micrographs: str
    table: str
    predictions: str
    masks: str | None


def main(
    audit: tuple[str, str],
    metrics: str,
    histories: Sequence[str],
    shards: Sequence[Shard],
    settings: Mapping[str, Any],
    output: str,
    plan: str | None = None,
    quarantine: str | None = None,
) -> None:
    """Write the report to `output`.

    Parameters
    ----------
    audit : (str, str)
        Paths of the audited folds and of the pairs across groups.
    metrics : str
        Path of the scores.
    histories : sequence of str
        Path of each network's history, `.../seed-{seed}/fold-{fold}.history.tsv`.
    shards : sequence of Shard
        All that is predicted.
    settings : mapping
        title, panels, panel_px, classes as pairs, `study`: the settings of split, normalise, tile
        and train, and `cohorts`: what there is to say of each that joined.
    output : str
    plan : str, optional
        Path of the plan, where the config leaves something open.
    quarantine : str, optional
        Path of the table of rows that are left out, where bad files are quarantined.
    """
    left_out = {"quarantine": read_table(quarantine)} if quarantine else {}
    tables = Tables(
        *map(read_table, audit),
        read_table(metrics),
        micrographs_of(shards, settings.get("inputs", [])),
        {network_of(path): read_table(path) for path in histories},
        scores_before(Path(metrics).parent, settings["cohorts"]),
        Path(plan).read_text(encoding="utf-8") if plan else "",
        **left_out,
    )
    html = page(TEMPLATES, **content(tables, settings), **galleries(tables, settings))
    write_text(output, html)


def scores_before(results: Path, cohorts: Sequence[Mapping[str, Any]]) -> dict[int, pd.DataFrame]:
    """The scores that were kept, by the cohort that they come before."""
    kept = sorted({of["kept"] for of in cohorts if of["scored"]})
    return {of: read_table(results / f"prospective/cohort-{of}/metrics.tsv") for of in kept}


def galleries(tables: Tables, settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The micrographs that are shown, and how many are left out: the labelled, the unlabelled."""
    rows = {row.micrograph: row for row in tables.micrographs.itertuples()}
    queues = {
        "labelled": worst_first(tables.scores),
        "unlabelled": sorted(name for name, row in rows.items() if not row.annotated),
    }
    found = {}
    for kind, names in queues.items():
        shown = [pictures_of(rows[name], settings) for name in names[: settings["panels"]]]
        found[kind] = {"shown": shown, "left_out": len(names) - len(shown)}
        LOG.info("%d of %d %s micrographs shown", len(shown), len(names), kind)
    return found


def micrographs_of(shards: Sequence[Shard], channels: Sequence[str]) -> pd.DataFrame:
    """The micrographs of all shards, each with where it lies."""
    columns = [*OF_MICROGRAPHS, *(at for place in columns_of(channels) for at in place.values())]
    tables = [pd.DataFrame(columns=[*columns, *PLACEMENT, "shard"])]
    for shard in shards:
        placed = {key: shard.placement[key] for key in PLACEMENT}
        table = read_table(shard.table, columns)
        tables.append(table.assign(**placed, shard=[shard] * len(table)))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def pictures_of(row: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the gallery shows of one micrograph: its panels and, without a mask, class sizes."""
    shard, n_classes, longest_px = row.shard, len(settings["classes"]), settings["panel_px"]
    micrograph = open_page(shard.micrographs, row.page)
    mask_pred = open_page(f"{shard.predictions}/{row.micrograph}.mask.tif", 0)
    if shard.masks is not None:
        mask_true = open_page(shard.masks, row.page // n_pages(settings.get("inputs")))
        shown = labelled_panels(micrograph, mask_true, mask_pred, n_classes, longest_px)
        return {"row": row, "panels": shown}
    entropy = open_page(f"{shard.predictions}/{row.micrograph}.entropy.tif", 0)
    return {
        "row": row,
        "panels": unlabelled_panels(micrograph, mask_pred, entropy, n_classes, longest_px),
        "pixels": sum(
            np.bincount(strip.ravel(), minlength=n_classes) for strip in strips(mask_pred)
        ).tolist(),
        "entropy": float(sum(strip.sum(dtype=np.float64) for strip in strips(entropy)))
        / entropy.size,
    }


def network_of(history: str) -> tuple[str, str]:
    """Seed and fold of a network, from the path of its history."""
    path = Path(history)
    return path.parent.name.removeprefix("seed-"), path.name.split(".")[0].removeprefix("fold-")


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        masks = iter(snakemake.input.masks)
        paths = zip(
            snakemake.params.shards,
            snakemake.input.micrographs,
            snakemake.input.tables,
            snakemake.input.predictions,
            strict=True,
        )
        main(
            (snakemake.input.folds, snakemake.input.leaks),
            snakemake.input.metrics,
            snakemake.input.histories,
            [Shard(*of, next(masks) if of[0]["annotated"] else None) for of in paths],
            dict(snakemake.params.items()),
            snakemake.output[0],
            next(iter(snakemake.input.plan), None),
            next(iter(snakemake.input.quarantine), None),
        )
