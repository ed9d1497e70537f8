"""A study as the graph needs it: which shards there are, what each job reads, and what decides it.

Everything here is known from the config, the sheet and the digests of the raw files, before any job
runs. The lineage of a product is the digest of all that decides it: raw bytes, settings and code of
its own step and of every step before. A job that lists the lineage of what it reads among its
params runs again when, and only when, its result can have changed.

Where the config leaves settings to the plan, and no plan is there yet, the digest of all that it
will be made from stands for them. The plan then keeps it, so that making it changes no lineage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from tessera.digests import digest
from tessera.folds import assign_folds
from tessera.planning import OPEN, Plan, filled, is_open
from tessera.shards import assign_shards

WHOLE = "all"
"""The fold of a study without cross-validation: one network, nothing of its training held out."""


@dataclass(frozen=True)
class Study:
    """The rows of a study, in shards and folds.

    Parameters
    ----------
    rows : DataFrame
        As `sheets.expand` gives it.
    sheet : str
        Path of the sheet, for errors.
    config : mapping
        The whole config; one block a rule.
    sha256 : mapping
        Digest of each raw file, by path.
    code : callable
        Digest of the code of a script, by its name.
    plan : Plan, optional
        What settles the values that the config leaves open, once it is made.
    """

    rows: pd.DataFrame
    sheet: str
    config: Mapping[str, Any]
    sha256: Mapping[str, str]
    code: Callable[[str], str]
    plan: Plan | None = None
    _lineages: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False)

    @cached_property
    def folds(self) -> pd.DataFrame:
        """Fold of each cross-validated group, see `folds.assign_folds`."""
        split = self.config["split"]
        return assign_folds(self.rows, split["method"], split["folds"], self.sheet)

    @cached_property
    def shards(self) -> pd.DataFrame:
        """One row a shard, indexed by its name: group, annotated, use, fold."""
        table = self._by_shard.first()[["group", "annotated", "use"]]
        placed = table["annotated"] & (table["use"] == "cv")
        folds = table["group"].map(self.folds["fold"]).where(placed)
        names = [None if pd.isna(fold) else str(int(fold)) for fold in folds]
        return table.assign(fold=pd.Series(names, table.index, dtype=object))

    @cached_property
    def _by_shard(self):
        return self.rows.assign(shard=assign_shards(self.rows, self.config["shard_size"])).groupby(
            "shard"
        )

    def rows_of(self, shard: str) -> pd.DataFrame:
        """The rows of one shard, in the order of its pages."""
        return self._by_shard.get_group(shard)

    @cached_property
    def fold_names(self) -> list[str]:
        """One network is trained for each of these and each seed."""
        if not self.folds.empty:
            return [str(fold) for fold in sorted(set(self.folds["fold"]))]
        return [WHOLE] if self.annotated else []

    @cached_property
    def annotated(self) -> list[str]:
        """Shards with masks."""
        return list(self.shards.index[self.shards["annotated"]])

    @cached_property
    def predicted(self) -> list[str]:
        """Shards that are predicted: all but those that only train, which no network may judge."""
        return list(self.shards.index[~self._only_train])

    @cached_property
    def evaluated(self) -> list[str]:
        """Shards whose prediction is held against a mask."""
        return list(self.shards.index[self.shards["annotated"] & ~self._only_train])

    @property
    def _only_train(self) -> pd.Series:
        return self.shards["annotated"] & (self.shards["use"] == "train")

    def training_shards(self, fold: str) -> list[str]:
        """Shards that a fold's networks learn from: none of the fold itself, none for testing."""
        shards = self.shards[self.shards["annotated"] & (self.shards["use"] != "test")]
        return list(shards.index[shards["fold"] != fold])

    def networks_for(self, shard: str) -> list[tuple[str, str]]:
        """(seed, fold) of each network that predicts a shard: its own fold's, or all of them."""
        own = self.shards.loc[shard, "fold"]
        folds = self.fold_names if own is None else [own]
        return [(seed, fold) for fold in folds for seed in self.seeds]

    @property
    def seeds(self) -> list[str]:
        """The seeds that every fold is trained with."""
        return [str(seed) for seed in self.config["train"]["seeds"]]

    def raw_rows(self, shard: str, column: str, *more: str) -> list[dict[str, Any]]:
        """What a script needs to read the image or the mask of each row of a shard."""
        names = {column: "path", f"{column}_key": "key"}
        wanted = ["micrograph", column, f"{column}_key", "frame", *more]
        return self.rows_of(shard)[wanted].rename(columns=names).to_dict("records")

    def placement(self, shards: list[str]) -> list[dict[str, Any]]:
        """Name, group, annotated, use and fold of shards, for the scripts that handle many."""
        return self.shards.loc[shards].reset_index().to_dict("records")

    def raw_digests(self, shard: str, column: str) -> list[str]:
        """SHA-256 of the file of each row of a shard; `column` is image or mask."""
        return [self.sha256[path] for path in self.rows_of(shard)[column]]

    def lineage(self, step: str, *of: str) -> str:
        """Digest of all that decides the product of a step: its settings, code and whole ancestry.

        Parameters
        ----------
        step : str
            Name of the rule.
        *of : str
            The shard; for `train`, seed and fold; nothing for the steps that run once.
        """
        key = (step, *of)
        if key not in self._lineages:
            self._lineages[key] = digest(
                self.identity(step), self.code(f"{step}.py"), self.upstream(step, *of)
            )
        return self._lineages[key]

    def identity(self, step: str) -> Any:
        """What stands for a step's settings in lineages: themselves, or where they are from."""
        key = ("identity", step)
        if step not in OPEN:
            return self.settings(step)
        if key not in self._lineages:
            settings = self.settings(step)
            if self.plan is not None:
                self._lineages[key] = self.plan.identity(step, settings)
            elif is_open(step, settings):
                self._lineages[key] = digest(step, self._prospect)
            else:
                self._lineages[key] = digest(settings)
        return self._lineages[key]

    @cached_property
    def _prospect(self) -> str:
        """Digest of all that the plan will be made from."""
        read = [
            [shard, names, self.lineage("ingest", shard), self.lineage("annotate", shard)]
            for shard, names in self.surveyed.items()
        ]
        return digest(self.code("plan.py"), {step: self.stated(step) for step in OPEN}, read)

    @cached_property
    def surveyed(self) -> dict[str, list[str]]:
        """What a plan is made from: annotated micrographs of the first cohort, by shard.

        Those for testing only are left out: nothing of them may enter training.
        """
        rows = self.rows.assign(shard=assign_shards(self.rows, self.config["shard_size"]))
        rows = rows[rows["annotated"] & (rows["use"] != "test")]
        first = rows[rows["cohort"] == rows["cohort"].min()]
        return {shard: of["micrograph"].tolist() for shard, of in first.groupby("shard")}

    def waits_for_plan(self, step: str) -> bool:
        """Whether the config leaves to the plan some of what a step has to know."""
        steps = ("tile", "train") if step == "train" else (step,)  # `train` cuts the tiles
        return any(is_open(name, self.stated(name)) for name in steps)

    def settings(self, step: str, plan: Plan | None = None) -> dict[str, Any]:
        """The config that reaches a step, what is open in it filled from the plan.

        Left open where there is none, neither the study's own nor `plan`.
        """
        block, plan = self.stated(step), plan or self.plan
        if plan is not None and step in OPEN:
            return filled(step, block, plan.values)
        return block

    def stated(self, step: str) -> dict[str, Any]:
        """What the config itself says to a step."""
        if step == "calibrate":
            return self._calibrated()
        block = dict(self.config.get(step) or {})
        block.pop("seeds", None)  # each network has one: a wildcard, not a setting
        if step == "split" and block["method"] != "group-k-fold":
            block.pop("folds")  # the other methods find their number in the sheet
        if step in USES_CLASSES:
            # As pairs: the order of classes is their code, and a mapping's order reaches no digest.
            block["classes"] = [list(pair) for pair in self.config["classes"].items()]
        if step == "annotate":
            block |= {key: self.config[key] for key in ("ignore", "other")}
        return block

    def _calibrated(self) -> dict[str, Any]:
        """What the time and the memory of a step depend on."""
        block = {key: value for key, value in self.stated("train").items() if key not in COST_FREE}
        n_classes = len(block.pop("classes"))
        return block | {"size_px": self.config["tile"]["size_px"], "n_classes": n_classes}

    def upstream(self, step: str, *of: str) -> str:
        """Digest of all that a step reads: raw files for the first, lineages for the others."""
        return digest(ANCESTRY[step](self, *of))


