"""Cohorts: what a study was before one joined, and no kept network judges what it has learnt."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from builders import annotated
from grown_studies import FIRST, SECOND, STUDIES, THIRD, grown, kept_by, on_disk, study
from tessera.cohorts import due, joined, labelled, told

# ------------------------------------------------------------------------------ before a cohort


@given(STUDIES)
@settings(max_examples=8)
def test_folds_are_append_only(found):
    for cohort in joined(found.rows):
        earlier = found.before(cohort).folds["fold"]
        assert found.folds["fold"].reindex(earlier.index).equals(earlier)


def test_the_study_before_a_cohort_is_that_of_its_rows():
    now, then = study(FIRST, SECOND, THIRD), study(FIRST, SECOND)
    earlier = now.before(2)
    products = list(then.products)
    assert list(earlier.products) == products
    assert all(earlier.lineage(*of) == then.lineage(*of) for of in products)


def test_cohorts_that_joined():
    late = annotated(("z", 1, {"cohort": "7", "use": "test"}))
    unlabelled = annotated(("u", 1, {"cohort": "5", "mask": ""}))
    assert joined(study(FIRST).rows) == []
    assert joined(study(FIRST, unlabelled).rows) == []
    assert joined(study(FIRST, THIRD, SECOND, late, unlabelled).rows) == [1, 2]
    assert list(labelled(study(FIRST, SECOND, late).rows)) == [0, 1, 7]
    assert labelled(study(FIRST).rows) == {}


def test_there_is_no_study_before_the_first_that_can_be_trained():
    assert study(FIRST, SECOND).before(0) is None
    tests = annotated(("x", 2, {"use": "test"}))
    first = annotated(
        ("a", 1, {"cohort": "1"}), ("b", 1, {"cohort": "1"}), ("c", 1, {"cohort": "1"})
    )
    assert study(tests, first).before(1) is None
    # The pins of today would leave a fold of then empty.
    pinned = [row | {"fold": "0"} for row in FIRST if row["group"] in "ab"]
    others = annotated(
        ("n", 1, {"cohort": "1", "fold": "1"}), ("m", 1, {"cohort": "1", "fold": "2"})
    )
    assert study(pinned, others).before(1) is None


# --------------------------------------------------------------------------------- what is kept


def test_networks_from_before_a_cohort_are_kept_with_what_they_have_seen():
    then, now = study(FIRST), study(FIRST, SECOND)
    kept = kept_by(now, then)
    networks, scores = on_disk(then)
    assert (kept.cohort, kept.networks, kept.summarised) == (1, networks, scores)
    folds = {group: ("cv", str(fold)) for group, fold in then.folds["fold"].items()}
    assert kept.groups == {**folds, "t": ("test", ""), "s": ("train", "")}


def test_nothing_is_kept_that_is_of_now_or_of_another_recipe_or_in_part():
    then, now = study(FIRST), study(FIRST, SECOND)
    assert kept_by(now, now) is None
    assert due(now, {}, "") is None
    assert kept_by(now, study(FIRST, train={"epochs": 9})) is None
    assert kept_by(study(FIRST, annotated(("u", 1, {"cohort": "1", "mask": ""}))), then) is None
    networks, scores = on_disk(then)
    assert due(now, dict(list(networks.items())[1:]), scores) is None
    # Half-way through the new training.
    halfway = {**networks, ("0", "0"): on_disk(now)[0]["0", "0"]}
    assert due(now, halfway, scores) is None


def test_scores_of_another_run_are_not_kept():
    now = study(FIRST, SECOND)
    networks, _ = on_disk(study(FIRST))
    assert due(now, networks, "of another run").summarised == ""


def test_of_several_seeds_those_that_are_whole_are_kept():
    then, now = study(FIRST), study(FIRST, SECOND, train={"seeds": [0, 1]})
    assert set(kept_by(now, then).networks) == {("0", fold) for fold in "012"}


def test_what_is_kept_once_is_kept():
    first = kept_by(study(FIRST, SECOND), study(FIRST))
    again = study(FIRST, SECOND, kept=[first])
    assert kept_by(again, study(FIRST)) is None
    # Other networks of then do not replace them.
    other = replace(first, networks=dict.fromkeys(first.networks, "of another recipe"))
    assert kept_by(study(FIRST, SECOND, kept=[other]), study(FIRST)) is None


def test_a_cohort_that_is_only_tested_on_keeps_nothing_until_others_follow():
    tested = annotated(("z", 2, {"cohort": "1", "use": "test"}))
    then, now = study(FIRST), study(FIRST, tested)
    assert kept_by(now, then) is None
    assert now.prospects == {}
    assert [of["only_tested"] for of in told(now)] == [True]
    # When others follow, the networks that are kept know nothing of it either.
    found = grown(FIRST, tested, THIRD)
    assert list(found.kept) == [2]
    assert found.kept[2].summarised == study(FIRST, tested).lineage("summarise")
    together = kept_by(study(FIRST, tested, THIRD), study(FIRST))
    assert (together.cohort, together.summarised) == (1, study(FIRST).lineage("summarise"))
    assert {of: prospect.kept for of, prospect in found.prospects.items()} == {
        ("1", "z"): 2,
        ("2", "m"): 2,
        ("2", "n"): 2,
    }


# ------------------------------------------------------------------------------- who may judge


def test_a_group_that_was_there_is_judged_by_its_own_fold_and_a_new_one_by_all():
    found = grown(FIRST, SECOND)
    assert set(found.prospects) == {("1", "n"), ("1", "a"), ("1", "t")}
    everyone = [("0", fold) for fold in "012"]
    own = found.before(1).shards.loc["a", "fold"]
    assert found.prospects["1", "a"].networks == [("0", own)]
    assert found.prospects["1", "n"].networks == everyone
    assert found.prospects["1", "t"].networks == everyone
    assert found.prospects["1", "a"].rows["micrograph"].tolist() == ["a_1000"]


@given(STUDIES)
@settings(max_examples=8)
def test_no_kept_network_judges_a_group_that_it_has_learnt_from(found):
    kept = {}
    for cohort in joined(found.rows):
        earlier = found.before(cohort)
        now = kept_by(replace(found, kept=dict(kept), _lineages={}, _earlier={}), earlier)
        if now is not None:
            kept[now.cohort] = now
    found = replace(found, kept=kept, _lineages={}, _earlier={})
    groups = found.shards["group"]
    for (cohort, shard), prospect in found.prospects.items():
        earlier = found.before(prospect.kept)
        learnt_rows = earlier.rows[earlier.rows["annotated"] & (earlier.rows["use"] != "test")]
        assert learnt_rows["cohort"].max() < int(cohort)
        assert (prospect.rows["cohort"] == int(cohort)).all()
        for _, fold in prospect.networks:
            learnt = earlier.shards.loc[earlier.training_shards(fold), "group"]
            assert groups[shard] not in set(learnt)


@pytest.mark.parametrize(
    "others",
    [
        {"normalise": {"low_percentile": 2.0}},
        {"normalise": {"pixel_size_nm": 5.0}},
        {"normalise": {"method": "none"}},
        {"classes": {"background": 0, "particle": 255, "pore": 9}},
    ],
    ids=["percentile", "pixel size", "method", "classes"],
)
def test_networks_that_learnt_from_other_pictures_or_classes_judge_nothing(others):
    kept = [kept_by(study(FIRST, SECOND), study(FIRST))]
    assert study(FIRST, SECOND, kept=kept, train={"epochs": 9}).prospects
    now = study(FIRST, SECOND, kept=kept, **others)
    assert now.prospects == {}
    assert [of["kept"] for of in told(now)] == [None]


def test_cohorts_that_join_together_are_judged_by_the_networks_from_before_both():
    together = study(FIRST, SECOND, THIRD)
    kept = kept_by(together, study(FIRST))
    found = study(FIRST, SECOND, THIRD, kept=[kept])
    assert {of: prospect.kept for of, prospect in found.prospects.items() if of[0] == "2"} == {
        ("2", "m"): 1,
        ("2", "n"): 1,
    }
    # Where each joined by itself, each is judged by the newest networks that know nothing of it.
    one_by_one = grown(FIRST, SECOND, THIRD)
    assert {prospect.kept for of, prospect in one_by_one.prospects.items() if of[0] == "2"} == {2}
    own = one_by_one.before(2).shards.loc["n", "fold"]
    assert one_by_one.prospects["2", "n"].networks == [("0", own)]
    assert [of["kept"] for of in told(one_by_one)] == [1, 2]


def test_without_kept_networks_there_is_no_test_and_it_is_said():
    found = study(FIRST, SECOND)
    assert found.prospects == {}
    assert told(found) == [
        {"cohort": 1, "kept": None, "scored": False, "earlier": 0, "only_tested": False}
    ]
    assert told(study(FIRST)) == []


# ------------------------------------------------------------------------- what decides a test


def lineages(found, cohort="1"):
    """Of the tests on a cohort: of the predictions, and of the scores."""
    tested = sorted(of for of in found.prospects if of[0] == cohort)
    return {step: [found.lineage(step, *of) for of in tested] for step in ("prospect", "assess")}


def test_nothing_but_the_kept_networks_and_the_cohort_decides_a_test():
    found = grown(FIRST, SECOND)
    kept = list(found.kept.values())
    before = lineages(found)
    others = (
        study(FIRST, SECOND, kept=kept, train={"epochs": 9}),
        study(FIRST, SECOND, kept=kept, tile={"stride_px": 16}),
        study(FIRST, SECOND, kept=kept, code=lambda script: script + "!" * (script == "train.py")),
        study(FIRST, SECOND, kept=kept, sha256={"data/a_001.mask.tif": "corrected"}),
        study(FIRST, SECOND, kept=kept, sha256={"data/a_001.tif": "recorded again"}),
        grown(FIRST, SECOND, annotated(("a", 4, {"cohort": "2"}))),
    )
    for other in others:
        assert lineages(other) == before
        assert other.lineage("report") != found.lineage("report")


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"sha256": {"data/a_1000.tif": "recorded again"}}, {"prospect", "assess"}),
        ({"sha256": {"data/a_1000.mask.tif": "corrected"}}, {"assess"}),
        ({"predict": {"symmetries": 4}}, {"prospect", "assess"}),
        ({"normalise": {"low_percentile": 1.0}}, {"prospect", "assess"}),
        ({"code": lambda script: script + "!" * (script == "evaluate.py")}, {"assess"}),
    ],
    ids=["image", "mask", "symmetries", "percentile", "code"],
)
def test_what_a_test_reads_decides_it(changes, steps):
    found = grown(FIRST, SECOND)
    other = study(FIRST, SECOND, kept=list(found.kept.values()), **changes)
    before, after = lineages(found), lineages(other)
    assert {step for step in before if before[step] != after[step]} == steps


def test_scores_depend_on_the_tests_and_on_which_rows_are_of_which_cohort():
    found, without = grown(FIRST, SECOND), study(FIRST, SECOND)
    assert found.lineage("summarise") != without.lineage("summarise")
    # The cohort of rows that only tests changes no network, but what is said by cohort.
    later = [row | {"cohort": "0"} if row["group"] == "t" else row for row in SECOND]
    assert study(FIRST, later).lineage("train", "0", "0") == without.lineage("train", "0", "0")
    assert study(FIRST, later).lineage("summarise") != without.lineage("summarise")
