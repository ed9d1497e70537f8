"""What each product of a study is made from: the ancestry that its lineage is a digest of.

`ANCESTRY` says it by step. Everything in it has a name, so that `explanations` can tell what has
changed between two runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tessera import cohorts, refusals
from tessera.channels import key_of, name_of
from tessera.steps import IMAGE_CELLS

if TYPE_CHECKING:
    from tessera.studies import Study

Ancestry = dict[str, Any]
"""What a product is made from, by name.

columns, rows: of each micrograph, the digest of its raw file and the cells that say how to read it.
reads: lineage of each product that is read, by `step/of`.
folds: fold of each group, or of each shard.
seed: of a network.
predecessor: lineage of the network that a training starts from, if not from random weights.
kept: by the cohort that they come before, lineage of each network (seed/fold), or of the scores.
alone: lineages of the micrographs of a cohort by themselves, whatever else is in their shard.
references: by shard, the micrographs that fix the scale of grey levels, if not each its own.
cohorts: labelled micrographs of each cohort, where there are several.
quarantined: what the table of rows left out says of each file; for the audit, what it records.
"""


def _raw(study: Study, shard: str, kind: str, *more: str) -> Ancestry:
    """What decides the reading of a shard's files: bytes, names, cells of the sheet; no folders."""
    columns = study.raw_columns(shard, kind)
    names = (*map(key_of, columns), "frame", *more)
    cells_of = [study.cells_of(shard, column) for column in columns]
    digests = (_digests(study, paths) for paths in cells_of)
    files = (map(os.path.basename, paths) for paths in cells_of)
    said = (map(str, study.cells_of(shard, name)) for name in names)
    cells = zip(*digests, *files, *said, strict=True)
    return {
        "columns": [*columns, *map(name_of, columns), *names],
        "rows": dict(zip(study.cells_of(shard, "micrograph"), map(list, cells), strict=True)),
    }


def _digests(study: Study, paths: list[str]) -> list[str]:
    """SHA-256 of files; empty of a channel that has none of its own."""
    return [study.sha256[path] if path else "" for path in paths]


def _annotations(study: Study, shard: str) -> Ancestry:
    """What decides the masks of a shard; where micrographs are cropped, what ingest makes too."""
    known = reads(study, ("ingest", shard)) if study.crops else {}
    return {**_drawn(study, shard), **known}


def _drawn(study: Study, shard: str) -> Ancestry:
    """The files of a shard's masks; where regions are drawn, the micrographs too."""
    if not study.draws_regions(shard):
        return _raw(study, shard, "mask")
    ancestry = _raw(study, shard, "mask", "image_key")
    names = map(os.path.basename, study.cells_of(shard, "image"))
    digests = _digests(study, study.cells_of(shard, "image"))
    drawn_on = zip(digests, names, strict=True)
    for cells, of in zip(ancestry["rows"].values(), drawn_on, strict=True):
        cells.extend(of)
    return {**ancestry, "columns": [*ancestry["columns"], "image", "image_name"]}


def reads(study: Study, *products: tuple[str, ...]) -> Ancestry:
    """The lineage of each product that is read."""
    return {"reads": {"/".join(product): study.lineage(*product) for product in products}}


def _normalisation(study: Study, shard: str) -> Ancestry:
    """The micrographs of a shard, and those that fix their scale, which may be in other shards."""
    references = study.scaled_by(shard)
    read = reads(study, ("ingest", shard), *(("ingest", other) for other in references))
    return {**read, "references": references} if references else read


def _alone(study: Study, cohort: str, shard: str, *steps: str) -> list[Any]:
    """What decides the micrographs of a cohort: what else joins their shard changes nothing."""
    group = study.shards.loc[shard, "group"]
    alone = cohorts.of_rows(study, study.prospects[cohort, shard].rows)
    known: list[Any] = [alone.lineage(step, group) for step in steps]
    names = [name for of in study.scaled_by(shard).values() for name in of]
    if names:
        fixing = study.rows[study.rows["micrograph"].isin(names)]
        known.append([names, cohorts.of_rows(study, fixing).lineage("ingest", group)])
    return known


def _training(study: Study, seed: str, fold: str) -> Ancestry:
    start = cohorts.predecessor(study, seed, fold)
    predecessor = {} if start is None else {"predecessor": start[1]}
    return study.learnt(seed, fold) | predecessor


def _prospect(study: Study, cohort: str, shard: str) -> Ancestry:
    prospect = study.prospects[cohort, shard]
    lineages = study.kept[prospect.kept].networks
    judges = {"/".join(of): lineages[of] for of in prospect.networks}
    known = _alone(study, cohort, shard, "normalise")
    return {"reads": {}, "alone": known, "kept": {str(prospect.kept): judges}}


def _assessment(study: Study, cohort: str, shard: str) -> Ancestry:
    known = _alone(study, cohort, shard, "annotate", "normalise")
    return {**reads(study, ("prospect", cohort, shard)), "alone": known}


def _summing(study: Study) -> Ancestry:
    read = [("evaluate", shard) for shard in study.evaluated]
    read += [("assess", *of) for of in study.prospects]
    by_cohort = cohorts.labelled(study.rows)
    return {
        "folds": study.shards["fold"][study.evaluated].to_dict(),
        **reads(study, *read),
        **({"cohorts": {str(key): names for key, names in by_cohort.items()}} if by_cohort else {}),
    }


def _reporting(study: Study) -> Ancestry:
    read = [("split",), ("summarise",), *(("train", *network) for network in study.networks)]
    read += [("predict", shard) for shard in study.predicted]
    scores = {str(kept.cohort): kept.summarised for kept in study.kept.values()}
    read += [("quarantine",)] if study.quarantines else []
    return {**reads(study, *read), **({"kept": scores} if scores else {})}


def _auditing(study: Study) -> Ancestry:
    """The report has all products before it; rows in quarantine are on record, and in none."""
    known = refusals.records(study)
    return {**reads(study, ("report",)), **({"quarantined": known} if known else {})}


def _dealt(study: Study) -> dict[str, int]:
    """Fold of each group of which there are annotated micrographs, not all in quarantine."""
    placed = study.folds["fold"].to_dict()
    if not study.quarantine.reasons:
        return placed
    left = set(study.shards.loc[study.annotated, "group"])
    return {group: fold for group, fold in placed.items() if group in left}


ANCESTRY: dict[str, Callable[..., Ancestry]] = {
    "ingest": lambda study, shard: _raw(study, shard, "image", *IMAGE_CELLS),
    "annotate": _annotations,
    "normalise": _normalisation,
    "tile": lambda study, shard: reads(study, ("normalise", shard), ("annotate", shard)),
    "split": lambda study: {
        "folds": _dealt(study),
        **reads(
            study, *((step, shard) for shard in study.annotated for step in ("ingest", "tile"))
        ),
    },
    "train": _training,
    "predict": lambda study, shard: reads(
        study,
        ("normalise", shard),
        *(("train", *network) for network in study.networks_for(shard)),
    ),
    "evaluate": lambda study, shard: reads(
        study, *((step, shard) for step in ("predict", "annotate", "normalise"))
    ),
    "prospect": _prospect,
    "assess": _assessment,
    "summarise": _summing,
    "quarantine": lambda study: {"reads": {}, "quarantined": refusals.content(study)},
    "report": _reporting,
    "audit": _auditing,
}
"""The ancestry of the product of each step, by step."""
