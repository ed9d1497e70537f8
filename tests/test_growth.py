"""A study that grows: the real Snakefile, cohort by cohort, and what rows leave behind."""

import numpy as np
import pytest
import tifffile
import torch

import verify
from predict import Run, main
from tessera.files import read_table, write_table
from tiny_study import FOLD_OF, ONCE, REPORTED, TinyStudy, jobs

KEPT = "results/prospective/cohort-1"
NETWORK = "results/networks/seed-0/fold-{}.pt"
EVERYONE = [*"abcdet", "u+unlabelled"]
"""All that is predicted once the group e has joined."""


def networks_of(study: TinyStudy, of: str = "results") -> dict[str, bytes]:
    return {
        fold: (study.folder / f"{of}/networks/seed-0/fold-{fold}.pt").read_bytes() for fold in "012"
    }


@pytest.fixture(scope="module")
def joined(finished, tmp_path_factory) -> TinyStudy:
    """A finished study that a new group and a new row of an old one are about to join."""
    study = finished.copy(tmp_path_factory.mktemp("joined") / "study")
    study.join("e-1", "e-2", "a-3", cohort=1)
    return study


@pytest.fixture(scope="module")
def grown(joined, tmp_path_factory) -> TinyStudy:
    """The same, run to the end; copy it before you change it."""
    study = joined.copy(tmp_path_factory.mktemp("grown") / "study")
    study.run()
    return study


@pytest.fixture
def before(joined, tmp_path) -> TinyStudy:
    return joined.copy(tmp_path / "before")


@pytest.fixture
def after(grown, tmp_path) -> TinyStudy:
    return grown.copy(tmp_path / "study")


# ------------------------------------------------------------------------------ a cohort joins


def test_all_holds_in_a_study_that_has_grown(after, capsys):
    results = after.folder / "results"
    assert verify.main([str(results)]) == 0, capsys.readouterr().out
    scores = read_table(results / "metrics.tsv")
    prospective = (scores["use"] == "prospective") & (scores["level"] == "pooled")
    scores.loc[prospective, "tp"] += 1
    write_table(results / "metrics.tsv", scores)
    assert verify.main([str(results)]) == 1
    assert "metrics.tsv: prospective, 1, network, pooled" in capsys.readouterr().out


def test_a_cohort_that_joins_is_first_judged_by_the_networks_from_before_it(joined):
    new = ["a of cohort 1", "e of cohort 1"]
    assert joined.plan() == jobs(
        ingest="ae",
        annotate="ae",
        normalise="ae",
        tile="ae",
        split=["-"],
        keep=["1"],
        prospect=new,
        assess=new,
        train="012",
        predict=EVERYONE,
        evaluate=[*"abcdet"],
        **ONCE,
    )
    inputs = joined.inputs()
    for fold in "012":
        assert f"{KEPT}/networks.tsv" in inputs[NETWORK.format(fold)]


def test_nothing_is_planned_when_it_has_joined(grown):
    assert grown.plan() == []


def test_networks_are_kept_as_they_were(finished, grown):
    assert networks_of(grown, KEPT) == networks_of(finished)
    assert not set(networks_of(grown).values()) & set(networks_of(finished).values())
    kept = (grown.folder / KEPT / "metrics.tsv").read_bytes()
    assert kept == (finished.folder / "results/metrics.tsv").read_bytes()
    table = read_table(grown.folder / KEPT / "folds.tsv")
    assert dict(zip(table["group"], table["fold"], strict=True)) == {**FOLD_OF, "t": ""}


