"""Why a job runs, in the words of what was changed.

A product's lineage, as it was when the product was made, is held against today's. Where they
differ, their records say whether the code, a setting, a raw file or a group is another, or which
product that was read; that one is then looked at in the same way, back to where nothing is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tessera.ancestries import Ancestry
from tessera.channels import split_column
from tessera.lineages import Record, record_of
from tessera.pixel_sizes import AUTO
from tessera.plans import OPEN
from tessera.studies import Study

NAMES_SHOWN = 8
IN_WORDS = {"image": "image", "mask": "mask", "pixel_size_nm": "pixel size"}
IN_WORDS |= dict.fromkeys(("file", "image_name"), "file name")
"""Columns of a row whose change is told by name; of the others, how it is read has changed."""

CHANGED = {
    "predecessor": "another network to start from",
    "kept": "other networks from before a cohort",
    "quarantined": "what is in quarantine changed",
    "alone": "micrographs of a cohort, or how they are read, changed",
    "references": "other micrographs fix the scale of grey levels of their group",
}
"""Parts of an ancestry that name no product."""

Product = tuple[str, ...]
"""Step, and what of it: the shard, or seed and fold."""


@dataclass(frozen=True, order=True)
class Cause:
    """One change.

    Parameters
    ----------
    what : str
        In words, `{}` where the name stands.
    name : str
        Of the micrograph, group or file that it concerns.
    """

    what: str
    name: str = ""


NOT_ON_RECORD = Cause("what it was made from is not on record")


@dataclass(frozen=True)
class Explainer:
    """Finds the causes by which products differ from what a study would make of them today.

    Parameters
    ----------
    study : Study
    record : callable
        What a lineage stands for; None where it is not known.
    made : mapping
        Lineage of each product, as it was when it was made.
    """

    study: Study
    record: Callable[[str], Record | None]
    made: Mapping[Product, str]
    _found: dict[tuple[Product, str | None], set[Cause]] = field(default_factory=dict, repr=False)

    def causes(self, product: Product) -> set[Cause]:
        """All that has changed since a product was made; nothing where its lineage is today's."""
        return self._since(product, self.made.get(product))

    def _since(self, product: Product, was: str | None) -> set[Cause]:
        key = (product, was)
        if key not in self._found:
            self._found[key] = set()  # whatever is asked for again while this is looked for
            self._found[key] = set(self._differences(product, was))
        return self._found[key]

    def _differences(self, product: Product, was: str | None) -> Iterator[Cause]:
        step = product[0]
        if was == self.study.lineage(*product):
            return
        now = record_of(self.study, *product)
        if was is None:
            yield from self._of_new(product, now)
            return
        then = self.record(was)
        if then is None:
            yield NOT_ON_RECORD
            return
        if then.code != now.code:
            yield Cause("code of {} changed", f"`{step}`")
        yield from changed_settings(step, then.settings, now.settings)
        if "rows" in now.ancestry:
            yield from self._changed_rows(step, then.ancestry, now.ancestry)
            then_read, now_read = (of.ancestry.get("reads", {}) for of in (then, now))
            for read in then_read.keys() | now_read.keys():
                key = tuple(read.split("/"))
                both = read in then_read and read in now_read
                yield from self._since(key, then_read[read]) if both else self.causes(key)
            return
        if step == "split":
            yield from self._changed_folds(then.ancestry["folds"], now.ancestry["folds"])
        for key, what in CHANGED.items():
            if then.ancestry.get(key) != now.ancestry.get(key):
                yield Cause(what)
        yield from changed_cohorts(then.ancestry, now.ancestry)
        yield from self._changed_reads(product, then.ancestry["reads"], now.ancestry["reads"])

    def _of_new(self, product: Product, now: Record) -> Iterator[Cause]:
        """Why a product that was never made is made: rows that joined, or what it reads is new."""
        if "rows" in now.ancestry:
            yield from map(self._row_joined, now.ancestry["rows"])
            return
        found: set[Cause] = set()
        for read in now.ancestry["reads"]:
            found |= self.causes(tuple(read.split("/")))
        if not found:
            is_network = product[0] == "train"
            name = network_in_words(*product[1:]) if is_network else in_words([product])
            found = {Cause("network of {} is new" if is_network else "{} was never made", name)}
        yield from found

    def _changed_rows(self, step: str, then: Ancestry, now: Ancestry) -> Iterator[Cause]:
        """Micrographs of a shard that joined, left, or are read from something else."""
        old, new, noun = then["rows"], now["rows"], "image" if step == "ingest" else "mask"
        yield from map(self._row_joined, new.keys() - old.keys())
        yield from map(self._row_left, old.keys() - new.keys())
        for name in old.keys() & new.keys():
            before = dict(zip(then["columns"], old[name], strict=True))
            after = dict(zip(now["columns"], new[name], strict=True))
            for column in after:
                if before.get(column) != after[column]:
                    kind, channel = split_column(column)
                    changed = IN_WORDS.get(kind, f"place of the {noun}")
                    changed += f" ({channel})" if channel else ""
                    yield Cause(f"{changed} of {{}} changed", name)

    def _row_joined(self, micrograph: str) -> Cause:
        if micrograph not in self._micrographs_before:
            return Cause("{} joined", micrograph)
        # It was of the study, in another shard: there are shards with masks and shards without.
        gone_or_come = "joined" if self._annotated[micrograph] else "left"
        return Cause(f"mask of {{}} {gone_or_come}", micrograph)

    def _row_left(self, micrograph: str) -> Cause:
        if micrograph in self.study.quarantine.names:
            return Cause("{} is in quarantine now", micrograph)
        known = micrograph in self._annotated
        return self._row_joined(micrograph) if known else Cause("{} left", micrograph)

    def _changed_folds(self, then: dict[str, int], now: dict[str, int]) -> Iterator[Cause]:
        for group in then.keys() - now.keys():
            yield Cause("group {} left", group)
        for group in now:
            if group not in then:
                yield Cause(f"group {{}} joined fold {now[group]}", group)
            elif then[group] != now[group]:
                yield Cause(f"group {{}} moved to fold {now[group]}", group)

    def _changed_reads(
        self, product: Product, then: dict[str, str], now: dict[str, str]
    ) -> Iterator[Cause]:
        groups = {self._placed(read)[0] for read in then}
        for read in then.keys() | now.keys():
            key = tuple(read.split("/"))
            if read in then and read in now:
                yield from self._since(key, then[read])
            elif key[0] == "train" and read in then:
                yield self._network_left(product, key)
            elif key[0] == "train" or product[0] != "train":
                yield from self.causes(key) if read in now else [self._group_left(read)]
            elif read in now and self._placed(read)[0] in groups:
                yield from self.causes(key)  # more of a group whose other micrographs it knew
            else:
                yield self._other_training(read, read in now)

    def _network_left(self, product: Product, network: Product) -> Cause:
        group, fold = self._placed("/".join(product))
        if fold is not None and network[2] != fold:
            return Cause(f"group {{}} moved to fold {fold}", group)
        return Cause("network of {} left", network_in_words(*network[1:]))

    def _other_training(self, read: str, joined: bool) -> Cause:
        group, fold = self._placed(read)
        if fold is None:
            return (
                Cause("group {} joined all training", group) if joined else self._group_left(read)
            )
        known = ("ingest", read.split("/")[1]) in self.made
        return Cause(f"group {{}} {'moved to' if known else 'joined'} fold {fold}", group)

    def _group_left(self, read: str) -> Cause:
        if read == "quarantine":
            return Cause("bad files stop the run again")
        return Cause("group {} left", self._placed(read)[0])

    def _placed(self, read: str) -> tuple[str, str | None]:
        """Group and fold of the shard of a product, also of one that the study has no more."""
        shard, shards = read.split("/")[-1], self.study.shards
        if shard in shards.index:
            return shards.loc[shard, "group"], shards.loc[shard, "fold"]
        return shard.split("+")[0], None

    @cached_property
    def _annotated(self) -> dict[str, bool]:
        """Whether each micrograph of the study has a mask."""
        rows = self.study.rows
        return dict(zip(rows["micrograph"], rows["annotated"], strict=True))

    @cached_property
    def _micrographs_before(self) -> set[str]:
        records = (self.record(was) for (step, *_), was in self.made.items() if step == "ingest")
        return {name for record in records if record for name in record.ancestry["rows"]}


