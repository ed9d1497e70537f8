"""
Annotations of a shard into class codes, one page a micrograph.

INPUTS:
    the shard's raw masks; ancient, because their content decides (param `sha256`), not their time

OUTPUTS:
    results/masks/{shard}.tif, results/masks/{shard}.tsv: annotated shards only
"""


def raw_masks(wildcards):
    return sorted(set(study.rows_of(wildcards.shard)["mask"]))


rule annotate:
    message:
        "Reading the masks of {wildcards.shard}"
    input:
        ancient(raw_masks),
    output:
        pages="results/masks/{shard}.tif",
        table="results/masks/{shard}.tsv",
    params:
        **study.settings("annotate"),
        rows=lambda wildcards: study.raw_rows(wildcards.shard, "mask"),
        sha256=lambda wildcards: study.raw_digests(wildcards.shard, "mask"),
        code=code_version("annotate.py"),
    log:
        "results/logs/annotate/{shard}.log",
    threads: resources_of("annotate")["cpus"]
    resources:
        **resources_of("annotate"),
    conda:
        "../../envs/imaging.yaml"
    script:
        "../scripts/annotate.py"
