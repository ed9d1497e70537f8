"""Cohorts: what a study was before one joined, and no kept network judges what it has learnt."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import SHEET, annotated, config, expanded
from tessera.cohorts import due, joined, labelled, predecessor, told
from tessera.studies import WHOLE, Study

FIRST = annotated(
    ("a", 3), ("b", 3), ("c", 3), ("t", 2, {"use": "test"}), ("s", 2, {"use": "train"})
)
SECOND = annotated(
    ("n", 2, {"cohort": "1"}), ("a", 1, {"cohort": "1"}), ("t", 1, {"cohort": "1", "use": "test"}),
    ("s", 1, {"cohort": "1", "use": "train"}),
)  # fmt: skip
THIRD = annotated(("m", 2, {"cohort": "2"}), ("n", 1, {"cohort": "2"}))
STATED = {
    "normalise": {"pixel_size_nm": "keep"},
    "tile": {"size_px": 64, "stride_px": 32},
    "train": {"channels": [4, 8], "batch": 4, "epochs": 2, "jitter_px": 8}
    | {"loss": {"dice": 1.0}, "class_weights": "none"},
}


def study(*cells, kept=(), sha256=None, code=lambda script: script, **blocks):
    """A study of these rows whose raw files have their own paths as digests; nothing is planned."""
    rows = expanded([row for of in cells for row in of])
    paths = [path for path in (*rows["image"], *rows["mask"]) if path]
    stated = {step: {**STATED.get(step, {}), **blocks.pop(step, {})} for step in STATED}
    digests = {path: path for path in paths} | (sha256 or {})
    found = Study(rows, SHEET, config(**stated, **blocks), digests, code)
    return replace(found, kept={of.cohort: of for of in kept})


def on_disk(found):
    """What results/networks holds after a run of a study, and the lineage of its scores."""
    networks = ((seed, fold) for seed in found.seeds for fold in found.fold_names)
    return {of: found.lineage("train", *of) for of in networks}, found.lineage("summarise")


def kept_by(now, then):
    """What a study keeps of another that was run before it."""
    return due(now, *on_disk(then))


def grown(*cells, **others):
    """A study whose cohorts joined one by one, each run to the end."""
    kept, rows = [], []
    for of in cells:
        then = study(*rows, kept=kept, **others) if rows else None
        rows.append(of)
        now = study(*rows, kept=kept, **others)
        found = kept_by(now, then) if then else None
        kept += [found] if found else []
    return study(*rows, kept=kept, **others)


# ------------------------------------------------------------------------------ before a cohort


@st.composite
def sheets(draw):
    """Groups of every use that join, and grow, in cohorts."""
    cells = annotated(*((f"cv{i}", draw(st.integers(1, 4))) for i in range(3)))
    for i in range(draw(st.integers(1, 6))):
        use = draw(st.sampled_from(["cv", "cv", "train", "test"]))
        for cohort in draw(st.sets(st.sampled_from("0123"), min_size=1)):
            mask = {} if draw(st.booleans()) else {"mask": ""}
            size = draw(st.integers(1, 3))
            cells += annotated((f"g{i}", size, {"cohort": cohort, "use": use, **mask}))
    method = draw(st.sampled_from(["group-k-fold", "leave-one-group-out"]))
    return study(cells, shard_size=2, split={"method": method, "folds": 2})


@given(sheets())
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


@given(sheets())
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
    ids=str,
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


# ----------------------------------------------------------------------------------- warm start

WARM = {"train": {"warm_start": True}}


def test_without_kept_networks_a_warm_start_is_a_cold_one():
    for cells in ((FIRST,), (FIRST, SECOND)):
        cold, warm = study(*cells), study(*cells, **WARM)
        assert {of: cold.lineage(*of) for of in cold.products} == {
            of: warm.lineage(*of) for of in warm.products
        }


def test_a_warm_start_is_from_the_same_seed_and_fold_before_the_newest_cohort():
    found = grown(FIRST, SECOND, THIRD, **WARM)
    for fold in found.fold_names:
        start = predecessor(found, "0", fold)
        earlier = found.before(2)
        if earlier.learnt("0", fold) == found.learnt("0", fold):
            assert found.lineage("train", "0", fold) == earlier.lineage("train", "0", fold)
        else:
            assert start == (2, found.kept[2].networks["0", fold])
    cold = study(FIRST, SECOND, THIRD, kept=list(found.kept.values()))
    assert all(predecessor(cold, "0", fold) is None for fold in "012")


def test_a_network_that_a_cohort_leaves_as_it_was_is_not_trained_again():
    """Held out there, the new group has nothing to teach it."""
    new = annotated(("n", 2, {"cohort": "1"}))
    then, found = study(FIRST, **WARM), grown(FIRST, new, **WARM)
    own = found.shards.loc["n", "fold"]
    for fold in found.fold_names:
        same = then.lineage("train", "0", fold) == found.lineage("train", "0", fold)
        assert same == (fold == own)
        assert (predecessor(found, "0", fold) is None) == (fold == own)


def test_another_recipe_starts_cold():
    kept = list(grown(FIRST, SECOND, **WARM).kept.values())
    wider = {"warm_start": True, "channels": [8, 16]}
    found = study(FIRST, SECOND, kept=kept, train=wider)
    cold = study(FIRST, SECOND, train={**wider, "warm_start": False})
    assert found.lineage("train", "0", "0") == cold.lineage("train", "0", "0")


def test_no_start_from_a_network_that_has_learnt_what_is_held_out_now():
    found = grown(FIRST, SECOND, **WARM)
    kept, folds = list(found.kept.values()), found.before(1).folds["fold"]
    # A pin on the group's new row alone: before the cohort it had none.
    elsewhere = str((folds["a"] + 1) % 3)
    pinned = [row | {"fold": elsewhere} if row["group"] == "a" else row for row in SECOND]
    moved = study(FIRST, pinned, kept=kept, **WARM)
    assert moved.folds["fold"]["a"] != moved.before(1).folds["fold"]["a"]
    assert (
        "a"
        in moved.before(1).shards.loc[moved.before(1).training_shards(elsewhere), "group"].tolist()
    )
    assert moved.before(1).lineage("train", "0", elsewhere) == kept[0].networks["0", elsewhere]
    assert predecessor(moved, "0", elsewhere) is None


@given(sheets())
@settings(max_examples=5)
def test_a_warm_start_has_seen_nothing_that_is_held_out(found):
    found = replace(
        found, config={**found.config, "train": {**found.config["train"], **WARM["train"]}}
    )
    kept = {}
    for cohort in joined(found.rows):
        now = kept_by(
            replace(found, kept=dict(kept), _lineages={}, _earlier={}), found.before(cohort)
        )
        if now is not None:
            kept[now.cohort] = now
    found = replace(found, kept=kept, _lineages={}, _earlier={})
    for fold in found.fold_names:
        start = predecessor(found, "0", fold)
        while start is not None:
            earlier = found.before(start[0])
            learnt = set(earlier.shards.loc[earlier.training_shards(fold), "group"])
            held_out = found.shards["fold"] == fold
            assert not learnt & set(found.shards.loc[held_out, "group"])
            assert not learnt & set(found.shards.loc[found.shards["use"] == "test", "group"])
            start = predecessor(earlier, "0", fold)


def test_a_study_that_holds_nothing_out_starts_from_its_one_network():
    cells = annotated(("s", 3, {"use": "train"}), ("t", 2, {"use": "test"}))
    later = annotated(("r", 3, {"cohort": "1", "use": "train"}))
    found = grown(cells, later, **WARM)
    assert predecessor(found, "0", WHOLE) == (1, found.kept[1].networks["0", WHOLE])
