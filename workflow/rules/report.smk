"""
One self-contained HTML file that says what was run and shows every result.

INPUTS:
    results/folds.tsv, results/metrics.tsv, results/evaluation/, results/networks/*.history.tsv,
    results/micrographs/, results/masks/, results/predictions/

OUTPUTS:
    results/report.html
"""


rule report:
    message:
        "Writing the report"
    input:
        folds="results/folds.tsv",
        metrics="results/metrics.tsv",
        histories=expand(
            "results/networks/seed-{seed}/fold-{fold}.history.tsv",
            seed=study.seeds,
            fold=study.fold_names,
        ),
        micrographs=expand("results/micrographs/{shard}.tif", shard=study.predicted),
        tables=expand("results/micrographs/{shard}.tsv", shard=study.predicted),
        masks=expand("results/masks/{shard}.tif", shard=study.evaluated),
        predictions=expand("results/predictions/{shard}", shard=study.predicted),
    output:
        report("results/report.html", caption="../report/report.rst", category="Results"),
    params:
        **study.settings("report"),
        shards=study.placement(study.predicted),
        study={"split": study.settings("split"), "train": study.settings("train")},
        code=code_version("report.py"),
        upstream=study.upstream("report"),
    log:
        "results/logs/report/report.log",
    threads: resources_of("report")["cpus"]
    resources:
        **resources_of("report"),
    conda:
        "../../envs/imaging.yaml"
    script:
        "../scripts/report.py"
