"""
Micrographs at a common pixel size, grey levels on a common scale, each from itself alone.

INPUTS:
    results/micrographs/{shard}.tif, .tsv
    results/plan.yaml, where the config leaves the pixel size open

OUTPUTS:
    results/normalised/{shard}.tif: float32, uncompressed, so that a page can be memory-mapped
    results/normalised/{shard}.tsv: shape and pixel size of each, and what its grey levels went through
"""


rule normalise:
    input:
        pages="results/micrographs/{shard}.tif",
        table="results/micrographs/{shard}.tsv",
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
        lineage=lineage_of("normalise"),
    message:
        "Normalising the micrographs of {wildcards.shard}"
    script:
        "../scripts/normalise.py"
