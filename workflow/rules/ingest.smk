"""
Raw files of a shard into one TIFF, a page a micrograph, with what is known of each in a table.

INPUTS:
    the shard's raw files; ancient, because their content decides (param `sha256`), not their time

OUTPUTS:
    results/micrographs/{shard}.tif, results/micrographs/{shard}.tsv
"""


def raw_micrographs(wildcards):
    return sorted(set(study.rows_of(wildcards.shard)["image"]))


rule ingest:
    message:
        "Reading the micrographs of {wildcards.shard}"
    input:
        ancient(raw_micrographs),
    output:
        pages="results/micrographs/{shard}.tif",
        table="results/micrographs/{shard}.tsv",
    params:
        rows=lambda wildcards: study.raw_rows(wildcards.shard, "image", "pixel_size_nm"),
        sha256=lambda wildcards: study.raw_digests(wildcards.shard, "image"),
        code=code_version("ingest.py"),
    log:
        "results/logs/ingest/{shard}.log",
    threads: resources_of("ingest")["cpus"]
    resources:
        **resources_of("ingest"),
    conda:
        "../../envs/imaging.yaml"
    script:
        "../scripts/ingest.py"
