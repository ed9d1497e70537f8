"""Plans: what is stated wins, the rest fits it, and what is read back is what was written."""

import dataclasses

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tessera.pixel_sizes import AUTO
from tessera.planning import (
    MOST_LEVELS,
    SMALLEST_BATCH,
    SMALLEST_TILE_PX,
    STEPS,
    Surroundings,
    decide,
    memory_mb,
)
from tessera.plans import BLOCKS, OPEN, Plan, filled, is_open, made_of, reasons, render
from tessera.surveys import ClassFound, Survey

OPEN_KEYS = [key for block in BLOCKS for key in OPEN[block]]
NOTHING_STATED = dict.fromkeys(OPEN_KEYS, AUTO)
CLASSES = (ClassFound("matrix", 0.7, None), ClassFound("grain", 0.3, 60.0))


def survey(number=10, shape=(512, 512), classes=CLASSES, **others):
    known = {
        "shapes": [shape] * number,
        "pixel_size_nm": 2.5,
        "pixel_sizes_nm": (2.0, 3.0),
        "grid_nm": 2.5,
        "dtypes": ["uint8"],
        "grey_levels": [3.0, 120.0, 250.0],
        "classes": classes,
        "background_blocks": 0.0,
        "empty_blocks": 0.0,
    }
    return Survey(**{**known, **others})


def around(**others):
    known = {
        "n_folds": 4,
        "background_share": 0.25,
        "device": "cpu",
        "precision": "bf16",
        "memory_mb": 16_000,
        "memory_of": "this machine's memory",
    }
    return Surroundings(**{**known, **others})


def planned(found=None, place=None, **stated):
    decisions = decide(found or survey(), NOTHING_STATED | stated, place or around())
    assert list(decisions) == OPEN_KEYS
    return {key: decision.value for key, decision in decisions.items()}


def test_micrographs_of_512_px_get_what_was_measured_on_them():
    values = planned()
    assert values["size_px"] == 192
    assert values["stride_px"] == 96
    assert values["jitter_px"] == 48
    assert values["batch"] == 8
    assert values["channels"] == [16, 32, 64, 128, 256]
    assert values["loss"] == {"cross_entropy": 1.0, "bce": 0.0, "dice": 1.0, "focal": 0.0}
    assert values["class_weights"] == "none"


def test_large_structures_get_larger_tiles_and_more_levels():
    wide = (CLASSES[0], ClassFound("grain", 0.3, 300.0))
    values = planned(survey(shape=(4096, 4096), classes=wide))
    assert values["size_px"] > 192
    assert len(values["channels"]) > 5
    assert values["batch"] < 8


@pytest.mark.parametrize(("side", "size"), [(80, 64), (200, 96), (300, 144)])
def test_small_micrographs_get_smaller_tiles_and_fewer_levels(side, size):
    values = planned(survey(shape=(side, 2 * side)))
    assert values["size_px"] == size
    assert len(values["channels"]) < 5


def test_less_memory_means_a_smaller_batch_then_smaller_tiles():
    batches = [planned(place=around(memory_mb=mb))["batch"] for mb in (16_000, 1_500, 1_000, 100)]
    assert batches == sorted(batches, reverse=True)
    assert batches[-1] == SMALLEST_BATCH
    tight = planned(place=around(memory_mb=100))
    assert SMALLEST_TILE_PX <= tight["size_px"] < 192
    # What is stated is not touched, whatever it takes.
    assert planned(place=around(memory_mb=100), size_px=192, batch=16)["batch"] == 16


def test_big_data_get_fewer_epochs_and_small_data_more():
    fewest, most = STEPS["cpu"]
    few, usual, many = (planned(survey(number=number))["epochs"] for number in (2, 10, 1000))
    assert few > usual > many
    for number, epochs in ((2, few), (10, usual), (1000, many)):
        tiles = 0.75 * survey(number=number).tiles_used(192, 96, 0.25)
        assert 0.9 * fewest <= epochs * tiles / 8 <= 1.1 * most