def changed_cohorts(then: Ancestry, now: Ancestry) -> Iterator[Cause]:
    """Micrographs that are of another cohort; those that joined or left are told elsewhere."""
    old, new = (
        {name: cohort for cohort, names in of.get("cohorts", {}).items() for name in names}
        for of in (then, now)
    )
    for name in old.keys() & new.keys():
        if old[name] != new[name]:
            yield Cause("cohort of {} changed", name)


def changed_settings(step: str, then: dict[str, Any], now: dict[str, Any]) -> Iterator[Cause]:
    """Settings of a step that differ, with both values; what was open then says nothing.

    Examples
    --------
    >>> [cause.name for cause in changed_settings("tile", {"seed": 0}, {"seed": 1})]
    ['tile: seed: 0, now 1']
    """
    for key in sorted(then.keys() | now.keys()):
        old, new = then.get(key), now.get(key)
        was_open = old == AUTO and step in OPEN
        if old != new and not was_open:
            yield Cause("config changed, {}", f"{step}: {key}: {old}, now {new}")


def told(jobs: Mapping[Product, Iterable[Cause]]) -> list[tuple[str, str]]:
    """(change, jobs) in words, one pair for all changes of one kind that run the same jobs.

    Parameters
    ----------
    jobs : mapping
        Causes of each job.
    """
    by_cause: dict[Cause, list[Product]] = defaultdict(list)
    for product, causes in jobs.items():
        for cause in causes:
            by_cause[cause].append(product)
    names: dict[tuple[str, tuple[Product, ...]], list[str]] = defaultdict(list)
    for cause in sorted(by_cause):
        names[cause.what, tuple(by_cause[cause])].append(cause.name)
    return [(what.format(listed(of)), in_words(run)) for (what, run), of in names.items()]


def in_words(products: Iterable[Product]) -> str:
    """Jobs by step, in the order in which they come.

    Examples
    --------
    >>> in_words([("annotate", "a"), ("train", "0", "1"), ("train", "0", "2"), ("report",)])
    'annotate a; train seed 0 fold 1, seed 0 fold 2; report'
    """
    by_step: dict[str, list[str]] = defaultdict(list)
    for step, *of in products:
        name = network_in_words(*of) if step == "train" else " of cohort ".join(of[::-1])
        by_step[step].append(name)
    return "; ".join(f"{step} {listed(of)}".strip() for step, of in by_step.items())


def network_in_words(seed: str, fold: str) -> str:
    """Which network."""
    return f"seed {seed} fold {fold}"


def listed(names: list[str]) -> str:
    """Names with commas, the first few where there are many.

    Examples
    --------
    >>> listed(["a", "b"])
    'a, b'
    """
    shown = ", ".join(names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
