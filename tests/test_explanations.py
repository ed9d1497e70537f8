"""Causes are those of the change that was made, and they reach the jobs that it runs."""

import pytest

from builders import CELLS_OF_STUDY, PLAN_OF_STUDY, annotated, study_of
from tessera.explanations import NAMES_SHOWN, Cause, Explainer, changed_cohorts, listed, told
from tessera.lineages import record_of
from tessera.plans import Plan

MASK = "data/a_000.mask.tif"


def explained(before, after, forgotten=()):
    """Change -> jobs, in words, of a study that was made as `before` and is now `after`."""
    made = {of: before.lineage(*of) for of in before.products if of not in forgotten}
    records = {before.lineage(*of): record_of(before, *of) for of in before.products}
    explainer = Explainer(after, records.get, made)
    due = [of for of in after.products if made.get(of) != after.lineage(*of)]
    return dict(told({of: explainer.causes(of) for of in due}))


def fold_of(study, group):
    return study.shards.loc[group, "fold"]


def test_nothing_changed_nothing_told():
    assert explained(study_of(), study_of()) == {}


def test_a_mask():
    after = study_of(sha256={MASK: "other"})
    found = explained(study_of(), after)
    assert list(found) == ["mask of a_000 changed"]
    run = found["mask of a_000 changed"]
    assert run.startswith("annotate a; tile a; split; train ")
    assert f"fold {fold_of(after, 'a')}" not in run
    assert "normalise" not in run


def test_two_masks_of_one_shard_are_told_together():
    after = study_of(sha256={MASK: "other", "data/a_002.mask.tif": "other"})
    assert list(explained(study_of(), after)) == ["mask of a_000, a_002 changed"]


def test_an_image_and_a_cell():
    cells = [{**row, "pixel_size_nm": "4"} if row["micrograph"] == "b_001" else row
             for row in CELLS_OF_STUDY]  # fmt: skip
    after = study_of(cells, sha256={"data/u_000.tif": "other"})
    found = explained(study_of(), after)
    assert set(found) == {"pixel size of b_001 changed", "image of u_000 changed"}
    assert found["image of u_000 changed"] == (
        "ingest u+unlabelled; normalise u+unlabelled; predict u+unlabelled; report; audit"
    )


def test_an_image_that_regions_are_drawn_on():
    cells = [{**row, "mask": "all.json"} if row["mask"] else row for row in CELLS_OF_STUDY]
    after = study_of(cells, sha256={"data/a_000.tif": "other"})
    found = explained(study_of(cells), after)
    assert list(found) == ["image of a_000 changed"]
    assert found["image of a_000 changed"].startswith("annotate a; ingest a; normalise a; tile a")


def test_a_setting_and_where_it_counts():
    found = explained(study_of(), study_of(train={"weight_decay": 0.5}))
    assert list(found) == ["config changed, train: weight_decay: 0.01, now 0.5"]
    assert next(iter(found.values())).startswith("train seed 0 fold 0, ")


@pytest.mark.parametrize(("then", "now"), [(None, "auto"), ("auto", None), ("auto", {"top": 9})])
def test_a_crop_is_the_cause_for_masks_too(then, now):
    before, after = (study_of(ingest={"crop": crop}) for crop in (then, now))
    (said,) = explained(before, after).items()
    assert said[0] == f"config changed, ingest: crop: {then}, now {now}"
    assert "annotate a, b, c" in said[1]


def test_an_image_is_the_cause_for_masks_where_it_may_be_cropped():
    blocks = {"ingest": {"crop": "auto"}}
    after = study_of(sha256={"data/a_000.tif": "other"}, **blocks)
    found = explained(study_of(**blocks), after)
    assert list(found) == ["image of a_000 changed"]
    assert "annotate a; " in found["image of a_000 changed"]


def test_a_value_of_the_plan():
    plan = Plan({**PLAN_OF_STUDY.values, "batch": 8}, PLAN_OF_STUDY.made)
    found = explained(study_of(), study_of(plan=plan))
    assert list(found) == ["config changed, train: batch: 16, now 8"]


def test_code():
    after = study_of(code=lambda script: "new" if script == "tile.py" else script)
    found = explained(study_of(), after)
    assert list(found) == ["code of `tile` changed"]
    assert found["code of `tile` changed"].startswith("tile a, b, c, d, e, f, s, t; split; train ")


def test_a_group_that_joins_a_fold():
    joined = annotated(("g", 2, {"cohort": "1"}))
    after = study_of([*CELLS_OF_STUDY, *joined])
    found = explained(study_of(), after)
    fold = fold_of(after, "g")
    in_fold = f"group g joined fold {fold}"
    assert set(found) == {in_fold, "g_1000, g_1001 joined"}
    assert f"fold {fold}" not in found[in_fold].split(";")[1]
    assert found["g_1000, g_1001 joined"].startswith("annotate g; ingest g; normalise g; tile g")


def test_a_mask_that_joins_moves_its_micrograph_to_another_shard():
    cells = [
        {**row, "mask": "u_000.mask.tif", "cohort": "1"} if row["micrograph"] == "u_000" else row
        for row in CELLS_OF_STUDY
    ]
    after = study_of(cells)
    found = explained(study_of(), after)
    assert set(found) == {"mask of u_000 joined", f"group u joined fold {fold_of(after, 'u')}"}
    assert "ingest u, u+unlabelled" in found["mask of u_000 joined"]


def test_what_leaves():
    whole = [*CELLS_OF_STUDY, *annotated(("g", 2, {"cohort": "1"}))]
    one_less = [row for row in whole if row["micrograph"] != "g_1001"]
    assert list(explained(study_of(whole), study_of(one_less))) == ["g_1001 left"]
    assert list(explained(study_of(whole), study_of())) == ["group g left"]


def test_a_group_that_moves():
    def pinned(fold):
        cells = [{**row, "fold": fold} if row["group"] == "a" else row for row in CELLS_OF_STUDY]
        return study_of([{**row, "fold": "1"} if row["group"] == "b" else row for row in cells])

    before, after = pinned("1"), pinned("2")
    found = explained(before, after)
    moved = [change for change in found if "moved" in change]
    assert "group a moved to fold 2" in moved
    assert set(found) == set(moved)


def test_another_seed():
    found = explained(study_of(), study_of(train={"seeds": [0, 1]}))
    for fold in "012":
        assert f"network of seed 1 fold {fold} is new" in found
    found = explained(study_of(train={"seeds": [0, 1]}), study_of())
    assert all(change.endswith(" left") and "seed 1" in change for change in found)


def test_what_is_not_on_record_is_said():
    after = study_of(sha256={MASK: "other"})
    explainer = Explainer(after, lambda lineage: None, {("annotate", "a"): "0" * 64})
    assert [cause.what for cause in explainer.causes(("annotate", "a"))] == [
        "what it was made from is not on record"
    ]


@pytest.mark.parametrize("number", [1, NAMES_SHOWN, NAMES_SHOWN + 3])
def test_long_lists_are_cut(number):
    text = listed([f"m{i}" for i in range(number)])
    assert text.count(",") < NAMES_SHOWN
    assert text.endswith("and 3 more") == (number > NAMES_SHOWN)


def test_a_row_that_changes_its_cohort_is_named():
    def then(cohort):
        return {"cohorts": {"0": ["a", "b"], cohort: ["c"]}}

    assert list(changed_cohorts(then("1"), then("2"))) == [Cause("cohort of {} changed", "c")]
    assert list(changed_cohorts(then("1"), then("1"))) == []
    assert list(changed_cohorts({}, then("1"))) == []
