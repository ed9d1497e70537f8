"""
Micrographs at a common pixel size, grey levels on a common scale.

Each from itself alone; with `by: group` all of a group are on the scale of the same few of them,
which may be in another shard of the group: never in another group, which another fold may hold out.

INPUTS:
    results/micrographs/{shard}.tif, .tsv; those of the shards that fix the scale of the group
    results/plan.yaml, where the config leaves the pixel size open

OUTPUTS:
    results/normalised/{shard}.tif: float32, uncompressed, so that a page can be memory-mapped
    results/normalised/{shard}.tsv: shape and pixel size of each, and what its grey levels went through
"""


rule normalise:
    input:
        pages="results/micrographs/{shard}.tif",
        table="results/micrographs/{shard}.tsv",
        reference_pages=of_references("results/micrographs/{shard}.tif"),
        reference_tables=of_references("results/micrographs/{shard}.tsv"),
        plan=plan_for("normalise"),
    output:
        pages="results/normalised/{shard}.tif",
        table="results/normalised/{shard}.tsv",
    log:
        "results/logs/normalise/{shard}.log",
    conda:
        "../../envs/imaging.yaml"
    threads: resources_of("normalise")["cpus"]
    resources:
        **resources_of("normalise"),
    params:
        settings=settled("normalise"),
        references=lambda wildcards: study.scaled_by(wildcards.shard),
        lineage=lineage_of("normalise"),
    message:
        "Normalising the micrographs of {wildcards.shard}"
    script:
        "../scripts/normalise.py"
