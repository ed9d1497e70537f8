"""
Raw files of a shard into one TIFF, a page a micrograph and channel, with what is known of each in a table, and
the landmarks by which `split` finds areas that were recorded twice; and all else that the files say.

INPUTS:
    the shard's raw files; ancient, because their content decides (param `sha256`), not their time

OUTPUTS:
    results/micrographs/{shard}.tif, results/micrographs/{shard}.tsv,
    results/micrographs/{shard}.landmarks.parquet, results/micrographs/{shard}.metadata.json
"""

from tessera.steps import IMAGE_CELLS


rule ingest:
    input:
        ancient(raw_files("image")),
    output:
        pages="results/micrographs/{shard}.tif",
        table="results/micrographs/{shard}.tsv",
        landmarks="results/micrographs/{shard}.landmarks.parquet",
        metadata="results/micrographs/{shard}.metadata.json",
    log:
        "results/logs/ingest/{shard}.log",
    conda:
        "../../envs/imaging.yaml"
    threads: resources_of("ingest")["cpus"]
    resources:
        **resources_of("ingest"),
    params:
        rows=lambda wildcards: study.raw_rows(wildcards.shard, "image", *IMAGE_CELLS),
        sha256=lambda wildcards: study.raw_digests(wildcards.shard, "image"),
        settings=study.settings("ingest"),
        lineage=lineage_of("ingest"),
    message:
        "Reading the micrographs of {wildcards.shard}"
    script:
        "../scripts/ingest.py"