USES_CLASSES = {"annotate", "tile", "split", "train", "predict", "evaluate", "summarise", "report"}
"""Steps whose params hold the declared classes."""

COST_FREE = {"epochs", "learning_rate", "weight_decay", "jitter_px", "focal_gamma"}
COST_FREE |= {"class_weights", "pos_weight"}
"""Settings of `train` that change neither the time nor the memory of a step."""


def _raw(study: Study, shard: str, column: str, *more: str) -> list[Any]:
    """What decides the reading of a shard's files: bytes and cells of the sheet, not paths."""
    rows = study.rows_of(shard)
    names = ("micrograph", f"{column}_key", "frame", *more)
    said = [[str(cell) for cell in rows[name].tolist()] for name in names]
    return [said, study.raw_digests(shard, column)]


def _training(study: Study, seed: str, fold: str) -> list[Any]:
    shards = study.training_shards(fold)
    steps = ("normalise", "annotate", "tile")
    return [seed, [[shard, *(study.lineage(step, shard) for step in steps)] for shard in shards]]


def _networks(study: Study, shard: str) -> list[str]:
    return [study.lineage("train", seed, fold) for seed, fold in study.networks_for(shard)]


ANCESTRY: dict[str, Callable[..., list[Any]]] = {
    "ingest": lambda study, shard: _raw(study, shard, "image", "pixel_size_nm"),
    "annotate": lambda study, shard: _raw(study, shard, "mask"),
    "normalise": lambda study, shard: [study.lineage("ingest", shard)],
    "tile": lambda study, shard: [study.lineage(step, shard) for step in ("normalise", "annotate")],
    "split": lambda study: [
        study.folds["fold"].to_dict(),
        [[study.lineage(step, shard) for step in ("ingest", "tile")] for shard in study.annotated],
    ],
    "train": _training,
    "predict": lambda study, shard: [study.lineage("normalise", shard), *_networks(study, shard)],
    "evaluate": lambda study, shard: [
        study.lineage(step, shard) for step in ("predict", "annotate", "normalise")
    ],
    "summarise": lambda study: [
        [shard, study.shards.loc[shard, "fold"], study.lineage("evaluate", shard)]
        for shard in study.evaluated
    ],
    "report": lambda study: [
        study.lineage("split"),
        study.lineage("summarise"),
        [study.lineage("train", seed, fold) for fold in study.fold_names for seed in study.seeds],
        [study.lineage("predict", shard) for shard in study.predicted],
    ],
    "audit": lambda study: [study.lineage("report")],  # which has all others before it
}
"""What the product of each step is made from, by step."""
