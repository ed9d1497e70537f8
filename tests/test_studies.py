"""Studies: nothing held out ever trains, and a change reaches what it decides and no more."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import CELLS_OF_STUDY, VALUES_OF_PLAN, annotated, study_of
from tessera.digests import digest
from tessera.planning import OPEN, Plan
from tessera.studies import WHOLE

VALUES_OF_TILE = {key: VALUES_OF_PLAN[key] for key in OPEN["tile"]}


def test_every_row_is_in_one_shard():
    found = study_of(shard_size=2)
    rows = [name for shard in found.shards.index for name in found.rows_of(shard)["micrograph"]]
    assert sorted(rows) == sorted(row["micrograph"] for row in CELLS_OF_STUDY)


def test_what_is_done_with_each_kind_of_shard():
    found = study_of()
    everything = {*"abcdef", "u+unlabelled", "a+unlabelled", "t", "s"}
    assert set(found.shards.index) == everything
    assert set(found.annotated) == {*"abcdef", "t", "s"}
    assert set(found.predicted) == everything - {"s"}
    assert set(found.evaluated) == {*"abcdef", "t"}
    assert found.fold_names == ["0", "1", "2"]
    assert found.shards["fold"].dropna().index.tolist() == [*"abcdef"]


@st.composite
def studies(draw):
    """Sheets of many groups of every use and cohort, some with unlabelled rows, in tiny shards."""
    cells = annotated(*((f"cv{i}", draw(st.integers(1, 5))) for i in range(3)))
    for i in range(draw(st.integers(0, 6))):
        use = draw(st.sampled_from(["cv", "cv", "train", "test"]))
        for cohort in draw(st.sets(st.sampled_from("0123"), min_size=1)):
            name, size = f"g{i}", draw(st.integers(1, 5))
            mask = {} if draw(st.booleans()) else {"mask": ""}
            cells += annotated((name, size, {"cohort": cohort, "use": use, **mask}))
    method = draw(st.sampled_from(["group-k-fold", "leave-one-group-out"]))
    return study_of(
        draw(st.permutations(cells)), shard_size=2, split={"method": method, "folds": 2}
    )


@given(studies())
@settings(max_examples=15)
def test_nothing_of_a_group_that_is_held_out_ever_trains(found):
    group = found.shards["group"]
    for fold in found.fold_names:
        held_out = found.shards.index[found.shards["fold"] == fold]
        tested = found.shards.index[found.shards["annotated"] & (found.shards["use"] == "test")]
        training = found.training_shards(fold)
        assert len(held_out) > 0
        assert not {*group[training]} & {*group[held_out], *group[tested]}
        assert found.shards.loc[training, "annotated"].all()
    for shard in found.evaluated:
        for _, fold in found.networks_for(shard):
            assert group[shard] not in set(group[found.training_shards(fold)])


@given(studies())
@settings(max_examples=8)
def test_all_that_may_train_does(found):
    may = found.shards["annotated"] & (found.shards["use"] != "test")
    for fold in found.fold_names:
        held_out = found.shards["fold"] == fold
        assert set(found.training_shards(fold)) == set(found.shards.index[may & ~held_out])


def test_a_held_out_shard_is_judged_by_its_own_fold_and_others_by_all():
    found = study_of(train={"seeds": [3, 5]})
    own = found.shards.loc["a", "fold"]
    assert found.networks_for("a") == [("3", own), ("5", own)]
    everyone = {(seed, fold) for seed in "35" for fold in "012"}
    for shard in ("u+unlabelled", "a+unlabelled", "t"):
        assert set(found.networks_for(shard)) == everyone


def test_without_cross_validation_one_network_learns_from_all_and_judges_the_rest():
    cells = annotated(("s", 3, {"use": "train"}), ("t", 2, {"use": "test"}), ("u", 1, {"mask": ""}))
    found = study_of(cells)
    assert found.fold_names == [WHOLE]
    assert found.training_shards(WHOLE) == ["s"]
    assert found.networks_for("t") == found.networks_for("u+unlabelled") == [("0", WHOLE)]


def test_without_masks_there_is_no_network():
    assert study_of(annotated(("u", 3, {"mask": ""}))).fold_names == []


PER_SHARD = {
    "ingest": "predicted", "normalise": "predicted", "annotate": "annotated", "tile": "annotated",
    "predict": "predicted", "evaluate": "evaluated",
}  # fmt: skip


def lineages(found):
    """Lineage of every product, by step and what it is of."""
    return {product: found.lineage(*product) for product in found.products}


def test_products_are_those_of_every_step():
    found = study_of(train={"seeds": [0, 1]})
    products = [(step, of) for step, shards in PER_SHARD.items() for of in getattr(found, shards)]
    products += [(step, "s") for step in ("ingest", "normalise")]  # only trains
    products += [("train", seed, fold) for seed in "01" for fold in "012"]
    products += [("split",), ("summarise",), ("report",), ("audit",)]
    assert sorted(found.products) == sorted(products)


@cache
def unchanged():
    """The study that others are held against."""
    return study_of()


def changed(found):
    """Step -> what of it another study would make anew."""
    before, after = lineages(unchanged()), lineages(found)
    assert before.keys() == after.keys()
    steps = {}
    for step, *of in sorted(product for product in before if before[product] != after[product]):
        steps.setdefault(step, []).append(of[-1] if of else "")
    return steps


ONCE = {step: [""] for step in ("split", "summarise", "report", "audit")}
OTHERS = ["a+unlabelled", "t", "u+unlabelled"]


def fold_of(shard):
    return unchanged().shards.loc[shard, "fold"]


def without(fold):
    """The other folds, and the shards of theirs."""
    shards = unchanged().shards
    held_out = shards.index[shards["fold"].notna() & (shards["fold"] != fold)]
    return [name for name in "012" if name != fold], list(held_out)


def test_the_same_study_changes_nothing():
    assert changed(study_of(CELLS_OF_STUDY[::-1])) == {}


def test_a_corrected_mask():
    """Its own fold's network stays as it is, and so does its prediction; its score does not."""
    folds, shards = without(fold_of("c"))
    assert changed(study_of(sha256={"data/c_001.mask.tif": "corrected"})) == ONCE | {
        "annotate": ["c"],
        "tile": ["c"],
        "train": folds,
        "predict": sorted([*shards, *OTHERS]),
        "evaluate": sorted([*shards, "c", "t"]),
    }