@pytest.mark.parametrize(("micrograph", "folds"), [("a-3", FOLD_OF["a"]), ("e-1", "012")])
def test_an_old_group_is_judged_by_its_own_fold_and_a_new_one_by_all(
    finished, grown, tmp_path, micrograph, folds
):
    group, results = micrograph[0], grown.folder / "results"
    run = Run(4000, "cpu", "fp32", micrographs=[micrograph])
    networks = [str(finished.folder / NETWORK.format(fold)) for fold in folds]
    shard = [
        str(results / path) for path in (f"normalised/{group}.tif", f"micrographs/{group}.tsv")
    ]
    main(*shard, networks, ["0"] * len(networks), str(tmp_path), run)
    found = grown.folder / KEPT / "predictions" / group / f"{micrograph}.probability.tif"
    expected = tifffile.imread(tmp_path / f"{micrograph}.probability.tif")
    # Not in the same precision, perhaps; but far from what other networks would have said.
    np.testing.assert_allclose(tifffile.imread(found), expected, atol=0.02)
    not_asked = [fold for fold in "012" if fold not in folds]
    if not_asked:
        networks = [str(finished.folder / NETWORK.format(fold)) for fold in not_asked]
        main(*shard, networks, ["0"] * len(networks), str(tmp_path), run)
        other = tifffile.imread(tmp_path / f"{micrograph}.probability.tif")
        assert np.abs(other - expected).max() > 0.05
    names = {path.name.split(".")[0] for path in found.parent.glob("*.tif")}
    assert names == ({"a-3"} if group == "a" else {"e-1", "e-2"})


def test_scores_of_the_old_networks_stand_beside_those_of_the_new(grown):
    metrics = read_table(grown.folder / "results/metrics.tsv")
    network = metrics.query("method == 'network' and `class` == 'square'")
    tested = network.query("use == 'prospective' and cohort == '1'")
    assert set(tested.query("level == 'group'")["group"]) == {"a", "e"}
    predicted, true = [], []
    for name in ("a-3", "e-1", "e-2"):
        folder = grown.folder / KEPT / "predictions" / name[0]
        predicted.append(tifffile.imread(folder / f"{name}.mask.tif"))
        true.append(tifffile.imread(grown.folder / f"data/{name}.mask.tif") > 0)
    overlap, union = np.logical_and(predicted, true).sum(), np.logical_or(predicted, true).sum()
    pooled = tested.query("level == 'pooled'")["iou"].item()
    assert pooled == pytest.approx(overlap / union, abs=1e-5)
    now = network.query("use == 'cohort' and level == 'micrograph'")
    by_cohort = now.groupby("cohort")["micrograph"].agg(set).to_dict()
    assert by_cohort["1"] == {"a-3", "e-1", "e-2"}
    assert by_cohort["0"] == {f"{group}-{number}" for group in "abcdt" for number in (1, 2)}
    page = (grown.folder / "results/report.html").read_text(encoding="utf-8")
    assert "2 groups, 3 micrographs, judged by the networks from before cohort 1" in page
    assert "the 95 % interval of the mean over the 4 groups before" in page


def test_other_networks_leave_the_test_as_it_is(after):
    after.configure(train={"learning_rate": 0.001})
    assert after.plan() == jobs(train="012", predict=EVERYONE, evaluate=[*"abcdet"], **ONCE)
    everything = after.snakemake("-n", "--forceall").stdout
    assert "Training the network of fold 0" in everything
    assert "Keeping the networks" not in everything


def test_a_second_cohort_keeps_the_networks_of_the_first_two(after):
    after.join("e-3", "f-1", cohort=2)
    new = ["e of cohort 2", "f of cohort 2"]
    plan = after.plan()
    assert set(jobs(keep=["2"], prospect=new, assess=new, ingest="ef")) <= set(plan)
    # The row that joins e's shard leaves e's first test as it is.
    assert not set(jobs(keep=["1"], prospect=["a of cohort 1", "e of cohort 1"])) & set(plan)
    reads = after.inputs()["results/prospective/cohort-2/predictions/e"]
    networks = [path for path in reads if path.endswith(".pt")]
    assert len(networks) == 1
    assert networks[0].startswith("results/prospective/cohort-2/networks/")


def test_an_unlabelled_cohort_is_no_test(study):
    study.join("w-1", cohort=1, labelled=False)
    own = ["w+unlabelled"]
    assert study.plan() == jobs(ingest=own, normalise=own, predict=own, **REPORTED)


def test_a_study_of_several_cohorts_from_nothing_says_that_there_is_no_test(fresh):
    fresh.join("e-1", cohort=1)
    plan = fresh.plan()
    assert jobs(keep=["1"])[0] not in plan
    assert not any("from before" in job for job in plan)


def test_the_study_of_earlier_cohorts_is_what_it_was(before, after):
    before.configure(cohorts=0)
    assert before.plan() == []
    after.configure(cohorts=0)
    assert not any("from before" in job for job in after.plan())
    assert "no row is of cohort 0" in refused_without_first(after)


