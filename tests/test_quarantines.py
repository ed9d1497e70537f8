"""A study with rows in quarantine is the study without them, but for the places that they keep."""

from dataclasses import replace

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import annotated, lineages, random_sheets, study_of
from tessera.products import jobs
from tessera.quarantines import COLUMNS, Quarantine, said
from tessera.refusals import listed
from test_explanations import explained

QUARANTINE = {"ingest": {"on_bad_file": "quarantine"}}
OF_THEIR_OWN = {"quarantine", "report", "audit"}
"""Steps that tell of the quarantine."""


def without(study, *cells):
    """A study of which these files, as (micrograph, column), are refused."""
    quarantine = Quarantine.from_rows(study.rows, dict.fromkeys(cells, "is no picture"))
    return replace(
        study.of(quarantine.left(study.rows), quarantine=quarantine), sha256=study.sha256
    )


@st.composite
def studies_with_bad_rows(draw):
    """A study, and the same with some of its rows in quarantine."""
    cells, blocks = draw(random_sheets())
    whole = study_of(cells, **blocks, **QUARANTINE)
    names = whole.rows["micrograph"].tolist()
    bad = draw(st.lists(st.sampled_from(names), min_size=1, max_size=6, unique=True))
    return whole, without(whole, *((name, "image") for name in bad))


@given(studies_with_bad_rows())
@settings(max_examples=25)
def test_what_is_left_keeps_its_fold_its_shard_and_what_its_shard_is_made_from(found):
    whole, left = found
    assert left.folds["fold"].to_dict() == whole.folds["fold"].to_dict()
    assert left.fold_names == whole.fold_names
    for cohort in set(whole.rows["cohort"]):
        earlier, then = left.before(cohort), whole.before(cohort)
        if earlier is not None:  # there may be nothing left that could have been learnt from then
            assert earlier.folds["fold"].to_dict() == then.folds["fold"].to_dict()
    bad = left.quarantine.names
    shards = {}
    for shard in whole.shards.index:
        names = set(whole.cells_of(shard, "micrograph"))
        if names - bad:
            shards[shard] = names - bad
        if names & bad:
            continue
        for step in ("ingest", "normalise"):
            assert left.lineage(step, shard) == whole.lineage(step, shard)
    assert {shard: set(left.cells_of(shard, "micrograph")) for shard in left.shards.index} == shards


@given(studies_with_bad_rows())
@settings(max_examples=25)
def test_all_else_is_as_if_the_rows_were_not_there(found):
    whole, left = found
    # Their places apart: the same folds, and shards that nobody cuts.
    config = {**whole.config, "shard_size": len(whole.rows)}
    left = replace(left, config=config, _lineages={})
    nowhere = replace(left, quarantine=Quarantine(), placed=whole.folds, _lineages={})
    ours, theirs = lineages(left), lineages(nowhere)
    assert ours.keys() == theirs.keys()
    told = OF_THEIR_OWN | {"split"}  # of no group of which nothing is left
    assert {of for of in ours if ours[of] != theirs[of] and of[0] not in told} == set()
    groups = set(left.shards.loc[left.shards["fold"].notna(), "group"])
    assert left.ancestry("split")["folds"].keys() == groups


def test_the_lineages_of_a_study_without_bad_rows_are_those_of_one_that_stops():
    stops, quarantines = lineages(study_of()), lineages(study_of(**QUARANTINE))
    assert set(quarantines) - set(stops) == {("quarantine",)}
    assert {of for of in stops if quarantines[of] != stops[of]} == {("report",), ("audit",)}


def test_the_table_says_what_was_refused_and_where_it_belongs():
    whole = study_of(annotated(("a", 2), ("b", 2), ("c", 2), ("t", 1, {"use": "test"})))
    found = without(whole, ("b_000", "mask"), ("t_000", "image"), ("t_000", "mask"))
    table = pd.DataFrame(listed(found))[COLUMNS].drop(columns="reason")
    fold = str(whole.folds.loc["b", "fold"])
    assert table.values.tolist() == [
        ["b_000", "b", "cv", fold, "mask", "b_000.mask.tif", "data/b_000.mask.tif"],
        ["t_000", "t", "test", "", "image", "t_000.tif", "data/t_000.tif"],
        ["t_000", "t", "test", "", "mask", "t_000.mask.tif", "data/t_000.mask.tif"],
    ]
    assert said(found.quarantine).splitlines()[:2] == [
        "2 rows left out of the study, in quarantine until mended:",
        "  b_000: data/b_000.mask.tif: is no picture",
    ]


def test_other_bytes_of_what_is_refused_change_what_is_on_record():
    whole = study_of(**QUARANTINE)
    bad, image = ("a_000", "mask"), whole.rows["image"].iloc[0]
    before = without(whole, bad)
    after = replace(before, sha256={**before.sha256, image: "other"}, _lineages={})
    changed = {of for of, lineage in lineages(after).items() if lineages(before)[of] != lineage}
    assert changed == {("audit",)}  # the image of the row is good, and in no table
    mask = whole.rows["mask"].iloc[0]
    after = replace(before, sha256={**before.sha256, mask: "other"}, _lineages={})
    changed = {of for of, lineage in lineages(after).items() if lineages(before)[of] != lineage}
    assert changed == {("quarantine",), ("report",), ("audit",)}


def test_a_change_is_told_as_what_it_is():
    whole = study_of(**QUARANTINE)
    left = without(whole, ("a_000", "image"))
    changed = "what is in quarantine changed"
    assert set(explained(whole, left)) == {"a_000 is in quarantine now", changed}
    assert set(explained(left, whole)) == {"a_000 joined", changed}
    assert explained(whole, study_of()) == {"bad files stop the run again": "report; audit"}


def test_a_file_that_is_missing_is_listed_and_read_by_no_job():
    whole = study_of(**QUARANTINE)
    image = whole.rows["image"].iloc[0]
    rest = {path: known for path, known in whole.sha256.items() if path != image}
    found = replace(without(whole, ("a_000", "image"), ("a_001", "mask")), sha256=rest)
    assert [of["file_sha256"] for of in listed(found)] == ["", "data/a_001.mask.tif"]
    job = next(job for job in jobs(found) if job.rule == "quarantine")
    assert job.raw == (("a_001", "mask"),)
