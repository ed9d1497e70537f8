"""Cohorts: what a study was before one joined, and how the networks of then do on what joined.

Folds are append-only and the plan is frozen, so the study before a cohort is the study of the rows
before it. Where networks of just that study lie on disk when a cohort joins, they are kept before
new ones replace them. A kept network judges the cohorts that it has learnt nothing from: a group
that it knew only if it was held out there. And a training may start from it, with no leak, because
it has learnt from nothing that the training may not see.

Which networks are kept is a matter of history. All else follows from that, the sheet and the
config.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tessera.digests import digest
from tessera.problems import BadInput

if TYPE_CHECKING:
    import pandas as pd

    from tessera.studies import Study

Network = tuple[str, str]
"""Seed and fold."""


@dataclass(frozen=True)
class Kept:
    """The networks from before a cohort.

    Parameters
    ----------
    cohort : int
        The one that they come before.
    networks : mapping of (seed, fold) to str
        The lineage of each.
    groups : mapping of str to (use, fold)
        Every annotated group of then; the fold is empty where none held it out.
    summarised : str
        Lineage of the scores of then; empty where they were not kept.
    outlook : str
        What the networks can be shown, see `outlook`.
    """

    cohort: int
    networks: Mapping[Network, str]
    groups: Mapping[str, tuple[str, str]]
    summarised: str = ""
    outlook: str = ""

    def judges(self, group: str) -> list[Network]:
        """The networks that have learnt nothing from a group."""
        use, fold = self.groups.get(group, ("test", ""))
        known = {"test": self.networks, "train": ()}
        return list(known.get(use, [network for network in self.networks if network[1] == fold]))


@dataclass(frozen=True)
class Prospect:
    """What kept networks are tested on in one shard: the micrographs of one cohort.

    Parameters
    ----------
    kept : int
        The cohort that the networks come before.
    networks : list of (seed, fold)
        Those that have learnt nothing from the shard's group.
    rows : DataFrame
        Of the sheet.
    """

    kept: int
    networks: list[Network]
    rows: pd.DataFrame


def labelled(rows: pd.DataFrame) -> dict[int, list[str]]:
    """Annotated micrographs that are tested on, by cohort; of one cohort nothing is said."""
    judged = rows[rows["annotated"] & (rows["use"] != "train")]
    names = {int(cohort): of["micrograph"].tolist() for cohort, of in judged.groupby("cohort")}
    return names if len(names) > 1 else {}


def joined(rows: pd.DataFrame) -> list[int]:
    """Cohorts whose joining made other networks, in order: labelled, and none was before the first.

    A last cohort for testing only is not among them: it left the networks as they were, and its
    scores are those of networks from before it anyway.
    """
    cohorts = sorted(set(rows.loc[rows["annotated"], "cohort"]))
    newest = _newest_learnt(rows)
    return [int(cohort) for cohort in cohorts[1:] if newest is not None and cohort <= newest]


def _newest_learnt(rows: pd.DataFrame) -> int | None:
    """The newest cohort that the networks of these rows learn from."""
    cohorts = rows.loc[rows["annotated"] & (rows["use"] != "test"), "cohort"]
    return None if cohorts.empty else int(cohorts.max())


def before(study: Study, cohort: int) -> Study | None:
    """The study of the rows before a cohort; None if there was none to train networks in."""
    rows = study.rows[study.rows["cohort"] < cohort].reset_index(drop=True)
    kept = {other: of for other, of in study.kept.items() if other < cohort}
    earlier = study.of(rows, kept=kept, quarantine=study.quarantine.before(cohort))
    try:
        trainable = [bool(earlier.training_shards(fold)) for fold in earlier.fold_names]
    except BadInput:
        return None  # the pins of today leave a fold of then empty
    return earlier if trainable and all(trainable) else None


def due(study: Study, trained: Mapping[Network, str], summarised: str) -> Kept | None:
    """What has to be kept before the next training: the networks on disk, from before a cohort.

    Parameters
    ----------
    study : Study
        As it is now.
    trained : mapping of (seed, fold) to str
        Lineage of each network on disk.
    summarised : str
        Lineage of the scores on disk.

    Returns
    -------
    Kept or None
        None where the networks on disk are of today, or of no earlier state of this study, or kept
        already. All networks of a seed, or none.
    """
    if all(study.lineage("train", *of) == lineage for of, lineage in trained.items()):
        return None
    found = []
    for cohort in reversed(joined(study.rows)):
        earlier = study.before(cohort)
        networks = _complete(earlier, trained) if earlier else {}
        if any(kept.networks == networks for kept in study.kept.values()):
            return None
        if networks and cohort not in study.kept:
            scores = summarised if summarised == earlier.lineage("summarise") else ""
            found.append(Kept(cohort, networks, _groups(earlier), scores, outlook(earlier)))
    # Several, where cohorts between were only tested on: the newest, or the one that was scored.
    return next((kept for kept in found if kept.summarised), found[0] if found else None)


def outlook(study: Study) -> str:
    """Digest of how micrographs are normalised and which classes there are.

    Networks that learnt with another one would judge pictures that they were not made for.
    """
    return digest(study.identity("normalise"), study.settings("predict")["classes"])


def _complete(study: Study, trained: Mapping[Network, str]) -> dict[Network, str]:
    """The networks on disk that are of a study, of the seeds that are there in every fold."""
    seeds = [
        seed
        for seed in study.seeds
        if all(
            trained.get((seed, fold)) == study.lineage("train", seed, fold)
            for fold in study.fold_names
        )
    ]
    return {(seed, fold): trained[seed, fold] for fold in study.fold_names for seed in seeds}


def _groups(study: Study) -> dict[str, tuple[str, str]]:
    shards = study.shards.loc[study.annotated]
    cells = zip(shards["group"], shards["use"], shards["fold"], strict=True)
    return {group: (use, fold or "") for group, use, fold in cells}


def prospects(study: Study) -> dict[tuple[str, str], Prospect]:
    """The tests of kept networks on the cohorts that joined after them, by cohort and shard.

    A cohort is judged by the newest networks that have learnt nothing from it.
    """
    if not study.kept:
        return {}
    judges = {cohort: _newest_unaware(study, cohort) for cohort in joined(study.rows)}
    found = {}
    for shard in study.evaluated:
        group = study.cells_of(shard, "group")[0]
        for cohort in set(study.cells_of(shard, "cohort")):
            kept = judges.get(cohort)
            networks = kept.judges(group) if kept else []
            if networks:
                rows = study.rows_of(shard)
                rows = rows[rows["cohort"] == cohort]
                found[str(cohort), shard] = Prospect(kept.cohort, networks, rows)
    return dict(sorted(found.items()))


def told(study: Study) -> list[dict[str, Any]]:
    """What there is to say of each cohort that joined, as `shifts.shifts` wants it."""
    cohorts, made = sorted(labelled(study.rows)), joined(study.rows)
    kept = {int(cohort): prospect.kept for (cohort, _), prospect in study.prospects.items()}
    return [
        {
            "cohort": cohort,
            "kept": kept.get(cohort),
            "scored": cohort in kept and bool(study.kept[kept[cohort]].summarised),
            "earlier": earlier,
            "only_tested": cohort not in made,
        }
        for earlier, cohort in pairwise(cohorts)
    ]


def _newest_unaware(study: Study, cohort: int) -> Kept | None:
    """The newest kept networks that fit the study and have learnt nothing from a cohort."""
    wanted = outlook(study)
    fit = [kept for kept in study.kept.values() if kept.outlook == wanted]
    for kept in sorted(fit, key=lambda kept: kept.cohort, reverse=True):
        newest = _newest_learnt(study.rows[study.rows["cohort"] < kept.cohort])
        if newest is None or newest < cohort:
            return kept
    return None


def predecessor(study: Study, seed: str, fold: str) -> tuple[int, str] | None:
    """The kept network that a training starts from, if the config wants a warm start.

    Returns
    -------
    (cohort, lineage) or None
        The cohort that the network comes before. None for random weights: where no network of this
        recipe was kept, or where it has learnt from a group that is held out now.
    """
    if not study.config["train"]["warm_start"]:
        return None
    for cohort in reversed(joined(study.rows)):
        earlier = study.before(cohort)
        if earlier is None or fold not in earlier.fold_names:
            continue
        if earlier.learnt(seed, fold) == study.learnt(seed, fold):
            return predecessor(earlier, seed, fold)  # the cohort changed nothing for this network
        kept = study.kept.get(cohort)
        lineage = kept.networks.get((seed, fold)) if kept else None
        if lineage is None or lineage != earlier.lineage("train", seed, fold):
            continue
        if _groups_learnt(earlier, fold) <= _groups_learnt(study, fold):
            return cohort, lineage
    return None


def _groups_learnt(study: Study, fold: str) -> set[str]:
    return set(study.shards.loc[study.training_shards(fold), "group"])


def of_rows(study: Study, rows: pd.DataFrame) -> Study:
    """Some rows of one group as a study of one shard, named like the group.

    By it the ancestry of a few micrographs is known by themselves, whatever else joins their shard.
    """
    config: dict[str, Any] = {**study.config, "shard_size": len(rows)}
    # What will be planned is planned for the whole study.
    known = {("identity", "normalise"): study.identity("normalise")}
    return replace(study.of(rows), config=config, _lineages=known)
