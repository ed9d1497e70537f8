"""
Where training examples are cut, what each holds and whether it is used.

INPUTS:
    results/normalised/{shard}.tsv, results/micrographs/{shard}.tsv, results/masks/{shard}.tif, .tsv
    results/plan.yaml, where the config leaves something open

OUTPUTS:
    results/tiles/{shard}.parquet: one row a tile
    results/tiles/{shard}.tif: masks on the grid of what is normalised, uncompressed, so that training
    maps them; a corrected mask does not normalise again
"""


rule tile:
    input:
        normalised="results/normalised/{shard}.tsv",
        micrographs="results/micrographs/{shard}.tsv",
        masks="results/masks/{shard}.tif",
        table="results/masks/{shard}.tsv",
        plan=plan_for("tile"),
    output:
        tiles="results/tiles/{shard}.parquet",
        masks="results/tiles/{shard}.tif",
    log:
        "results/logs/tile/{shard}.log",
    conda:
        "../../envs/imaging.yaml"
    threads: resources_of("tile")["cpus"]
    resources:
        **resources_of("tile"),
    params:
        settings=settled("tile"),
        lineage=lineage_of("tile"),
    message:
        "Tiling the micrographs of {wildcards.shard}"
    script:
        "../scripts/tile.py"
