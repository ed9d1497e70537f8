"""The table of products is the graph of the real Snakefile, and grows with the study."""

import yaml

from builders import CELLS_OF_STUDY, study_of
from grown_studies import FIRST, SECOND, grown
from tessera.preparation import prepared
from tessera.products import GATES, STEPS, jobs

OWN = {"manifest.tsv", "ro-crate-metadata.json", "SHA256SUMS", "study/raw.tsv"}
"""What the audit itself writes."""


def test_products_are_those_of_the_real_graph(study, monkeypatch):
    monkeypatch.chdir(study.folder)
    config = yaml.safe_load(
        study.config.with_name("results").joinpath("study/config.yaml").read_text()
    )
    found = prepared(config)
    graph = study.inputs()
    ours = {f"results/{path}".rstrip("/"): job for job in jobs(found) for path in job.writes}
    # Once there is a plan, no job makes it; none needs the calibration any more.
    assert set(ours) == {*graph, "results/plan.yaml"} - {f"results/{path}" for path in OWN}
    raw = found.rows.set_index("micrograph")
    for output, job in ours.items():
        if job.rule == "plan":
            continue
        meant = {f"results/{path}".rstrip("/") for path in job.reads}
        meant |= {raw.loc[micrograph, column] for micrograph, column in job.raw}
        gates = {f"results/{path}" for path in GATES - set(job.reads)}
        assert graph[output] - gates == meant, output


def test_every_step_has_jobs_and_none_reads_what_comes_after_it():
    rules = set()
    quarantining = study_of(ingest={"on_bad_file": "quarantine"})
    for found in (study_of(), grown(FIRST, SECOND), quarantining):
        made = set()
        for job in jobs(found):
            assert set(job.reads) <= made, job.id
            made |= set(job.writes)
            rules.add(job.rule)
    assert rules == set(STEPS)


def test_masks_of_regions_read_the_table_of_their_micrographs():
    cells = [
        {**row, "mask": "all.JSON::x"} if row["group"] == "a" and row["mask"] else row
        for row in CELLS_OF_STUDY
    ]
    read = {job.id: job.reads for job in jobs(study_of(cells)) if job.rule == "annotate"}
    assert read["annotate/a"] == ("micrographs/a.tsv",)
    assert {reads for id, reads in read.items() if id != "annotate/a"} == {()}


def test_masks_of_micrographs_that_are_cropped_read_their_table():
    read = {crop: STEPS["annotate"].reads(study_of(ingest={"crop": crop}), {"shard": "a"})
            for crop in (None, "auto")}  # fmt: skip
    assert {crop: [*paths] for crop, paths in read.items()} == {
        None: [], "auto": ["micrographs/a.tsv"]
    }  # fmt: skip


def test_names_of_jobs_are_unique():
    ids = [job.id for job in jobs(study_of(train={"seeds": [0, 1]}))]
    assert len(set(ids)) == len(ids)
    assert "train/1/2" in ids
    assert "summarise" in ids


def test_no_network_reads_a_product_of_a_shard_of_its_own_fold():
    found = study_of()
    for job in jobs(found):
        if job.rule == "train":
            shards = {path.split("/")[1].partition(".")[0] for path in job.reads}
            assert shards == set(found.training_shards(job.names["fold"]))
