"""
The audited table of folds, and the gate that all training waits at.

INPUTS:
    results/micrographs/{shard}.tsv, results/tiles/{shard}.parquet of every annotated shard

OUTPUTS:
    results/folds.tsv: one row a group

Stops the run on a class that is missing from the training of a fold, and on (near-)identical
micrographs in different groups. `update` keeps the table of the last run where this one fails.
"""


rule split:
    input:
        tables=expand("results/micrographs/{shard}.tsv", shard=study.annotated),
        tiles=expand("results/tiles/{shard}.parquet", shard=study.annotated),
    output:
        report(
            update("results/folds.tsv"),
            caption="../report/folds.rst",
            category="Study",
        ),
    log:
        "results/logs/split/split.log",
    conda:
        "../../envs/imaging.yaml"
    threads: resources_of("split")["cpus"]
    resources:
        **resources_of("split"),
    params:
        **study.settings("split"),
        shards=study.placement(study.annotated),
        lineage=study.lineage("split"),
    message:
        "Auditing the folds"
    script:
        "../scripts/split.py"
