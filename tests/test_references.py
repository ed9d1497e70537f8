"""References: the micrographs that fix the scale of their group, and what changes with them."""

import pytest
from hypothesis import given, settings

from builders import CELLS_OF_STUDY, annotated, random_sheets, study_of
from grown_studies import FIRST, SECOND, kept_by, study
from tessera.references import MOST

BY_GROUP = {"normalise": {"by": "group"}}
STUDIES = random_sheets().map(lambda sheet: study_of(sheet[0], **sheet[1], **BY_GROUP))


def unlabelled(*groups):
    return [cells | {"mask": ""} for cells in annotated(*groups)]


def normalised_anew(before, after):
    """Shards of the study before that are normalised again."""
    both = before.shards.index.intersection(after.shards.index)
    return {of for of in both if before.lineage("normalise", of) != after.lineage("normalise", of)}


def test_each_micrograph_has_its_own_scale_by_default():
    found = study_of()
    assert all(found.scaled_by(shard) == {} for shard in found.shards.index)


@given(STUDIES)
@settings(max_examples=15)
def test_a_scale_is_fixed_within_its_group_by_annotated_micrographs_of_its_first_cohort(found):
    rows = found.rows.set_index("micrograph")
    for shard, of in found.shards.iterrows():
        names = [name for names in found.scaled_by(shard).values() for name in names]
        of_group = rows[rows["group"] == of["group"]]
        if of_group["annotated"].any():
            of_group = of_group[of_group["annotated"]]
        first = of_group[of_group["cohort"] == of_group["cohort"].min()]
        assert sorted(names) == sorted(first.index)[:MOST]
        for other, within in found.scaled_by(shard).items():
            assert set(within) <= set(found.cells_of(other, "micrograph"))


def test_of_a_large_group_the_first_fix_the_scale():
    found = study_of(annotated(("a", 70), ("b", 1), ("c", 1)), shard_size=8, **BY_GROUP)
    pieces = [shard for shard, of in found.shards.iterrows() if of["group"] == "a"]
    names = [name for names in found.scaled_by(pieces[-1]).values() for name in names]
    assert len(pieces) > 2
    assert names == [f"a_{number:03}" for number in range(64)]
    assert {shard: found.scaled_by(shard) for shard in pieces} == dict.fromkeys(
        pieces, found.scaled_by("a")
    )


@pytest.mark.parametrize(
    ("more", "anew"),
    [
        # Beside annotated ones, or in a group of their own: the chain of their shard alone.
        (unlabelled(("b", 1, {"cohort": "9"})), set()),
        (unlabelled(("n", 2)), set()),
        # Whose scale is that of unlabelled micrographs, and which has an annotated one now.
        (annotated(("u", 1, {"cohort": "9"})), {"u+unlabelled"}),
        # The scale stays, but Snakemake runs what reads a shard that was made again.
        (annotated(("a", 1, {"cohort": "9"})), {"a", "a+unlabelled"}),
    ],
    ids=["unlabelled", "new group", "first annotated", "annotated"],
)
def test_what_joins_reaches_its_group_alone(more, anew):
    before, after = study_of(**BY_GROUP), study_of([*CELLS_OF_STUDY, *more], **BY_GROUP)
    assert normalised_anew(before, after) == anew


def test_what_joins_later_moves_no_scale():
    before = study_of(**BY_GROUP)
    after = study_of([*CELLS_OF_STUDY, *annotated(("a", 1, {"cohort": "9"}))], **BY_GROUP)
    assert before.scaled_by("a") == after.scaled_by("a")


@pytest.mark.parametrize("by", ["micrograph", "group"])
def test_a_test_of_kept_networks_depends_on_what_fixes_the_scale_of_its_group(by):
    how = {"normalise": {"by": by}}
    kept = [kept_by(study(FIRST, SECOND, **how), study(FIRST, **how))]
    lineage = study(FIRST, SECOND, kept=kept, **how).lineage("prospect", "1", "a")
    later = study(FIRST, SECOND, annotated(("a", 1, {"cohort": "3"})), kept=kept, **how)
    assert later.lineage("prospect", "1", "a") == lineage
    corrected = study(FIRST, SECOND, kept=kept, sha256={"data/a_000.tif": "other"}, **how)
    assert (corrected.lineage("prospect", "1", "a") != lineage) == (by == "group")