def test_another_micrograph():
    folds, shards = without(fold_of("c"))
    assert changed(study_of(sha256={"data/c_001.tif": "recorded again"})) == ONCE | {
        "ingest": ["c"],
        "normalise": ["c"],
        "tile": ["c"],
        "train": folds,
        "predict": sorted([*shards, *OTHERS, "c"]),
        "evaluate": sorted([*shards, "c", "t"]),
    }


def test_another_unlabelled_micrograph():
    found = changed(study_of(sha256={"data/u_001.tif": "recorded again"}))
    assert found.pop("report") == found.pop("audit") == [""]
    assert found == {step: ["u+unlabelled"] for step in ("ingest", "normalise", "predict")}


def test_another_test_mask_trains_nothing():
    found = changed(study_of(sha256={"data/t_001.mask.tif": "corrected"}))
    assert found == ONCE | {"annotate": ["t"], "tile": ["t"], "evaluate": ["t"]}


def test_a_raw_file_that_moves_changes_nothing():
    moved = [row | {"image": f"elsewhere/{row['image']}"} for row in CELLS_OF_STUDY]
    contents = {f"data/elsewhere/{row['image']}": f"data/{row['image']}" for row in CELLS_OF_STUDY}
    assert changed(study_of(moved, contents)) == {}


def test_a_corrected_pixel_size():
    cells = [
        row | {"pixel_size_nm": "2.5"} if row["micrograph"] == "u_000" else row
        for row in CELLS_OF_STUDY
    ]
    assert "u+unlabelled" in changed(study_of(cells))["ingest"]
    assert "train" not in changed(study_of(cells))


DOWNSTREAM = {
    "ingest": {"ingest", "normalise", "tile", "split", "train", "predict", "evaluate"},
    "annotate": {"annotate", "tile", "split", "train", "predict", "evaluate"},
    "normalise": {"normalise", "tile", "split", "train", "predict", "evaluate"},
    "tile": {"tile", "split", "train", "predict", "evaluate"},
    "train": {"train", "predict", "evaluate"},
    "predict": {"predict", "evaluate"},
    "evaluate": {"evaluate"},
    "split": {"split"},
    "summarise": set(),
    "report": set(),
}


@pytest.mark.parametrize("step", DOWNSTREAM)
def test_changed_code_of_a_step_reaches_all_after_it(step):
    found = study_of(code=lambda script: script + "!" * (script == f"{step}.py"))
    told = {"report", "audit"} | ({"summarise"} if step not in ("split", "report") else set())
    assert set(changed(found)) == DOWNSTREAM[step] | told


@pytest.mark.parametrize(
    ("step", "block"),
    [
        ("normalise", {"low_percentile": 1.0}),
        ("tile", {"stride_px": 64}),
        ("train", {"epochs": 3}),
        ("predict", {"symmetries": 4}),
        ("split", {"duplicates": "allow"}),
        ("split", {"overlaps": "allow"}),
        ("summarise", {"draws": 500}),
        ("report", {"title": "Another"}),
    ],
)
def test_changed_settings_of_a_step_reach_what_its_code_would(step, block):
    code = study_of(code=lambda script: script + "!" * (script == f"{step}.py"))
    assert changed(study_of(**{step: block})) == changed(code)


def test_how_jobs_run_changes_nothing():
    assert changed(study_of(device="cuda", resources={"default": {"cpus": 8}})) == {}


def test_the_order_of_classes_matters():
    """It is their codes."""
    found = changed(study_of(classes={"particle": 255, "background": 0}))
    assert {"annotate", "tile", "train", "predict", "evaluate"} < set(found)
    assert not {"ingest", "normalise"} & set(found)