def test_rare_classes_are_weighted_where_nothing_else_counts_them():
    even = (ClassFound("a", 0.45, None), ClassFound("b", 0.55, 60.0))
    alone = {"cross_entropy": 1.0, "dice": 0.0}
    assert planned(loss=alone)["class_weights"] == "sqrt-inverse"
    assert planned(survey(classes=even), loss=alone)["class_weights"] == "none"
    assert planned(loss={"focal": 1.0, "dice": 0.5})["class_weights"] == "none"


def test_pixel_sizes_that_are_known_are_brought_to_their_median():
    assert planned()["pixel_size_nm"] == 2.5
    unknown = survey(pixel_size_nm=None, pixel_sizes_nm=None, grid_nm=None)
    assert planned(unknown)["pixel_size_nm"] == "keep"
    assert planned(pixel_size_nm=4.0)["pixel_size_nm"] == 4.0


def test_the_side_of_a_tile_may_be_stated_in_nm():
    values = planned(size_nm=700.0)
    assert values["size_px"] == 288  # 280 px, in multiples of 16 or 32
    assert planned(size_nm=700.0, channels=[4, 8])["size_px"] == 280
    assert planned(size_nm=700.0, place=around(memory_mb=100))["size_px"] == 288
    mixed = survey(grid_nm=None)
    with pytest.raises(
        ValueError, match=r"700 nm is no number of pixels: pixel sizes are 2 to 3 nm"
    ):
        planned(mixed, size_nm=700.0)
    unknown = survey(pixel_size_nm=None, pixel_sizes_nm=None, grid_nm=None)
    with pytest.raises(ValueError, match="no pixel size is known; say them in the sheet"):
        planned(unknown, size_nm=700.0)


sizes = st.integers(2, 40).map(lambda n: 16 * n)


@settings(max_examples=60)
@given(
    side=st.integers(20, 9000),
    number=st.integers(1, 500),
    structure=st.one_of(st.none(), st.floats(2, 5000)),
    memory=st.integers(10, 500_000),
    device=st.sampled_from(["cpu", "cuda"]),
    stated=st.fixed_dictionaries(
        {},
        optional={
            "size_px": sizes,
            "stride_px": st.integers(1, 500),
            "channels": st.lists(st.integers(1, 64), min_size=1, max_size=5),
            "batch": st.integers(1, 64),
            "epochs": st.integers(1, 100),
        },
    ),
)
def test_every_plan_fits_together_and_keeps_what_is_stated(
    side, number, structure, memory, device, stated
):
    classes = (CLASSES[0], ClassFound("grain", 0.3, structure))
    place = around(memory_mb=memory, device=device)
    values = planned(survey(number, (side, side + 7), classes), place, **stated)
    assert stated.items() <= values.items()
    assert len(values["channels"]) <= MOST_LEVELS
    stride = 2 ** (len(values["channels"]) - 1)
    if not {"size_px", "channels"} <= stated.keys():
        assert values["size_px"] % stride == 0
    assert values["stride_px"] >= 1
    assert values["batch"] >= 1
    assert values["epochs"] > 0


def test_memory_is_that_of_the_batch():
    one, two = (memory_mb(192, [16, 32], batch, fixed_mb=0) for batch in (1, 2))
    assert two == pytest.approx(2 * one, abs=1)


# ---------------------------------------------------------------------------------- on paper

STATED = {
    "tile": {"size_px": AUTO, "stride_px": AUTO, "seed": 0},
    "normalise": {"pixel_size_nm": AUTO, "low_percentile": 0.5},
    "train": dict.fromkeys(OPEN["train"], AUTO) | {"optimiser": "adamw"},
    "calibrate": dict.fromkeys(OPEN["calibrate"], AUTO) | {"network": "unet"},
}
LINEAGES = {step: f"prospect of {step}" for step in OPEN}


