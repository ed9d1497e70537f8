"""A study as the graph needs it: which shards there are, what each job reads, and what decides it.

Everything here is known from the config, the sheet and the digests of the raw files, before any job
runs. The lineage of a product is the digest of all that decides it: raw bytes, settings and code of
its own step and of every step before. A job that has its lineage among its params
runs again when, and only when, its result can have changed.

Where the config leaves settings to the plan, and no plan is there yet, the digest of all that it
will be made from stands for them. The plan then keeps it, so that making it changes no lineage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd

from tessera import cohorts
from tessera.ancestries import ANCESTRY, Ancestry, reads
from tessera.channels import image_columns, key_of, split_column
from tessera.cohorts import Kept, Prospect
from tessera.digests import digest
from tessera.folds import assign_folds
from tessera.frames import is_json
from tessera.plans import OPEN, Plan, digest_of, filled, is_open
from tessera.quarantines import Quarantine
from tessera.references import references
from tessera.shards import assign_shards
from tessera.steps import LIKE, script_of, stated

WHOLE = "all"
"""The fold of a study without cross-validation: one network, nothing of its training held out."""


@dataclass(frozen=True)
class Study:
    """The rows of a study, in shards and folds.

    Parameters
    ----------
    rows : DataFrame
        As `sheets.expand` gives it, without those in quarantine.
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
    placed : DataFrame, optional
        The folds, where they are known already.
    kept : mapping
        The networks from before each cohort, as far as they were kept.
    quarantine : Quarantine
        The rows that are left out.
    """

    rows: pd.DataFrame
    sheet: str
    config: Mapping[str, Any]
    sha256: Mapping[str, str]
    code: Callable[[str], str]
    plan: Plan | None = None
    placed: pd.DataFrame | None = None
    kept: Mapping[int, Kept] = field(default_factory=dict)
    quarantine: Quarantine = field(default_factory=Quarantine)
    _lineages: dict[tuple[str, ...], str] = field(default_factory=dict, repr=False)
    _earlier: dict[int, Study | None] = field(default_factory=dict, repr=False)
    _cells: dict[str, list[Any]] = field(default_factory=dict, repr=False)

    def of(
        self,
        rows: pd.DataFrame,
        kept: Mapping[int, Kept] | None = None,
        quarantine: Quarantine | None = None,
    ) -> Study:
        """The same study, of other rows, with none in quarantine unless it is said."""
        fresh = {"placed": None, "_lineages": {}, "_earlier": {}, "_cells": {}}
        quarantine = quarantine or Quarantine()
        return replace(self, rows=rows, kept=kept or {}, quarantine=quarantine, **fresh)

    @cached_property
    def sheet_rows(self) -> pd.DataFrame:
        """The rows with those in quarantine, which keep their places in shards and folds."""
        return self.quarantine.with_others(self.rows)

    def before(self, cohort: int) -> Study | None:
        """The study before a cohort joined, see `cohorts.before`."""
        if cohort not in self._earlier:
            self._earlier[cohort] = cohorts.before(self, cohort)
        return self._earlier[cohort]

    @cached_property
    def prospects(self) -> dict[tuple[str, str], Prospect]:
        """What kept networks are tested on, by cohort and shard; see `cohorts.prospects`."""
        return cohorts.prospects(self)

    @cached_property
    def folds(self) -> pd.DataFrame:
        """Fold of each cross-validated group, see `folds.assign_folds`."""
        if self.placed is not None:
            return self.placed
        split = self.config["split"]
        return assign_folds(self.sheet_rows, split["method"], split["folds"], self.sheet)

    @cached_property
    def shards(self) -> pd.DataFrame:
        """One row a shard, indexed by its name: group, annotated, use, fold."""
        first = [positions[0] for positions in self._positions.values()]
        table = self.rows.iloc[first][["group", "annotated", "use"]]
        table = table.set_axis(pd.Index(self._positions, name="shard"))
        placed = table["annotated"] & (table["use"] == "cv")
        folds = table["group"].map(self.folds["fold"]).where(placed)
        names = [None if pd.isna(fold) else str(int(fold)) for fold in folds]
        return table.assign(fold=pd.Series(names, table.index, dtype=object))

    @cached_property
    def _positions(self) -> dict[str, list[int]]:
        """Where the rows of each shard are, by its name, sorted."""
        found = defaultdict(list)
        shards = assign_shards(self.sheet_rows, self.config["shard_size"])
        if self.quarantine.reasons:
            shards = shards[~self.sheet_rows["micrograph"].isin(self.quarantine.names)]
        for position, shard in enumerate(shards.tolist()):
            found[shard].append(position)
        return dict(sorted(found.items()))

    def rows_of(self, shard: str) -> pd.DataFrame:
        """The rows of one shard, in the order of its pages."""
        return self.rows.iloc[self._positions[shard]]

    def cells_of(self, shard: str, column: str) -> list[Any]:
        """One column of the rows of one shard."""
        cells = self._column(column)
        return [cells[position] for position in self._positions[shard]]

    def _column(self, name: str) -> list[Any]:
        # As lists: a shard at a time, pandas takes seconds for 100,000 rows.
        if name not in self._cells:
            self._cells[name] = self.rows[name].tolist()
        return self._cells[name]

    def scaled_by(self, shard: str) -> dict[str, list[str]]:
        """Micrographs, by shard, that fix the scale of a shard, if each has not its own."""
        return self._references.get(self.cells_of(shard, "group")[0], {})

    @cached_property
    def _references(self) -> dict[str, dict[str, list[str]]]:
        return references(self.rows, self._positions, self.config["normalise"])

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

    def learnt(self, seed: str, fold: str) -> Ancestry:
        """What a network learns from, whatever weights it starts with."""
        steps, shards = ("normalise", "tile"), self.training_shards(fold)
        read = ((step, shard) for shard in shards for step in steps)
        return {"seed": seed, **reads(self, *read)}

    def networks_for(self, shard: str) -> list[tuple[str, str]]:
        """(seed, fold) of each network that predicts a shard: its own fold's, or all of them."""
        own = self._fold_of[shard]
        folds = self.fold_names if own is None else [own]
        return [(seed, fold) for fold in folds for seed in self.seeds]

    @cached_property
    def _fold_of(self) -> dict[str, str | None]:
        return self.shards["fold"].to_dict()

    @property
    def seeds(self) -> list[str]:
        """The seeds that every fold is trained with."""
        return [str(seed) for seed in self.config["train"]["seeds"]]

    @property
    def networks(self) -> list[tuple[str, str]]:
        """(seed, fold) of every network."""
        return [(seed, fold) for fold in self.fold_names for seed in self.seeds]

    @cached_property
    def image_columns(self) -> list[str]:
        """Columns of the rows that name micrographs' files: image, and of further channels."""
        return image_columns(self.rows)

    def raw_columns(self, shard: str, kind: str) -> list[str]:
        """Those of them, or of masks, that some row of a shard has a file in; `kind` is either."""
        first, *others = self.image_columns if kind == "image" else [kind]
        return [first, *(column for column in others if any(self.cells_of(shard, column)))]

    def raw_cells(self, shard: str, kind: str) -> Iterator[tuple[int, str, str]]:
        """The cells of a shard that name raw files: which of its rows, column, path.

        A row has one, or one a channel.
        """
        columns = self.raw_columns(shard, kind)
        cells = zip(*(self.cells_of(shard, column) for column in columns), strict=True)
        for row, paths in enumerate(cells):
            yield from ((row, *of) for of in zip(columns, paths, strict=True) if of[1])

    def raw_rows(self, shard: str, kind: str, *more: str) -> list[dict[str, Any]]:
        """What a script needs to read each raw file of a shard, in the order of its rows.

        Parameters
        ----------
        shard : str
        kind : {'image', 'mask'}
        *more : str
            Further columns of the row.

        Returns
        -------
        list of dict
            micrograph, path, key, frame and more; channel, of a file of a further one.
        """
        names = ("micrograph", "frame", *more)
        rows = list(zip(*(self.cells_of(shard, name) for name in names), strict=True))
        columns = self.raw_columns(shard, kind)
        keys = {column: self.cells_of(shard, key_of(column)) for column in columns}
        channels = {column: split_column(column)[1] for column in columns}
        return [
            {
                **dict(zip(names, rows[row], strict=True)),
                "path": path,
                "key": keys[column][row],
                **({"channel": channels[column]} if channels[column] else {}),
            }
            for row, column, path in self.raw_cells(shard, kind)
        ]

    def draws_regions(self, shard: str) -> bool:
        """Whether annotations of a shard are regions, drawn on micrographs whose size they need."""
        return any(is_json(path) for path in self.cells_of(shard, "mask"))

    def needs_micrographs(self, shard: str) -> bool:
        """Whether annotations of a shard are read with what is known of the micrographs."""
        return self.crops or self.draws_regions(shard)

    @property
    def crops(self) -> bool:
        """Whether anything may be cut off micrographs."""
        return bool(self.config["ingest"]["crop"])

    def placement(self, shards: list[str]) -> list[dict[str, Any]]:
        """Name, group, annotated, use and fold of shards, for the scripts that handle many."""
        return self.shards.loc[shards].reset_index().to_dict("records")

    def raw_digests(self, shard: str, kind: str) -> list[str]:
        """SHA-256 of each of the files that `raw_rows` names."""
        return [self.sha256[path] for _, _, path in self.raw_cells(shard, kind)]

    def lineage(self, step: str, *of: str) -> str:
        """Digest of all that decides the product of a step: its settings, code and whole ancestry.

        Parameters
        ----------
        step : str
            Name of the rule.
        *of : str
            The shard; for `train`, seed and fold; for `prospect` and `assess`, cohort and shard;
            nothing for the steps that run once.
        """
        key, does = (step, *of), LIKE.get(step, step)
        if key not in self._lineages:
            self._lineages[key] = digest(
                self.identity(does), self.code(script_of(step)), self.ancestry(step, *of)
            )
        return self._lineages[key]

    def ancestry(self, step: str, *of: str) -> Ancestry:
        """What a step reads: raw files for the first, lineages for the others. See `ANCESTRY`."""
        return ANCESTRY[step](self, *of)

    @property
    def products(self) -> Iterator[tuple[str, ...]]:
        """Step, and what of it, of everything that has a lineage; see `lineage`."""
        yield from (("annotate", shard) for shard in self.annotated)
        for step in ("ingest", "normalise"):
            yield from ((step, shard) for shard in self.shards.index)
        yield from (("tile", shard) for shard in self.annotated)
        yield ("split",)
        yield from (("train", *network) for network in self.networks)
        yield from (("predict", shard) for shard in self.predicted)
        yield from (("evaluate", shard) for shard in self.evaluated)
        for step in LIKE:
            yield from ((step, *of) for of in self.prospects)
        yield ("summarise",)
        yield from ([("quarantine",)] if self.quarantines else [])
        yield from (("report",), ("audit",))

    @property
    def quarantines(self) -> bool:
        """Whether bad files are quarantined, so that there is a table of them."""
        return self.config["ingest"]["on_bad_file"] == "quarantine"

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
                self._lineages[key] = digest(step, self._planned_from)
            else:
                self._lineages[key] = digest_of(settings)
        return self._lineages[key]

    @cached_property
    def _planned_from(self) -> str:
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
        learnt = self.rows["annotated"] & (self.rows["use"] != "test")
        first = learnt & (self.rows["cohort"] == self.rows.loc[learnt, "cohort"].min())
        is_first, names = first.tolist(), self._column("micrograph")
        found = {
            shard: [names[position] for position in positions if is_first[position]]
            for shard, positions in self._positions.items()
        }
        return {shard: of for shard, of in found.items() if of}

    def waits_for_plan(self, step: str) -> bool:
        """Whether the config leaves to the plan some of what a step has to know."""
        # `train` is after all of them, and cuts the tiles.
        steps = ("normalise", "tile", "train") if step == "train" else (step,)
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
        return stated(self.config, step)
