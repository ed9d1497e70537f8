"""What a study leaves open: the plan settles it, what stands for it until then, and who waits."""

import pytest

from builders import CELLS_OF_STUDY, VALUES_OF_PLAN, annotated, lineages, study_of
from tessera.digests import digest
from tessera.plans import OPEN, Plan

VALUES_OF_TILE = {key: VALUES_OF_PLAN[key] for key in OPEN["tile"]}


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
    ids=["pixel_size_nm", "epochs", "stride_px", "size_px", "batch"],
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
