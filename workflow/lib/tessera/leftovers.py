"""Leftovers: products that a study made and has no more, because rows have left its sheet.

`FORMS` holds every path that the workflow makes below results/, and of what a path of that form has
to be. A file of no such form was never made by the workflow, and is none of its business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tessera.studies import Study

FOLDERS = ("micrographs", "masks", "normalised", "tiles", "evaluation", "lineages")
FOLDERS += ("predictions", "networks", "checkpoints", "prospective")
"""Folders below results/ with a file, or more, for each shard, network or cohort."""

NAME = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
WILDCARDS = {"shard": NAME, "micrograph": NAME, "seed": "[0-9]+", "fold": "[0-9]+|all"}
WILDCARDS |= {"cohort": "[0-9]+"}

Names = Mapping[str, str]


def _shards(kind: str) -> Callable[[Study], Callable[[Names], bool]]:
    def known(study: Study) -> Callable[[Names], bool]:
        names = set(getattr(study, kind))
        return lambda of: of["shard"] in names

    return known


def _all_shards(study: Study) -> Callable[[Names], bool]:
    names = set(study.shards.index)
    return lambda of: of["shard"] in names


def _predicted(study: Study) -> Callable[[Names], bool]:
    rows = ((shard, study.cells_of(shard, "micrograph")) for shard in study.predicted)
    known = {(shard, name) for shard, names in rows for name in names}
    return lambda of: (of["shard"], of["micrograph"]) in known


def _predicted_by_seed(study: Study) -> Callable[[Names], bool]:
    known, seeds = _predicted(study), set(study.seeds)
    return lambda of: len(seeds) > 1 and of["seed"] in seeds and known(of)


def _networks(study: Study) -> Callable[[Names], bool]:
    known = set(study.networks)
    return lambda of: (of["seed"], of["fold"]) in known


def _cohorts(study: Study) -> Callable[[Names], bool]:
    joined = set(study.rows.loc[study.rows["annotated"], "cohort"])
    used = {prospect.kept for prospect in study.prospects.values()}
    known = {str(cohort) for cohort in study.kept if cohort in joined | used}
    return lambda of: of["cohort"] in known


def _prospects(study: Study) -> Callable[[Names], bool]:
    return lambda of: (of["cohort"], of["shard"]) in study.prospects


def _prospective(study: Study) -> Callable[[Names], bool]:
    tested = study.prospects.items()
    known = {(*of, name) for of, prospect in tested for name in prospect.rows["micrograph"]}
    return lambda of: (of["cohort"], of["shard"], of["micrograph"]) in known


IMAGES = ("mask", "probability", "entropy")
COHORT = "prospective/cohort-{cohort}"
FORMS: dict[str, Callable[[Study], Callable[[Names], bool]]] = {
    **dict.fromkeys(
        (
            *("micrographs/{shard}.tif", "micrographs/{shard}.tsv"),
            *("normalised/{shard}.tif", "normalised/{shard}.tsv"),
            "micrographs/{shard}.landmarks.parquet",
        ),
        _all_shards,
    ),
    **dict.fromkeys(
        (
            *("masks/{shard}.tif", "masks/{shard}.tsv"),
            *("tiles/{shard}.parquet", "tiles/{shard}.tif"),
        ),
        _shards("annotated"),
    ),
    "evaluation/{shard}.parquet": _shards("evaluated"),
    "lineages/{shard}.predict": _shards("predicted"),
    "predictions/{shard}/.snakemake_timestamp": _shards("predicted"),
    **{f"predictions/{{shard}}/{{micrograph}}.{image}.tif": _predicted for image in IMAGES},
    "predictions/{shard}/{micrograph}.mask.seed-{seed}.tif": _predicted_by_seed,
    **{
        f"networks/seed-{{seed}}/fold-{{fold}}.{end}": _networks
        for end in ("pt", "history.tsv", "lineage")
    },
    "checkpoints/seed-{seed}/fold-{fold}.pt": _networks,
    **{
        f"{COHORT}/{name}": _cohorts
        for name in ("networks.tsv", "folds.tsv", "metrics.tsv", "lineages/study.summarise")
    },
    **{
        f"{COHORT}/networks/seed-{{seed}}/fold-{{fold}}.{end}": _cohorts
        for end in ("pt", "history.tsv", "lineage")
    },
    f"{COHORT}/evaluation/{{shard}}.parquet": _prospects,
    f"{COHORT}/lineages/{{shard}}.prospect": _prospects,
    f"{COHORT}/predictions/{{shard}}/.snakemake_timestamp": _prospects,
    **{
        f"{COHORT}/predictions/{{shard}}/{{micrograph}}.{image}.tif": _prospective
        for image in (*IMAGES, "mask.seed-{seed}")
    },
}
"""What the workflow makes, by the form of its path, and whether a study still has it."""


def leftovers(study: Study, paths: Iterable[str]) -> Iterator[str]:
    """Those of the paths that the workflow made and the study has no more.

    Parameters
    ----------
    study : Study
        Of all cohorts.
    paths : iterable of str
        Below results/, with `/` between folders.
    """
    forms: dict[str, list[tuple[re.Pattern[str], Callable[[Names], bool]]]] = {}
    for form, belongs in FORMS.items():
        of_folder = forms.setdefault(form.partition("/")[0], [])
        of_folder.append((_pattern(form), belongs(study)))
    for path in paths:
        possible = forms.get(path.partition("/")[0], ())
        found = [(pattern.fullmatch(path), belongs) for pattern, belongs in possible]
        of_form = [(match.groupdict(), belongs) for match, belongs in found if match]
        if of_form and not any(belongs(names) for names, belongs in of_form):
            yield path


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


def _pattern(form: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", form)
    found = [
        f"(?P<{part}>{WILDCARDS[part]})" if number % 2 else re.escape(part)
        for number, part in enumerate(parts)
    ]
    return re.compile("".join(found))
