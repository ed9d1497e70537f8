"""Warm starts: which kept network a training begins with, and that it has seen nothing held out."""

from dataclasses import replace

from hypothesis import given, settings

from builders import annotated
from grown_studies import FIRST, SECOND, STUDIES, THIRD, grown, kept_by, study
from tessera.cohorts import joined, predecessor
from tessera.studies import WHOLE

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


@given(STUDIES)
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
