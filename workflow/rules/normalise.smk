"""
Grey levels on a common scale, each micrograph from itself alone.

INPUTS:
    results/micrographs/{shard}.tif, .tsv

OUTPUTS:
    results/normalised/{shard}.tif: float32, uncompressed, so that a page can be memory-mapped
"""


rule normalise:
    input:
        pages="results/micrographs/{shard}.tif",
        table="results/micrographs/{shard}.tsv",
    output:
        "results/normalised/{shard}.tif",
    log:
        "results/logs/normalise/{shard}.log",
    conda:
        "../../envs/imaging.yaml"
    threads: resources_of("normalise")["cpus"]
    resources:
        **resources_of("normalise"),
    params:
        **study.settings("normalise"),
        lineage=lineage_of("normalise"),
    message:
        "Normalising the micrographs of {wildcards.shard}"
    script:
        "../scripts/normalise.py"
