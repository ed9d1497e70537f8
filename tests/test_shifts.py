"""Shifts: what is said of a new cohort is what the numbers say."""

import pandas as pd
import pytest

from tessera.shifts import shifts
from tessera.summaries import COHORT, PROSPECTIVE, summary

CLASSES = ("background", "particle")
BEFORE = {"a": 0.90, "b": 0.80, "c": 0.85, "d": 0.95}
JOINED = {"cohort": 1, "kept": 1, "scored": True, "earlier": 0, "only_tested": False}


def counted(ious, use, cohort=""):
    """Counts of one micrograph a group, whose IoU of the particle is the given one."""
    rows = [
        {"micrograph": f"{group}-1", "group": group, "class": name}
        | {"tp": round(1000 * iou), "fp": 1000 - round(1000 * iou), "fn": 0}
        for group, iou in ious.items()
        for name in CLASSES
    ]
    return pd.DataFrame(rows).assign(method="network", use=use, cohort=cohort)


def scored(*tables):
    return summary(tables, seed=0, draws=2000)


def said(new, then=BEFORE, cohorts=(JOINED,)):
    """What is said of a cohort whose groups have these IoU."""
    now = scored(
        counted(then, "cv"),
        counted(new, PROSPECTIVE, "1"),
        counted(dict.fromkeys(new, 0.88), COHORT, "1"),
    )
    before = {} if then is None else {1: scored(counted(then, "cv"))}
    return shifts(now, before, cohorts, CLASSES)


def test_scores_stand_side_by_side():
    (of,) = said({"e": 0.5, "f": 0.7})
    assert of["on"] == "2 groups, 2 micrographs"
    assert [row["name"] for row in of["rows"]] == list(CLASSES)
    row = of["rows"][1]
    assert row["prospective"]["iou"] == pytest.approx(0.6)
    assert row["before"]["iou"] == pytest.approx(0.875)
    assert row["now"]["iou"] == pytest.approx(0.88)
    assert row["prospective"]["iou_low"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("new", "where", "lower"),
    [
        ({"e": 0.5, "f": 0.7}, "below", "2 of 2 new groups"),
        ({"e": 0.79, "f": 0.96}, "inside", "1 of 2 new groups"),
        ({"e": 0.97, "f": 0.99}, "above", "0 of 2 new groups"),
        ({"e": 0.86}, "inside", "0 of 1 new group"),
        ({"e": 0.81}, "below", "0 of 1 new group"),
    ],
)
def test_whether_a_cohort_lies_below_the_groups_of_before(new, where, lower):
    ((loud, sentence),) = said(new)[0]["said"]
    assert loud == (where == "below" and not lower.startswith("0"))
    assert f", {where} the 95 % interval" in sentence
    assert "the mean over the 4 groups before, 0.8" in sentence
    assert f". {lower} scored lower than" in sentence
    assert "lowest of those, 0.800" in sentence


def test_one_group_before_gives_no_interval():
    ((loud, sentence),) = said({"e": 0.1}, then={"a": 0.9})[0]["said"]
    assert not loud
    assert "too few groups" in sentence


def test_what_was_not_kept_is_said():
    now = scored(counted(BEFORE, "cv"), counted({"e": 0.5}, PROSPECTIVE, "1"))
    (of,) = shifts(now, {}, [JOINED], CLASSES)
    assert [row["before"] for row in of["rows"]] == [None, None]
    assert "were not kept" in of["said"][0][1]


@pytest.mark.parametrize(
    ("cohort", "words"),
    [
        ({"only_tested": False}, "never trained, or not with the settings"),
        ({"only_tested": True}, "is only tested on"),
    ],
)
def test_a_cohort_without_a_test_is_told_in_a_line(cohort, words):
    now = scored(counted(BEFORE, "cv"))
    (of,) = shifts(now, {}, [{**JOINED, "kept": None, **cohort}], CLASSES)
    assert of["rows"] == []
    ((loud, sentence),) = of["said"]
    assert not loud
    assert words in sentence


def test_without_cross_validation_the_test_groups_of_before_are_the_measure():
    now = scored(counted(BEFORE, "test"), counted({"e": 0.5}, PROSPECTIVE, "1"))
    (of,) = shifts(now, {1: scored(counted(BEFORE, "test"))}, [JOINED], CLASSES)
    assert of["rows"][1]["before"]["iou"] == pytest.approx(0.875)
