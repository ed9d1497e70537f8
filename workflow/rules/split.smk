"""
The audited table of folds, and the gate that all training waits at.

INPUTS:
    results/micrographs/{shard}.tsv, .landmarks.parquet and .tif, results/tiles/{shard}.parquet of
    every annotated shard; of the pages only those that may show the same area are read

OUTPUTS:
    results/folds.tsv: one row a group
    results/leaks.tsv: one row a pair of micrographs in different groups that show the same, if the
    config allows any
    results/leaks/{first}--{second}.png: such a pair side by side, also if it stops the run, and so
    not declared: Snakemake deletes what a failed job has declared

Stops the run on a class that is missing from the training of a fold, and on micrographs in different
groups that are (near-)identical or show partly the same area. `update` keeps the tables of the last
run where this one fails.
"""


rule split:
    input:
        tables=of_shards("annotated", "results/micrographs/{shard}.tsv"),
        pages=of_shards("annotated", "results/micrographs/{shard}.tif"),
        landmarks=of_shards("annotated", "results/micrographs/{shard}.landmarks.parquet"),
        tiles=of_shards("annotated", "results/tiles/{shard}.parquet"),
    output:
        folds=report(
            update("results/folds.tsv"),
            caption="../report/folds.rst",
            category="Study",
        ),
        leaks=report(
            update("results/leaks.tsv"),
            caption="../report/leaks.rst",
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
        shards=placement_of("annotated"),
        lineage=lineage_of("split"),
    message:
        "Auditing the folds"
    script:
        "../scripts/split.py"
