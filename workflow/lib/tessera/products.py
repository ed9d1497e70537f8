"""Every product of a study: which job makes it, and what that job reads.

One table, `STEPS`, says for each rule which files it writes and reads; `jobs` spells it out for a
study. The manifest and the crate are made from it, and so is what is left over on disk; a test
holds it against the real graph of Snakemake. Paths start at the folder of results; one that ends
with a slash is a folder of predictions, whose files are all products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tessera import refusals
from tessera.cohorts import predecessor, told
from tessera.quarantines import Cell
from tessera.studies import Study

GATES = frozenset({"plan.yaml", "folds.tsv", "calibration.yaml"})
"""What a job waits for, or reads settings from: no pixel reaches it there. The settings themselves
are in its params."""

TABLE = "micrographs/{shard}.tsv"
RECORDED = ("micrographs/{shard}.tif", TABLE)
NORMALISED = ("normalised/{shard}.tif", "normalised/{shard}.tsv")
TILED = ("tiles/{shard}.parquet", "tiles/{shard}.tif")
LANDMARKS = "micrographs/{shard}.landmarks.parquet"
METADATA = "micrographs/{shard}.metadata.json"
ANNOTATED = ("masks/{shard}.tif", "masks/{shard}.tsv")
NETWORK = "networks/seed-{seed}/fold-{fold}"
TRAINED = (f"{NETWORK}.pt", f"{NETWORK}.history.tsv", f"{NETWORK}.lineage")
QUARANTINE = "quarantine.tsv"
SCORED = ("metrics.tsv", "lineages/study.summarise")
COHORT = "prospective/cohort-{cohort}"
IMAGES = ("mask", "probability", "entropy")
"""What is predicted of each micrograph."""

Names = Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """One job of a study.

    Parameters
    ----------
    rule : str
    names : dict
        Its wildcards.
    writes, reads : tuple of str
        Paths below the folder of results; those of `GATES` are not among what it reads.
    raw : tuple of (micrograph, column)
        The cells of the sheet whose files it reads; column is image or mask, or image.{channel}.
    settings : tuple of str
        The blocks of the config that reach it.
    """

    rule: str
    names: dict[str, str]
    writes: tuple[str, ...]
    reads: tuple[str, ...]
    raw: tuple[tuple[str, str], ...]
    settings: tuple[str, ...]

    @property
    def id(self) -> str:
        """Its name within the study."""
        return "/".join((self.rule, *self.names.values()))


@dataclass(frozen=True)
class Step:
    """What is true of every job of a rule.

    Parameters
    ----------
    each : callable
        The wildcards of its jobs, of a study.
    forms : tuple of str
        The paths that a job writes, with its wildcards in braces.
    reads : callable
        Paths, of a study and the wildcards of a job.
    raw : callable
        The cells of the sheet whose files a job reads, of a study and its wildcards.
    settings : tuple of str
        Blocks of the config that reach it, where that is not its own alone.
    writes : callable
        Paths, of a study and the wildcards of a job, where the forms hold more than those.
    """

    each: Callable[[Study], Iterable[Names]]
    forms: tuple[str, ...]
    reads: Callable[[Study, Names], Iterable[str]] = lambda study, names: ()
    raw: Callable[[Study, Names], Iterable[Cell]] = lambda study, names: ()
    settings: tuple[str, ...] = ()
    writes: Callable[[Study, Names], Iterable[str]] | None = None


def jobs(study: Study) -> Iterator[Job]:
    """Every job whose products the study holds, each after those it reads from."""
    for rule, step in STEPS.items():
        writes = step.writes or _own(*step.forms)
        for names in step.each(study):
            yield Job(
                rule,
                dict(names),
                tuple(writes(study, names)),
                tuple(step.reads(study, names)),
                tuple(step.raw(study, names)),
                step.settings or (rule,),
            )


def images(study: Study, job: Job) -> Iterator[str]:
    """Names of the files in a folder of predictions.

    Where there are several seeds, each one's networks give a mask by themselves.
    """
    if job.rule == "prospect":
        prospect = study.prospects[job.names["cohort"], job.names["shard"]]
        micrographs, networks = prospect.rows["micrograph"], prospect.networks
    else:
        micrographs = study.cells_of(job.names["shard"], "micrograph")
        networks = study.networks_for(job.names["shard"])
    seeds = sorted({seed for seed, _ in networks})
    kinds = (*IMAGES, *(f"mask.seed-{seed}" for seed in seeds if len(seeds) > 1))
    return (f"{micrograph}.{kind}.tif" for micrograph in micrographs for kind in kinds)


def _raw(kind: str) -> Callable[[Study, Names], Iterable[Cell]]:
    def cells(study: Study, names: Names) -> Iterable[Cell]:
        micrographs = study.cells_of(names["shard"], "micrograph")
        return ((micrographs[row], of) for row, of, _ in study.raw_cells(names["shard"], kind))

    return cells


def _once(study: Study) -> list[Names]:
    return [{}]


def _networks(study: Study) -> list[Names]:
    return [{"seed": seed, "fold": fold} for seed, fold in study.networks]


def _prospects(study: Study) -> list[Names]:
    return [{"cohort": cohort, "shard": shard} for cohort, shard in study.prospects]


def _shards(kind: str) -> Callable[[Study], Iterable[Names]]:
    return lambda study: [{"shard": shard} for shard in getattr(study, kind)]


def _own(*patterns: str) -> Callable[[Study, Names], Iterable[str]]:
    return lambda study, names: [pattern.format(**names) for pattern in patterns]


def _of(shards: Iterable[str], *patterns: str) -> Iterator[str]:
    return (pattern.format(shard=shard) for shard in shards for pattern in patterns)


def _read_by_normalise(study: Study, names: Names) -> Iterator[str]:
    yield from _of(dict.fromkeys([names["shard"], *study.scaled_by(names["shard"])]), *RECORDED)


def _read_by_predict(study: Study, names: Names) -> Iterator[str]:
    yield from _of([names["shard"]], "normalised/{shard}.tif", "micrographs/{shard}.tsv")
    for seed, fold in study.networks_for(names["shard"]):
        yield f"networks/seed-{seed}/fold-{fold}.pt"


def _read_by_train(study: Study, names: Names) -> Iterator[str]:
    patterns = ("normalised/{shard}.tif", *TILED)
    yield from _of(study.training_shards(names["fold"]), *patterns)
    start = predecessor(study, names["seed"], names["fold"])
    if start is not None:
        yield f"{COHORT}/{NETWORK}.pt".format(cohort=start[0], **names)


def _read_by_prospect(study: Study, names: Names) -> Iterator[str]:
    yield from _of([names["shard"]], "normalised/{shard}.tif", "micrographs/{shard}.tsv")
    prospect = study.prospects[names["cohort"], names["shard"]]
    for seed, fold in prospect.networks:
        yield f"{COHORT}/{NETWORK}.pt".format(cohort=prospect.kept, seed=seed, fold=fold)


def _read_by_summarise(study: Study, names: Names) -> Iterator[str]:
    yield from _of(study.evaluated, "evaluation/{shard}.parquet")
    for tested in _prospects(study):
        yield f"{COHORT}/evaluation/{{shard}}.parquet".format(**tested)


def _cohorts(study: Study) -> list[Names]:
    """Those of which networks are kept: while they have rows, or others are tested on those."""
    there = set(study.rows.loc[study.rows["annotated"], "cohort"])
    needed = there | {prospect.kept for prospect in study.prospects.values()}
    return [{"cohort": str(cohort)} for cohort in study.kept if cohort in needed]


def _kept(study: Study, names: Names) -> Iterator[str]:
    kept = study.kept[int(names["cohort"])]
    folder = COHORT.format(**names)
    for seed, fold in kept.networks:
        yield from (f"{folder}/{form}".format(seed=seed, fold=fold) for form in TRAINED)
    if kept.summarised:
        yield from (f"{folder}/{path}" for path in SCORED)
    yield from (f"{folder}/folds.tsv", f"{folder}/networks.tsv")


def _read_by_report(study: Study, names: Names) -> Iterator[str]:
    yield from ("folds.tsv", "leaks.tsv", "metrics.tsv")
    yield from ([QUARANTINE] if study.quarantines else [])
    for cohort in told(study):
        if cohort["scored"]:
            yield f"{COHORT}/metrics.tsv".format(cohort=cohort["kept"])
    for network in _networks(study):
        yield "networks/seed-{seed}/fold-{fold}.history.tsv".format(**network)
    recorded = ("micrographs/{shard}.tif", "micrographs/{shard}.tsv")
    yield from _of(study.predicted, *recorded, "predictions/{shard}/", "lineages/{shard}.predict")
    yield from _of(study.evaluated, "masks/{shard}.tif")


STEPS: dict[str, Step] = {
    "ingest": Step(
        lambda study: [{"shard": s} for s in study.shards.index],
        (*RECORDED, LANDMARKS, METADATA),
        raw=_raw("image"),
    ),
    "annotate": Step(
        _shards("annotated"),
        ANNOTATED,
        lambda study, names: _of(filter(study.needs_micrographs, names.values()), TABLE),
        raw=_raw("mask"),
    ),
    "normalise": Step(
        lambda study: [{"shard": s} for s in study.shards.index],
        NORMALISED,
        _read_by_normalise,
    ),
    "plan": Step(lambda study: [{}] if study.waits_for_plan("train") else [], ("plan.yaml",)),
    "tile": Step(
        _shards("annotated"),
        TILED,
        _own("normalised/{shard}.tsv", TABLE, *ANNOTATED),
    ),
    "split": Step(
        _once,
        ("folds.tsv", "leaks.tsv"),
        lambda study, names: _of(study.annotated, *RECORDED, LANDMARKS, "tiles/{shard}.parquet"),
    ),
    "train": Step(_networks, TRAINED, _read_by_train, settings=("tile", "train")),
    "predict": Step(
        _shards("predicted"),
        ("predictions/{shard}/", "lineages/{shard}.predict"),
        _read_by_predict,
    ),
    "evaluate": Step(
        _shards("evaluated"),
        ("evaluation/{shard}.parquet",),
        _own(
            "predictions/{shard}/", "lineages/{shard}.predict", *ANNOTATED, "normalised/{shard}.tif"
        ),
    ),
    "keep": Step(
        _cohorts,
        tuple(f"{COHORT}/{form}" for form in (*TRAINED, *SCORED, "folds.tsv", "networks.tsv")),
        writes=_kept,
    ),
    "prospect": Step(
        _prospects,
        (f"{COHORT}/predictions/{{shard}}/", f"{COHORT}/lineages/{{shard}}.prospect"),
        _read_by_prospect,
        settings=("predict",),
    ),
    "assess": Step(
        _prospects,
        (f"{COHORT}/evaluation/{{shard}}.parquet",),
        _own(
            *(f"{COHORT}/predictions/{{shard}}/", f"{COHORT}/lineages/{{shard}}.prospect"),
            *(*ANNOTATED, "normalised/{shard}.tif"),
        ),
        settings=("evaluate",),
    ),
    "summarise": Step(_once, SCORED, _read_by_summarise),
    "quarantine": Step(
        lambda study: [{}] if study.quarantines else [],
        (QUARANTINE,),
        raw=lambda study, names: refusals.raw_cells(study),
        settings=("ingest", "annotate"),
    ),
    "report": Step(
        _once,
        ("report.html",),
        _read_by_report,
        settings=("report", "split", "normalise", "tile", "train"),
    ),
}
"""What each rule writes and reads: the one place to add a product. In the order of the steps."""
