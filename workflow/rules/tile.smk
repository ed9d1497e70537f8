"""
Where training examples are cut, what each holds and whether it is used.

INPUTS:
    results/normalised/{shard}.tif, results/masks/{shard}.tif, .tsv
    results/plan.yaml, where the config leaves something open

OUTPUTS:
    results/tiles/{shard}.parquet: one row a tile
"""


rule tile:
    input:
        normalised="results/normalised/{shard}.tif",
        masks="results/masks/{shard}.tif",
        table="results/masks/{shard}.tsv",
        plan=plan_for("tile"),
    output:
        "results/tiles/{shard}.parquet",
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
