"""
Annotations of a shard into class codes, one page a micrograph.

INPUTS:
    the shard's raw masks, which params name: see ingest
    results/micrographs/{shard}.tsv, where a mask is a JSON of regions, for the size that they are drawn
    in, or where micrographs are cropped

OUTPUTS:
    results/masks/{shard}.tif, results/masks/{shard}.tsv: annotated shards only
"""


rule annotate:
    input:
        micrographs=drawn_on,
    output:
        pages="results/masks/{shard}.tif",
        table="results/masks/{shard}.tsv",
    log:
        "results/logs/annotate/{shard}.log",
    conda:
        "../../envs/imaging.yaml"
    threads: resources_of("annotate")["cpus"]
    resources:
        **resources_of("annotate"),
    params:
        **study.settings("annotate"),
        rows=raw_rows("mask"),
        sha256=raw_digests("mask"),
        lineage=lineage_of("annotate"),
    message:
        "Reading the masks of {wildcards.shard}"
    script:
        "../scripts/annotate.py"
