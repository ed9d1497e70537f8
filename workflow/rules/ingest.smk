"""
Raw files of a shard into one TIFF, a page a micrograph and channel, with what is known of each in a table, and
the landmarks by which `split` finds areas that were recorded twice; and all else that the files say.

INPUTS:
    none that Snakemake knows; the shard's raw files, which param `rows` names and `sha256` digests. They
    are found, hashed and held against the lineage as the run is planned, and against `sha256` as they
    are read. Declared one by one they cost a third of planning a large study, and Snakemake hashes what is
    declared once more for every output, in the one process that schedules all jobs

OUTPUTS:
    results/micrographs/{shard}.tif, results/micrographs/{shard}.tsv,
    results/micrographs/{shard}.landmarks.parquet, results/micrographs/{shard}.metadata.json
"""

from tessera.steps import IMAGE_CELLS


rule ingest:
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
        rows=raw_rows("image", *IMAGE_CELLS),
        sha256=raw_digests("image"),
        settings=study.settings("ingest"),
        lineage=lineage_of("ingest"),
    message:
        "Reading the micrographs of {wildcards.shard}"
    script:
        "../scripts/ingest.py"
