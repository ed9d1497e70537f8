"""Leftovers: products that a study made and has no more, because rows have left its sheet.

What the workflow makes is known by the forms of its paths, see `products.STEPS`. A file of no such
form was never made by the workflow, and is none of its business.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING

from tessera.products import IMAGES, NETWORK, STEPS, images, jobs

if TYPE_CHECKING:
    from tessera.studies import Study

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
WILDCARDS = {"shard": NAME, "micrograph": NAME, "seed": "[0-9]+", "fold": "[0-9]+|all"}
WILDCARDS |= {"cohort": "[0-9]+"}

STAMP = ".snakemake_timestamp"
"""What Snakemake leaves in a folder that a job has made."""
CHECKPOINT = f"checkpoints/{NETWORK.removeprefix('networks/')}.pt"
"""Of a training that was stopped; no product."""


def _forms() -> Iterator[str]:
    """Every path with a wildcard in it that the workflow makes below results/."""
    predicted = [f"{{micrograph}}.{image}.tif" for image in (*IMAGES, "mask.seed-{seed}")]
    for step in STEPS.values():
        for form in step.forms:
            if form.endswith("/"):
                yield from (f"{form}{name}" for name in (STAMP, *predicted))
            elif "{" in form:
                yield form
    yield CHECKPOINT


def _pattern(form: str) -> str:
    parts = re.split(r"\{(\w+)\}", form)
    return "".join(
        f"(?:{WILDCARDS[part]})" if number % 2 else re.escape(part)
        for number, part in enumerate(parts)
    )


FOLDERS = tuple(sorted({form.partition("/")[0] for form in _forms()}))
"""Folders below results/ with a file, or more, for each shard, network or cohort."""
MADE = re.compile("|".join(f"(?:{_pattern(form)})" for form in _forms()))


def leftovers(study: Study, paths: Iterable[str]) -> Iterator[str]:
    """Those of the paths that the workflow made and the study has no more.

    Parameters
    ----------
    study : Study
        Of all cohorts.
    paths : iterable of str
        Below results/, with `/` between folders.
    """
    known = set(_paths(study))
    return (path for path in paths if path not in known and MADE.fullmatch(path))


def _paths(study: Study) -> Iterator[str]:
    """Every file that the study makes, or may have left while it was being made."""
    for job in jobs(study):
        for path in job.writes:
            if path.endswith("/"):
                yield from (f"{path}{name}" for name in (STAMP, *images(study, job)))
            else:
                yield path
    yield from (CHECKPOINT.format(seed=seed, fold=fold) for seed, fold in study.networks)


def endangered(left: Iterable[str], folders: Collection[str]) -> Iterator[str]:
    """Those leftovers that a run would delete: they lie in a folder that it makes anew.

    Where a micrograph leaves a shard, the others' predictions are made anew where its own are.

    Parameters
    ----------
    left : iterable of str
        Paths below results/.
    folders : collection of str
        Paths from where the workflow runs.
    """
    for path in left:
        folder, _, name = f"results/{path}".rpartition("/")
        if folder in folders and not name.startswith("."):
            yield path