def text(found=None, before=None, stated=STATED):
    found = found or survey()
    decisions = decide(found, stated["tile"] | stated["train"], around())
    made = made_of(LINEAGES, stated, decisions, before)
    return render(decisions, found, around(), made)


def settings_of(step, plan, stated=STATED):
    return filled(step, stated[step], plan.values)


def test_the_same_survey_gives_the_same_bytes():
    assert text() == text()


def test_every_value_stands_below_its_reason():
    lines = text().splitlines()
    for key in OPEN_KEYS:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"  {key}: "))
        assert lines[at - 1].startswith("  # ")
    assert max(map(len, lines[:40])) <= 100


def test_a_plan_is_read_back_as_it_was_written():
    plan = Plan.parse(text())
    assert plan.values == planned()
    content = yaml.safe_load(text())
    assert content["normalise"]["pixel_size_nm"] == 2.5
    assert content["fingerprint"]["classes"]["grain"] == {"share": 0.3, "structure_px": 60.0}
    assert content["fingerprint"]["memory_mb"] == 16_000


def test_reasons_are_read_back_as_they_were_decided():
    decided = decide(survey(), STATED["tile"] | STATED["train"], around())
    by_key = {key: reason for (_, key), reason in reasons(text()).items()}
    assert by_key == {key: decision.reason for key, decision in decided.items()}


def test_making_a_plan_changes_no_lineage_and_editing_it_those_that_use_the_value():
    plan = Plan.parse(text())
    for step in OPEN:
        assert plan.identity(step, settings_of(step, plan)) == LINEAGES[step]
    edited = Plan.parse(text().replace(f"epochs: {plan.values['epochs']}", "epochs: 7"))
    assert edited.values["epochs"] == 7
    now = {step: edited.identity(step, settings_of(step, edited)) for step in OPEN}
    assert {step for step in OPEN if now[step] != LINEAGES[step]} == {"train"}


def test_stating_what_was_planned_changes_no_lineage():
    plan = Plan.parse(text())
    stated = {**STATED["tile"], "size_px": plan.values["size_px"]}
    assert plan.identity("tile", filled("tile", stated, plan.values)) == LINEAGES["tile"]
    other = filled("tile", {**stated, "size_px": 64}, plan.values)
    assert plan.identity("tile", other) != LINEAGES["tile"]


def test_planning_again_keeps_the_lineage_of_what_comes_out_the_same():
    before = Plan.parse(text())
    same = Plan.parse(text(before=before))
    assert same.made == before.made
    # Ten times the micrographs: other epochs, the same tiles.
    after = Plan.parse(text(survey(number=100), before=before))
    assert after.values["epochs"] != before.values["epochs"]
    lineages = {step: after.identity(step, settings_of(step, after)) for step in OPEN}
    assert {step for step in OPEN if lineages[step] != LINEAGES[step]} == {"train"}
    # Also where somebody had edited the plan before, and nothing ran since.
    edited = dataclasses.replace(before, values=before.values | {"size_px": 64})
    assert edited.identity("tile", settings_of("tile", edited)) != LINEAGES["tile"]
    again = Plan.parse(text(before=edited))
    assert again.identity("tile", settings_of("tile", again)) == LINEAGES["tile"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "it holds no values"),
        ("tile: {size_px: 64", "it is no YAML"),
        ("tile: {size_px: 64}", r"it does not say normalise.pixel_size_nm, tile.stride_px, t"),
        (text().replace("  batch: 8", "  batch: auto"), "it does not say train.batch"),
        (text().replace("prospect of tile", "[]"), "made.tile: no digest by a digest"),
    ],
)
def test_a_damaged_plan_is_refused(content, words):
    with pytest.raises(ValueError, match=words):
        Plan.parse(content)


def test_what_is_open():
    assert is_open("tile", {"size_px": AUTO, "stride_px": 4})
    assert not is_open("train", {"precision": AUTO, "epochs": 3})
    assert not is_open("report", {"title": AUTO})