@pytest.mark.parametrize("block", [{"ignore": 7}, {"other": "particle"}])
def test_what_masks_mean_reaches_masks(block):
    assert {"annotate", "tile", "train"} < set(changed(study_of(**block)))


def test_another_seed_leaves_the_networks_of_the_first_as_they_are():
    before, after = lineages(unchanged()), lineages(study_of(train={"seeds": [0, 1]}))
    stays = {product for product in before if product[0] in ("ingest", "tile", "train", "split")}
    assert all(before[product] == after[product] for product in stays)
    assert before["predict", "a"] != after["predict", "a"]
    assert after["train", "0", "0"] != after["train", "1", "0"]


def test_a_group_that_joins_later_leaves_the_network_of_its_fold():
    """Held out there, it cannot have changed it."""
    cells = [*CELLS_OF_STUDY, *annotated(("z", 2, {"cohort": "1"}))]
    before, after = unchanged(), study_of(cells)
    own = after.shards.loc["z", "fold"]
    for fold in after.fold_names:
        same = before.lineage("train", "0", fold) == after.lineage("train", "0", fold)
        assert same == (fold == own)


# ---------------------------------------------------------------------------------- the plan


def made(**others):
    """A study whose plan was made from it, as the rule does."""
    told = {step: study_of(plan=None, **others).identity(step) for step in OPEN}
    settings = {step: study_of(**others).settings(step) for step in OPEN}
    return Plan(VALUES_OF_PLAN, {step: {digest(settings[step]): told[step]} for step in OPEN})


@pytest.mark.parametrize("stated", [{}, {"tile": {"size_px": 64}}, {"tile": VALUES_OF_TILE}])
def test_making_the_plan_changes_no_lineage(stated):
    before = lineages(study_of(plan=None, **stated))
    assert lineages(study_of(plan=made(**stated), **stated)) == before


def test_data_that_join_later_leave_a_plan_and_what_follows_from_it():
    plan = made()
    cells = [*CELLS_OF_STUDY, *annotated(("z", 2, {"cohort": "1"}))]
    before, after = study_of(plan=plan), study_of(cells, plan=plan)
    for step in OPEN:
        assert before.identity(step) == after.identity(step)
    assert before.lineage("tile", "a") == after.lineage("tile", "a")
    corrected = study_of(sha256={"data/c_001.mask.tif": "corrected"}, plan=plan)
    assert corrected.lineage("tile", "a") == before.lineage("tile", "a")


def test_without_a_plan_all_that_it_will_be_made_from_counts():
    before = study_of(plan=None)
    corrected = study_of(sha256={"data/c_001.mask.tif": "corrected"}, plan=None)
    tested = study_of(sha256={"data/t_001.mask.tif": "corrected"}, plan=None)
    assert before.lineage("tile", "a") != corrected.lineage("tile", "a")
    assert before.lineage("tile", "a") == tested.lineage("tile", "a")


def test_a_plan_is_made_from_the_first_cohort_without_what_is_only_tested_on():
    late = annotated(("a", 1, {"cohort": "2"}), ("z", 2, {"cohort": "1"}))
    found = study_of([*CELLS_OF_STUDY, *late])
    assert set(found.surveyed) == {*"abcdef", "s"}
    assert found.surveyed["a"] == ["a_000", "a_001", "a_002"]


@pytest.mark.parametrize(
    ("value", "steps"),
    [
        ({"pixel_size_nm": 5.0}, {"normalise"}),
        ({"epochs": 3}, {"train"}),
        ({"stride_px": 48}, {"tile"}),
        ({"size_px": 64}, {"tile", "calibrate"}),
        ({"batch": 8}, {"train", "calibrate"}),
    ],
    ids=str,
)
def test_an_edited_value_concerns_the_steps_that_use_it(value, steps):
    plan = made()
    before, after = study_of(plan=plan), study_of(plan=Plan(VALUES_OF_PLAN | value, plan.made))
    assert {step for step in OPEN if before.identity(step) != after.identity(step)} == steps


def test_what_the_config_states_wins():
    found = study_of(train={"batch": 3})
    assert found.settings("train")["batch"] == 3
    assert found.settings("train")["epochs"] == 60
    assert found.settings("calibrate")["batch"] == 3
    # The same value as the plan's is no change.
    plan = made()
    same = study_of(plan=plan, train={"batch": VALUES_OF_PLAN["batch"]})
    assert lineages(same) == lineages(study_of(plan=plan))


def test_only_what_is_open_waits_for_the_plan():
    assert study_of().waits_for_plan("tile")
    closed = study_of(tile=VALUES_OF_TILE)
    assert not closed.waits_for_plan("tile")
    assert closed.waits_for_plan("train")
    # The side of a tile is training's business too.
    stated = {key: VALUES_OF_PLAN[key] for key in OPEN["train"]}
    assert study_of(train=stated).waits_for_plan("train")
    both = {"train": stated, "tile": VALUES_OF_TILE}
    # What training reads may be resampled to a size that is planned.
    assert study_of(**both).waits_for_plan("train")
    assert not study_of(**both, normalise={"pixel_size_nm": "keep"}).waits_for_plan("train")
