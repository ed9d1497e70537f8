"""Every product of a study: which job makes it, and what that job reads.

One table, `STEPS`, says for each rule which files it writes and reads; `jobs` spells it out for a
study. The manifest and the crate are made from it, and a test holds it against the real graph of
Snakemake. Paths start at the folder of results; one that ends with a slash is a folder, whose files
are all products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tessera.studies import Study

GATES = frozenset({"plan.yaml", "folds.tsv", "calibration.yaml"})
"""What a job waits for, or reads settings from: no pixel reaches it there. The settings themselves
are in its params."""

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
        The cells of the sheet whose files it reads; column is image or mask.
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
    writes : sequence of str
        With wildcards.
    reads : callable
        Paths, of a study and the wildcards of a job.
    raw : str
        Column of the sheet whose files it reads.
    settings : tuple of str
        Blocks of the config that reach it, where that is not its own alone.
    """

    each: Callable[[Study], Iterable[Names]]
    writes: Sequence[str]
    reads: Callable[[Study, Names], Iterable[str]] = lambda study, names: ()
    raw: str = ""
    settings: tuple[str, ...] = ()


def jobs(study: Study) -> Iterator[Job]:
    """Every job whose products the study holds, each after those it reads from."""
    for rule, step in STEPS.items():
        for names in step.each(study):
            yield Job(
                rule,
                dict(names),
                tuple(pattern.format(**names) for pattern in step.writes),
                tuple(step.reads(study, names)),
                tuple(_raw(study, step.raw, names)),
                step.settings or (rule,),
            )


def _raw(study: Study, column: str, names: Names) -> Iterable[tuple[str, str]]:
    if not column:
        return ()
    return ((name, column) for name in study.rows_of(names["shard"])["micrograph"])


def _once(study: Study) -> list[Names]:
    return [{}]


def _networks(study: Study) -> list[Names]:
    return [{"seed": seed, "fold": fold} for fold in study.fold_names for seed in study.seeds]


def _shards(kind: str) -> Callable[[Study], Iterable[Names]]:
    return lambda study: [{"shard": shard} for shard in getattr(study, kind)]


def _own(*patterns: str) -> Callable[[Study, Names], Iterable[str]]:
    return lambda study, names: [pattern.format(**names) for pattern in patterns]


def _of(shards: Iterable[str], *patterns: str) -> Iterator[str]:
    return (pattern.format(shard=shard) for shard in shards for pattern in patterns)


def _read_by_predict(study: Study, names: Names) -> Iterator[str]:
    yield from _of([names["shard"]], "normalised/{shard}.tif", "micrographs/{shard}.tsv")
    for seed, fold in study.networks_for(names["shard"]):
        yield f"networks/seed-{seed}/fold-{fold}.pt"


def _read_by_report(study: Study, names: Names) -> Iterator[str]:
    yield from ("folds.tsv", "metrics.tsv")
    for network in _networks(study):
        yield "networks/seed-{seed}/fold-{fold}.history.tsv".format(**network)
    recorded = ("micrographs/{shard}.tif", "micrographs/{shard}.tsv")
    yield from _of(study.predicted, *recorded, "predictions/{shard}/", "lineages/{shard}.predict")
    yield from _of(study.evaluated, "masks/{shard}.tif")


RECORDED = ("micrographs/{shard}.tif", "micrographs/{shard}.tsv")
ANNOTATED = ("masks/{shard}.tif", "masks/{shard}.tsv")
NETWORK = "networks/seed-{seed}/fold-{fold}"

STEPS: dict[str, Step] = {
    "ingest": Step(lambda study: [{"shard": s} for s in study.shards.index], RECORDED, raw="image"),
    "annotate": Step(_shards("annotated"), ANNOTATED, raw="mask"),
    "normalise": Step(
        lambda study: [{"shard": s} for s in study.shards.index],
        ["normalised/{shard}.tif"],
        _own(*RECORDED),
    ),
    "plan": Step(lambda study: [{}] if study.waits_for_plan("train") else [], ["plan.yaml"]),
    "tile": Step(
        _shards("annotated"),
        ["tiles/{shard}.parquet"],
        _own("normalised/{shard}.tif", *ANNOTATED),
    ),
    "split": Step(
        _once,
        ["folds.tsv"],
        lambda study, names: _of(
            study.annotated, "micrographs/{shard}.tsv", "tiles/{shard}.parquet"
        ),
    ),
    "train": Step(
        _networks,
        [f"{NETWORK}.pt", f"{NETWORK}.history.tsv", f"{NETWORK}.lineage"],
        lambda study, names: _of(
            study.training_shards(names["fold"]),
            *("normalised/{shard}.tif", "masks/{shard}.tif", "tiles/{shard}.parquet"),
        ),
        settings=("tile", "train"),
    ),
    "predict": Step(
        _shards("predicted"),
        ["predictions/{shard}/", "lineages/{shard}.predict"],
        _read_by_predict,
    ),
    "evaluate": Step(
        _shards("evaluated"),
        ["evaluation/{shard}.parquet"],
        _own(
            "predictions/{shard}/", "lineages/{shard}.predict", *ANNOTATED, "normalised/{shard}.tif"
        ),
    ),
    "summarise": Step(
        _once,
        ["metrics.tsv"],
        lambda study, names: _of(study.evaluated, "evaluation/{shard}.parquet"),
    ),
    "report": Step(_once, ["report.html"], _read_by_report, settings=("report", "split", "train")),
}
"""What each rule writes and reads: the one place to add a product. In the order of the steps."""
