"""
Where training examples are cut, what each holds and whether it is used.

INPUTS:
    results/normalised/{shard}.tif, results/masks/{shard}.tif, .tsv

OUTPUTS:
    results/tiles/{shard}.parquet: one row a tile
"""


rule tile:
    input:
        normalised="results/normalised/{shard}.tif",
        masks="results/masks/{shard}.tif",
        table="results/masks/{shard}.tsv",
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
        **study.settings("tile"),
        code=code_version("tile.py"),
        upstream=upstream_of("tile"),
    message:
        "Tiling the micrographs of {wildcards.shard}"
    script:
        "../scripts/tile.py"
