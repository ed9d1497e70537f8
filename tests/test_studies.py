"""Studies: nothing held out ever trains, and a change reaches what it decides and no more."""

from functools import cache

import pytest
from hypothesis import given, settings

from builders import CELLS_OF_STUDY, annotated, lineages, random_sheets, study_of
from tessera.studies import WHOLE

STUDIES = random_sheets().map(lambda sheet: study_of(sheet[0], **sheet[1]))


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


@given(STUDIES)
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


@given(STUDIES)
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


def test_a_raw_file_that_moves_to_another_folder_changes_nothing():
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
        ("ingest", {"limits": {"saturated": 0.5}}),
        ("normalise", {"low_percentile": 1.0}),
        ("normalise", {"method": "clahe"}),
        ("normalise", {"by": "group"}),
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


def test_a_crop_reaches_masks_too():
    found, code = (
        changed(study_of(ingest={"crop": "auto"})),
        changed(study_of(code=lambda script: script + "!" * (script == "ingest.py"))),
    )
    assert found == code | {"annotate": study_of().annotated}
    by_pixels, others = ({"crop": {"bottom": px}} for px in (60, 61))
    corrected = study_of(ingest=by_pixels).lineage("annotate", "a")
    assert corrected != study_of(ingest=others).lineage("annotate", "a")


def test_how_jobs_run_changes_nothing():
    assert changed(study_of(device="cuda", resources={"default": {"cpus": 8}})) == {}


def test_the_order_of_classes_matters():
    """It is their codes."""
    found = changed(study_of(classes={"particle": 255, "background": 0}))
    assert {"annotate", "tile", "train", "predict", "evaluate"} < set(found)
    assert not {"ingest", "normalise"} & set(found)


def drawn_on(cells, group="a"):
    """The same cells, the masks of a group in one JSON."""
    return [
        {**row, "mask": "all.json"} if row["group"] == group and row["mask"] else row
        for row in cells
    ]


def test_regions_are_drawn_on_micrographs_so_their_masks_follow_these():
    before, image = study_of(drawn_on(CELLS_OF_STUDY)), "data/a_000.tif"
    after = study_of(drawn_on(CELLS_OF_STUDY), sha256={image: "other"})
    assert before.lineage("annotate", "a") != after.lineage("annotate", "a")
    assert before.lineage("annotate", "b") == after.lineage("annotate", "b")
    plain = study_of(), study_of(sha256={image: "other"})
    assert plain[0].lineage("annotate", "a") == plain[1].lineage("annotate", "a")


def test_a_corrected_region_ingests_nothing():
    before = study_of(drawn_on(CELLS_OF_STUDY))
    after = study_of(drawn_on(CELLS_OF_STUDY), sha256={"data/all.json": "other"})
    assert before.lineage("annotate", "a") != after.lineage("annotate", "a")
    for step in ("ingest", "normalise"):
        assert before.lineage(step, "a") == after.lineage(step, "a")


def test_the_name_of_a_file_is_in_what_is_made_from_it():
    """Tables hold it, and regions of a JSON are found by that of their micrograph."""
    for cells, masks_follow in ((CELLS_OF_STUDY, False), (drawn_on(CELLS_OF_STUDY), True)):
        renamed = [{**row, "image": row["image"].replace("a_000", "z")} for row in cells]
        same = {"data/z.tif": "data/a_000.tif"}
        before, after = study_of(cells), study_of(renamed, sha256=same)
        assert before.lineage("ingest", "a") != after.lineage("ingest", "a")
        assert (before.lineage("annotate", "a") != after.lineage("annotate", "a")) == masks_follow


@pytest.mark.parametrize(
    "block",
    [
        {"ignore": 7},
        {"other": "particle"},
        {"nearest": True},
        {"unlabelled": "ignore"},
        {"instances": {"class": "particle"}},
    ],
)
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
