"""Summaries: counts are summed before they are divided, and every group weighs the same."""

import numpy as np
import pandas as pd
import pytest

from tessera.metrics import COUNTS, SCORES, bootstrap_interval, scores
from tessera.summaries import ALL, COLUMNS, INTERVALS, PROSPECTIVE, summary
from tessera.thresholds import BRIGHT, DARK

SIZES = {"s1": 1, "s2": 3, "s3": 2}


def counted(methods=("network",), classes=("background", "particle"), use="cv", seed=0):
    """One table a group, as the evaluation of its shard gives it."""
    random = np.random.default_rng(seed)
    return [
        pd.DataFrame(
            [
                {"micrograph": f"{group}-{number}", "method": method, "class": name}
                | dict(zip(COUNTS, random.integers(1, 1000, 3), strict=True))
                for number in range(size)
                for method in methods
                for name in classes
            ]
        ).assign(group=group, use=use)
        for group, size in SIZES.items()
    ]


def level(table, name, **where):
    chosen = table["level"] == name
    for column, value in where.items():
        chosen &= table[column] == value
    return table[chosen].reset_index(drop=True)


@pytest.fixture
def tables():
    return counted()


@pytest.fixture
def table(tables):
    return summary(tables, seed=0, draws=500)


def test_every_level_has_its_rows(table):
    of_class = table[table["class"] == "particle"]["level"].value_counts()
    assert of_class.to_dict() == {"micrograph": 6, "group": 3, "pooled": 1, "mean over groups": 1}
    assert list(table.columns) == [*COLUMNS, *INTERVALS]


@pytest.mark.parametrize("name", ["background", "particle"])
def test_pooled_scores_are_those_of_the_summed_counts(tables, table, name):
    counts = pd.concat(tables)
    summed = counts.loc[counts["class"] == name, COUNTS].sum().to_frame().T
    pooled = level(table, "pooled", **{"class": name})
    np.testing.assert_array_equal(pooled[COUNTS], summed)
    np.testing.assert_allclose(pooled[SCORES], scores(summed))


def test_scores_of_a_group_are_those_of_its_summed_counts(tables, table):
    for group, counts in zip(SIZES, tables, strict=True):
        summed = counts[counts["class"] == "particle"][COUNTS].sum().to_frame().T
        found = level(table, "group", group=group, **{"class": "particle"})
        np.testing.assert_array_equal(found[COUNTS], summed)
        np.testing.assert_allclose(found[SCORES], scores(summed))


def test_every_group_weighs_the_same_in_a_mean(table):
    of_groups = level(table, "group", **{"class": "particle"})
    mean = level(table, "mean over groups", **{"class": "particle"}).iloc[0]
    for score in SCORES:
        assert mean[score] == pytest.approx(of_groups[score].mean())
        interval = bootstrap_interval(of_groups[score].to_numpy(), seed=0, draws=500)
        assert (mean[f"{score}_low"], mean[f"{score}_high"]) == interval
    assert mean[COUNTS].isna().all()


@pytest.mark.parametrize("name", ["micrograph", "group", "pooled"])
def test_all_is_the_sum_over_classes(table, name):
    total = level(table, name, **{"class": ALL})[COUNTS].sum()
    classes = level(table, name)
    assert total.tolist() == classes[classes["class"] != ALL][COUNTS].sum().tolist()


def test_uses_and_methods_are_kept_apart(tables):
    others = counted(methods=("seed-0",), seed=1) + counted(use="test", seed=2)
    both = summary([*tables, *others], seed=0, draws=500)
    mine = both[(both["use"] == "cv") & (both["method"] == "network")]
    alone = summary(tables, seed=0, draws=500)
    keys = ["level", "group", "micrograph", "class"]
    pd.testing.assert_frame_equal(
        mine.sort_values(keys, ignore_index=True), alone.sort_values(keys, ignore_index=True)
    )


@pytest.mark.parametrize("better", [BRIGHT, DARK])
def test_the_better_side_of_otsu_is_kept(better):
    tables = counted(methods=("network", BRIGHT, DARK))
    for table in tables:
        table.loc[(table["method"] == better) & (table["class"] == "particle"), "tp"] += 10_000
    found = summary(tables, seed=0, draws=500)
    assert set(found["method"]) == {"network", "otsu"}
    counts = pd.concat(tables)
    kept = counts[(counts["method"] == better) & (counts["class"] == "particle")]["tp"].sum()
    assert level(found, "pooled", method="otsu", **{"class": "particle"})["tp"].item() == kept


def test_three_classes_have_no_baseline():
    found = summary(counted(classes=("a", "b", "c")), seed=0, draws=500)
    assert set(found["method"]) == {"network"}
    assert set(found["class"]) == {"a", "b", "c", ALL}


def test_one_group_has_no_interval(tables):
    found = level(summary(tables[1:2], seed=0, draws=500), "mean over groups")
    assert found[SCORES].notna().all(axis=None)
    assert found[INTERVALS].isna().all(axis=None)


def test_nothing_evaluated_is_an_empty_table_of_the_same_columns(table):
    empty = summary([], seed=0, draws=500)
    assert len(empty) == 0
    assert list(empty.columns) == list(table.columns)


def test_scores_of_one_cohort_leave_those_of_the_study_as_they_are():
    methods = ("network", BRIGHT, DARK)
    whole = counted(methods)
    old = [table.assign(use=PROSPECTIVE, cohort="1") for table in counted(methods, seed=7)]
    alone = summary(whole, seed=0, draws=500)
    both = summary([*(table.assign(cohort="") for table in whole), *old], seed=0, draws=500)
    of_study = both[both["use"] == "cv"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_study, alone, check_like=True)
    # The side of Otsu's threshold is that of the study, though the cohort's alone be the other.
    side = (
        BRIGHT
        if level(alone, "pooled", method="otsu")["tp"].iloc[1]
        == sum(
            table.loc[(table["method"] == BRIGHT) & (table["class"] == "particle"), "tp"].sum()
            for table in whole
        )
        else DARK
    )
    pooled = level(both, "pooled", use=PROSPECTIVE, method="otsu", **{"class": "particle"})
    expected = sum(
        table.loc[(table["method"] == side) & (table["class"] == "particle"), "tp"].sum()
        for table in old
    )
    assert pooled["tp"].item() == expected
    assert set(both.loc[both["use"] == PROSPECTIVE, "cohort"]) == {"1"}
