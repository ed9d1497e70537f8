"""
Predictions against masks: counts of pixels by shard, then the scores of the study.

INPUTS:
    results/predictions/{shard}/, results/masks/{shard}.tif, .tsv, results/normalised/{shard}.tif

OUTPUTS:
    results/evaluation/{shard}.parquet: counts of every micrograph, class and method
    results/metrics.tsv: IoU, Dice, precision, recall by micrograph, by group, pooled, and as means
"""


rule evaluate:
    message:
        "Scoring the predictions of {wildcards.shard}"
    input:
        predictions="results/predictions/{shard}",
        masks="results/masks/{shard}.tif",
        table="results/masks/{shard}.tsv",
        normalised="results/normalised/{shard}.tif",
    output:
        "results/evaluation/{shard}.parquet",
    params:
        **study.settings("evaluate"),
        code=code_version("evaluate.py"),
        upstream=upstream_of("evaluate"),
    log:
        "results/logs/evaluate/{shard}.log",
    threads: resources_of("evaluate")["cpus"]
    resources:
        **resources_of("evaluate"),
    conda:
        "../../envs/imaging.yaml"
    script:
        "../scripts/evaluate.py"


rule summarise:
    message:
        "Summing up the scores of the study"
    input:
        expand("results/evaluation/{shard}.parquet", shard=study.evaluated),
    output:
        report("results/metrics.tsv", caption="../report/metrics.rst", category="Results"),
    params:
        **study.settings("summarise"),
        shards=study.placement(study.evaluated),
        code=code_version("summarise.py"),
        upstream=study.upstream("summarise"),
    log:
        "results/logs/summarise/summarise.log",
    threads: resources_of("summarise")["cpus"]
    resources:
        **resources_of("summarise"),
    conda:
        "../../envs/imaging.yaml"
    script:
        "../scripts/summarise.py"
