"""
One self-contained HTML file that says what was run and shows every result.

INPUTS:
    results/folds.tsv, results/leaks.tsv, results/metrics.tsv, results/quarantine.tsv if bad files
    are quarantined, results/networks/*.history.tsv,
    results/micrographs/, results/masks/, results/predictions/ of all that is predicted
    results/prospective/cohort-{cohort}/metrics.tsv: the scores before a cohort joined
    results/plan.yaml, where the config leaves something open

OUTPUTS:
    results/report.html

What the page is made of, workflow/report/report.*, reaches the job as `page`, its digests: code is
hashed from the script alone.
"""

from tessera.digests import file_digest

templates = Path(workflow.basedir) / "workflow" / "report"
cohorts_told = told(study)
page_parts = [path for path in sorted(templates.glob("report.*")) if path.suffix != ".rst"]


rule report:
    input:
        folds="results/folds.tsv",
        leaks="results/leaks.tsv",
        metrics="results/metrics.tsv",
        quarantine=["results/quarantine.tsv"] if study.quarantines else [],
        histories=expand(
            "results/networks/seed-{seed}/fold-{fold}.history.tsv",
            seed=study.seeds,
            fold=study.fold_names,
        ),
        micrographs=of_shards("predicted", "results/micrographs/{shard}.tif"),
        tables=of_shards("predicted", "results/micrographs/{shard}.tsv"),
        masks=of_shards("evaluated", "results/masks/{shard}.tif"),
        # As in `evaluate`.
        predictions=ancient(of_shards("predicted", "results/predictions/{shard}")),
        lineages=of_shards("predicted", "results/lineages/{shard}.predict"),
        before=expand(
            "results/prospective/cohort-{cohort}/metrics.tsv",
            cohort=[of["kept"] for of in cohorts_told if of["scored"]],
        ),
        plan=plan_for("train"),
    output:
        report("results/report.html", caption="../report/report.rst", category="Results"),
    log:
        "results/logs/report/report.log",
    conda:
        "../../envs/report.yaml"
    threads: resources_of("report")["cpus"]
    resources:
        **resources_of("report"),
    params:
        **verbatim(study.settings("report")),
        shards=placement_of("predicted"),
        study=settled_by_step("split", "normalise", "tile", "train"),
        cohorts=cohorts_told,
        page=[file_digest(path) for path in page_parts],
        lineage=lineage_of("report"),
    message:
        "Writing the report"
    script:
        "../scripts/report.py"
