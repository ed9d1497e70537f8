"""Settle what the config leaves open, from the first cohort, with a reason for each value."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import psutil
import torch

from tessera.devices import resolve_device, resolve_precision
from tessera.files import open_page, read_table, write_text
from tessera.logs import LOG, logged_to
from tessera.pixel_sizes import AUTO, common_size, uncalibrated
from tessera.planning import Surroundings, decide
from tessera.plans import Plan, made_of, render
from tessera.problems import BadInput, Problem, raise_if
from tessera.strips import Page
from tessera.surveys import Survey, sampled, survey

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


@dataclass(frozen=True)
class Cohort:
    """Paths of the files of some shards, and which micrographs in them count."""

    pages: Sequence[str]
    tables: Sequence[str]
    masks: Sequence[str]
    counts: Sequence[str]
    micrographs: Mapping[str, Sequence[str]]


def main(
    cohort: Cohort,
    classes: Sequence[str],
    stated: Mapping[str, Mapping[str, Any]],
    lineages: Mapping[str, str],
    around: Surroundings,
    output: str,
) -> None:
    """Write the plan to `output`; what was there before is kept beside it.

    Parameters
    ----------
    cohort : Cohort
    classes : sequence of str
    stated : mapping
        Settings of each step, `AUTO` where they are open.
    lineages : mapping
        What stands for the settings of each step until this plan is made.
    around : Surroundings
    output : str
    """
    found = surveyed(cohort, classes, stated["normalise"]["pixel_size_nm"])
    try:
        decisions = decide(
            found, {**stated["normalise"], **stated["tile"], **stated["train"]}, around
        )
    except ValueError as error:
        raise BadInput([Problem("plan", output, str(error))]) from error
    path = Path(output)
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    made = made_of(lineages, stated, decisions, Plan.parse(before) if before else None)
    text = render(decisions, found, around, made, stated["tile"].get("size_nm"))
    if before is not None and before != text:
        kept = _free(path)
        kept.write_text(before, encoding="utf-8")
        LOG.info("the plan before is kept as %s", kept)
    write_text(path, text)
    for key, decision in decisions.items():
        LOG.info("%s: %s", key, decision.value)


def surveyed(cohort: Cohort, classes: Sequence[str], pixel_size_nm: float | str) -> Survey:
    """What the micrographs of the cohort hold, those of later cohorts in its shards left out.

    Raises
    ------
    BadInput
        With those whose pixel size is unknown, if others have one that they are brought to.
    """
    wanted = [name for names in cohort.micrographs.values() for name in names]
    places, tables = [], []
    for at, (table, counts) in enumerate(zip(cohort.tables, cohort.counts, strict=True)):
        rows = read_table(table).merge(read_table(counts), on="micrograph", suffixes=("", "_mask"))
        rows = rows[rows["micrograph"].isin(wanted)]
        pages = zip(rows["page"], rows["page_mask"], strict=True)
        places += [(at, *of) for of in pages]
        tables.append(rows)
    rows = pd.concat(tables, ignore_index=True)
    if common_size(pixel_size_nm, rows["pixel_size_nm"]) is not None:
        raise_if(uncalibrated(rows))
    sample = (places[index] for index in sampled(len(places)))
    return survey(rows, rows, classes, _pixels(cohort, sample), pixel_size_nm)


def _pixels(cohort: Cohort, places) -> Iterator[tuple[Page, Page]]:
    for at, page, page_mask in places:
        yield open_page(cohort.pages[at], page), open_page(cohort.masks[at], page_mask)


def _free(path: Path) -> Path:
    """The first of plan.1.yaml, plan.2.yaml ... that is not there."""
    number = 1
    while (kept := path.with_name(f"{path.stem}.{number}{path.suffix}")).exists():
        number += 1
    return kept


def surroundings(params, resources) -> Surroundings:
    """Settle what `auto` means on this machine, and how much memory a training may fill."""
    train = params.train_resources
    device = resolve_device(resources.device)
    if device == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        memory, whose = gpu.total_memory / 1e6, f"the memory of {gpu.name}"
    elif train["mem_mb"] != AUTO:
        memory, whose = train["mem_mb"], "resources.train.mem_mb"
    else:
        # As many trainings run side by side as its processor has room for.
        share = min(1, train["cpus"] / (os.cpu_count() or 1))
        memory, whose = share * psutil.virtual_memory().total / 1e6, "this machine's memory"
        whose += f" for {train['cpus']} of {os.cpu_count()} processors"
    return Surroundings(
        n_folds=params.n_folds,
        background_share=params.stated["tile"]["background_share"],
        device=device,
        precision=resolve_precision(params.stated["train"]["precision"], device),
        memory_mb=round(memory),
        memory_of=whose,
    )


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            Cohort(
                *(snakemake.input[name] for name in ("pages", "tables", "masks", "counts")),
                micrographs=snakemake.params.micrographs,
            ),
            [name for name, _ in snakemake.params.stated["train"]["classes"]],
            snakemake.params.stated,
            snakemake.params.lineages,
            surroundings(snakemake.params, snakemake.resources),
            snakemake.params.plan,
        )