def refused_without_first(study):
    study.write_sheet(study.sheet.query("cohort == '1'"))
    return study.refused("-n")


def test_a_run_killed_after_the_networks_were_kept_goes_on(before, grown):
    planned = before.plan()
    before.run("--", f"{KEPT}/networks.tsv")
    assert networks_of(before, KEPT) == networks_of(before)
    assert before.plan() == sorted(set(planned) - set(jobs(keep=["1"])))
    # Killed in the middle of keeping: the table, written last, is not there.
    (before.folder / KEPT / "networks.tsv").unlink()
    (before.folder / KEPT / NETWORK.format(1).removeprefix("results/")).write_bytes(b"half")
    assert before.plan() == planned
    before.run("--", NETWORK.format(1))
    assert networks_of(before, KEPT) == networks_of(grown, KEPT)
    assert networks_of(before)["1"] == networks_of(grown)["1"]
    assert jobs(keep=["1"])[0] not in before.plan()


# ----------------------------------------------------------------------------------- warm start


def test_a_warm_start_begins_with_the_network_from_before(before, grown):
    before.configure(train={"warm_start": True})
    kept = f"{KEPT}/networks/seed-0/fold-0.pt"
    assert kept in before.inputs()[NETWORK.format(0)]
    before.run("--", NETWORK.format(0))
    network = torch.load(before.folder / NETWORK.format(0), weights_only=True)
    assert network["record"]["predecessor"] == kept
    history = read_table(before.folder / "results/networks/seed-0/fold-0.history.tsv")
    assert set(history["started_from"]) == {kept}
    cold = read_table(grown.folder / "results/networks/seed-0/fold-0.history.tsv")
    assert "started_from" not in cold
    assert history["loss"].iloc[0] < cold["loss"].iloc[0]
    assert jobs(train="0")[0] not in before.plan()
    before.configure(train={"warm_start": False})
    assert jobs(train="0")[0] in before.plan()


def test_a_warm_start_changes_nothing_before_a_cohort_joins(finished, tmp_path):
    study = finished.copy(tmp_path / "study")
    study.configure(train={"warm_start": True})
    assert study.plan() == []


# ------------------------------------------------------------------------------------- leftovers


def test_what_rows_leave_behind_is_told_listed_and_set_aside(study):
    assert "that the study has no more" not in study.run("-n")
    study.write_sheet(study.sheet.query("group != 'u'"))
    (study.folder / "results/micrographs/mine.txt").write_text("a note")
    gone = [
        f"micrographs/u+unlabelled.{end}"
        for end in ("tif", "tsv", "landmarks.parquet", "metadata.json")
    ]
    gone += ["normalised/u+unlabelled.tif", "normalised/u+unlabelled.tsv"]
    gone += ["lineages/u+unlabelled.predict"]
    folder = study.folder / "results/predictions/u+unlabelled"
    gone += [f"predictions/u+unlabelled/{path.name}" for path in folder.iterdir()]
    assert f"{len(gone)} files in results/ are of rows" in study.run("-n")
    assert study.plan() == jobs(**REPORTED)
    content = {path: (study.folder / "results" / path).read_bytes() for path in gone}
    said = study.run("removed")
    assert all(f"results/{path}" in said for path in gone)
    assert all((study.folder / "results" / path).is_file() for path in gone)
    study.run("set_aside")
    aside = study.folder / "results/removed/1"
    assert {path: (aside / path).read_bytes() for path in gone} == content
    assert not folder.exists()
    assert (study.folder / "results/micrographs/mine.txt").is_file()
    assert "that the study has no more" not in study.run()
    assert study.plan() == []


def test_the_predictions_of_a_removed_micrograph_outlive_those_of_its_shard(study):
    """Snakemake empties the folder of a shard that is predicted anew."""
    old = study.folder / "results/predictions/u+unlabelled/u-2.mask.tif"
    content = old.read_bytes()
    study.write_sheet(study.sheet.query("micrograph != 'u-2'"))
    said = study.run("--", "results/predictions/u+unlabelled")
    assert "predictions of removed micrographs are now in results/removed/1" in said
    assert not old.exists()
    moved = study.folder / "results/removed/1/predictions/u+unlabelled/u-2.mask.tif"
    assert moved.read_bytes() == content
