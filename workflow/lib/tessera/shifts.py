"""Whether a later cohort is unlike those before: how networks from before it do on it.

Beside their score on the new cohort stand their own cross-validated scores, those of then, and what
the networks of now reach on the same micrographs. If the old networks do worse on the new cohort
than on any group of before, something has changed: the specimens, the microscope, or who annotates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tessera.summaries import COHORT, PROSPECTIVE
from tessera.wording import decimals, several

NETWORK, MEAN, GROUP, MICROGRAPH = "network", "mean over groups", "group", "micrograph"
NEVER = "The networks from before cohort {cohort} were never trained, or not with the settings, "
NEVER += (
    "the code and the rows of now. To test them, run once with `cohorts: {earlier}`, then again."
)
ONLY_TESTED = "Cohort {cohort} is only tested on: its scores above are of networks from before it."
NOT_KEPT = "The scores of these networks from before the cohort were not kept: there is nothing to "
NOT_KEPT += "hold this against."


def shifts(
    metrics: pd.DataFrame,
    before: Mapping[int, pd.DataFrame],
    cohorts: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    """What the page says of each cohort that joined.

    Parameters
    ----------
    metrics : DataFrame
        As `summaries.summary` gives it.
    before : mapping
        The same of then, by the cohort that it comes before, as far as it was kept.
    cohorts : sequence of mapping
        cohort; kept: the cohort that the networks which judge it come before, or None; earlier: the
        one before it; only_tested.
    classes : sequence of str
        The background first.

    Returns
    -------
    list of dict
        cohort, kept; groups and micrographs tested on, in words; rows: name of the class and its
        means over groups (or None) `prospective`, `before` and `now`; said: (loud, sentence) pairs.
    """
    return [_shift(metrics, before.get(of["kept"]), of, classes) for of in cohorts]


def _shift(metrics, before, of, classes) -> dict[str, Any]:
    cohort = str(of["cohort"])
    known = metrics["method"].eq(NETWORK) & metrics["cohort"].eq(cohort)
    tested, now = (metrics[known & metrics["use"].eq(use)] for use in (PROSPECTIVE, COHORT))
    told = {"cohort": of["cohort"], "kept": of["kept"], "rows": [], "said": [], "on": ""}
    if tested.empty:
        told["said"] = [(False, (ONLY_TESTED if of["only_tested"] else NEVER).format(**of))]
        return told
    counts = [
        tested.loc[tested["level"] == level, level].nunique() for level in (GROUP, MICROGRAPH)
    ]
    told["on"] = ", ".join(map(several, counts, (GROUP, MICROGRAPH)))
    then = _cross_validated(before)
    told["rows"] = [
        {
            "name": name,
            "prospective": _mean(tested, name),
            "before": _mean(then, name),
            "now": _mean(now, name),
        }
        for name in classes
    ]
    told["said"] = [sentence(name, tested, then) for name in classes[1:]]
    if before is None:
        told["said"] = [(False, NOT_KEPT)]
    return told


def _cross_validated(before: pd.DataFrame | None) -> pd.DataFrame | None:
    """The networks' own scores of held-out groups; of test groups, if nothing else was held out."""
    if before is None:
        return None
    own = before[before["method"].eq(NETWORK) & before["cohort"].eq("")]
    held_out = own[own["use"] == "cv"]
    return own[own["use"] == "test"] if held_out.empty else held_out


def _mean(metrics: pd.DataFrame | None, name: str) -> dict[str, Any] | None:
    if metrics is None:
        return None
    rows = metrics[metrics["level"].eq(MEAN) & metrics["class"].eq(name)]
    return None if rows.empty else rows.iloc[0].to_dict()


def sentence(name: str, tested: pd.DataFrame, then: pd.DataFrame | None) -> tuple[bool, str]:
    """Where a class's IoU on the new cohort lies, beside the groups of before.

    Loud if it lies below the interval of their mean, and a new group below each of them: one group
    alone leaves the interval of a mean easily.

    Parameters
    ----------
    name : str
        Of the class.
    tested, then : DataFrame
        Scores of the same networks: on the new cohort, and cross-validated on the groups of before.
    """
    new, mean = _mean(tested, name), _mean(then, name)
    if new is None or mean is None or not np.isfinite([new["iou"], mean["iou_low"]]).all():
        return False, f"{name}: too few groups, of before or now, for an interval."
    low, high = mean["iou_low"], mean["iou_high"]
    where = "below" if new["iou"] < low else "above" if new["iou"] > high else "inside"
    old, own = (_groups(of, name) for of in (then, tested))
    worse = int((own < old.min()).sum())
    said = (
        f"{name}: on the new cohort IoU {decimals(new['iou'])}, {where} the 95 % interval of the "
    )
    said += (
        f"mean over the {several(len(old), 'group')} before, {decimals(low)} to {decimals(high)}. "
    )
    said += f"{worse} of {several(len(own), 'new group')} scored lower than the lowest of those, "
    return where == "below" and worse > 0, said + f"{decimals(old.min())}."


def _groups(metrics: pd.DataFrame, name: str) -> pd.Series:
    rows = metrics[metrics["level"].eq(GROUP) & metrics["class"].eq(name)]
    return rows["iou"].dropna()
