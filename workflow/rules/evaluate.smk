"""
Predictions against masks: counts of pixels by shard, then the scores of the study.

INPUTS:
    results/predictions/{shard}/, results/masks/{shard}.tif, .tsv, results/normalised/{shard}.tif

OUTPUTS:
    results/evaluation/{shard}.parquet: counts of every micrograph, class and method
    results/metrics.tsv: IoU, Dice, precision, recall by micrograph, by group, pooled, and as means;
    where several cohorts are labelled, also by cohort, and of the networks kept before each
    results/lineages/study.summarise: by which a later run knows of what study these scores are
"""


rule evaluate:
    input:
        # Snakemake looks at the time of a folder whatever the triggers are: its lineage triggers.
        predictions=ancient("results/predictions/{shard}"),
        lineage="results/lineages/{shard}.predict",
        masks="results/masks/{shard}.tif",
        table="results/masks/{shard}.tsv",
        normalised="results/normalised/{shard}.tif",
    output:
        "results/evaluation/{shard}.parquet",
    log:
        "results/logs/evaluate/{shard}.log",
    conda:
        "../../envs/imaging.yaml"
    threads: resources_of("evaluate")["cpus"]
    resources:
        **resources_of("evaluate"),
    params:
        **study.settings("evaluate"),
        micrographs=None,
        lineage=lineage_of("evaluate"),
    message:
        "Scoring the predictions of {wildcards.shard}"
    script:
        "../scripts/evaluate.py"


rule summarise:
    input:
        evaluations=of_shards("evaluated", "results/evaluation/{shard}.parquet"),
        assessments=assessments,
    output:
        metrics=report("results/metrics.tsv", caption="../report/metrics.rst", category="Results"),
        lineage="results/lineages/study.summarise",
    log:
        "results/logs/summarise/summarise.log",
    conda:
        "../../envs/imaging.yaml"
    threads: resources_of("summarise")["cpus"]
    resources:
        **resources_of("summarise"),
    params:
        **study.settings("summarise"),
        shards=placement_of("evaluated"),
        prospects=lambda wildcards: [
            {"cohort": cohort, "group": study.shards.loc[shard, "group"]}
            for cohort, shard in study.prospects
        ],
        cohorts=lambda wildcards: labelled(study.rows),
        lineage=lineage_of("summarise"),
    message:
        "Summing up the scores of the study"
    script:
        "../scripts/summarise.py"
