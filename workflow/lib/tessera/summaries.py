"""The scores of a study: by micrograph, by group, pooled, and as means over groups.

Where several cohorts are labelled, each is also scored by itself: once as the networks of now do on
it, each micrograph judged as always by those that have not learnt from its group, and once as
networks from before it joined did.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from tessera.metrics import COUNTS, SCORES, bootstrap_interval, scores
from tessera.thresholds import BRIGHT, DARK

ALL = "all"
"""The class that stands for the counts of all classes together: scores pooled over them."""

COHORT, PROSPECTIVE = "cohort", "prospective"
"""Uses of micrographs beside cv and test: one cohort of them, by networks of now or of before."""

LEVELS = {"micrograph": ["group", "micrograph"], "group": ["group"], "pooled": []}
COLUMNS = ["use", "cohort", "method", "level", "group", "micrograph", "class", *COUNTS, *SCORES]
INTERVALS = [f"{score}_{end}" for score in SCORES for end in ("low", "high")]


def summary(tables: Sequence[pd.DataFrame], seed: int, draws: int) -> pd.DataFrame:
    """All scores in one table.

    Parameters
    ----------
    tables : sequence of DataFrame
        Counts, with use, cohort (empty: all; may be left out), group, micrograph, method, class,
        tp, fp, fn.
    seed, draws : int
        Of the bootstrap over groups.

    Returns
    -------
    DataFrame
        use, cohort, method, level, group, micrograph, class ('all': pooled over the classes too),
        counts and scores. At the level 'mean over groups' every group weighs the same, and `*_low`,
        `*_high` are the 95 % bootstrap interval over groups; no counts there. Of Otsu's two sides
        only the one with the higher pooled IoU of the second class is kept, as 'otsu'; of that of
        all cohorts, so that no side depends on the cohort.
    """
    if not tables:
        return pd.DataFrame(columns=[*COLUMNS, *INTERVALS])
    counts = pd.concat(tables, ignore_index=True)
    counts = _better_side(counts if "cohort" in counts else counts.assign(cohort=""))
    counts = pd.concat([counts, _over_classes(counts)], ignore_index=True)
    levels = [_at(counts, level, keys) for level, keys in LEVELS.items()]
    scored = pd.concat([*levels, _means(levels[1], seed, draws)], ignore_index=True)
    return scored.reindex(columns=[*COLUMNS, *INTERVALS])


def _better_side(counts: pd.DataFrame) -> pd.DataFrame:
    objects = counts[counts["class"].eq(counts["class"].iloc[-1]) & counts["cohort"].eq("")]
    pooled = objects.groupby("method")[COUNTS].sum()
    sides = scores(pooled)["iou"].reindex([BRIGHT, DARK])
    better, worse = (BRIGHT, DARK) if sides[BRIGHT] >= sides[DARK] else (DARK, BRIGHT)
    kept = counts[counts["method"] != worse]
    return kept.assign(method=kept["method"].replace(better, "otsu"))


def _over_classes(counts: pd.DataFrame) -> pd.DataFrame:
    keys = ["use", "cohort", "group", "micrograph", "method"]
    return counts.groupby(keys, as_index=False)[COUNTS].sum().assign(**{"class": ALL})


def _at(counts: pd.DataFrame, level: str, keys: list[str]) -> pd.DataFrame:
    by = ["use", "cohort", "method", *keys, "class"]
    summed = counts.groupby(by, as_index=False, sort=False)[COUNTS].sum()
    return summed.join(scores(summed)).assign(level=level)


def _means(groups: pd.DataFrame, seed: int, draws: int) -> pd.DataFrame:
    records, by = [], ["use", "cohort", "method", "class"]
    for keys, of in groups.groupby(by, sort=False):
        record = dict(zip(by, keys, strict=True))
        for score in SCORES:
            values = of[score].to_numpy()
            low, high = bootstrap_interval(values, seed, draws)
            record |= {score: of[score].mean(), f"{score}_low": low, f"{score}_high": high}
        records.append({**record, "level": "mean over groups"})
    return pd.DataFrame(records)
