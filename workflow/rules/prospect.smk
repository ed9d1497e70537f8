"""
The networks from before a cohort, kept as they were, and tested on the cohort when it has joined.

INPUTS:
    results/networks/ as the run finds it: no inputs but params, because `train` will make it anew
    results/normalised/{shard}.tif, results/micrographs/{shard}.tsv, results/masks/{shard}.tif, .tsv

OUTPUTS, below results/prospective/cohort-{cohort}/, the same tree as in results/:
    networks/seed-{seed}/fold-{fold}.pt, .history.tsv, .lineage; networks.tsv, written last; folds.tsv:
    what each had seen; metrics.tsv and lineages/study.summarise, where the scores on disk are theirs
    predictions/{shard}/, lineages/{shard}.prospect: by the newest networks that know nothing of the
    cohort; of a group that was in the study before it, by those that held it out
    evaluation/{shard}.parquet

Once networks are kept no rule makes them: neither --forceall nor a failed job can lose them. `train`
waits for them to be kept, for nothing else.
"""

if keeping is not None:

    rule keep:
        output:
            networks=of_networks(
                "results/prospective/cohort-{cohort}/networks/seed-{seed}/fold-{fold}.pt"
            ),
            histories=of_networks(
                "results/prospective/cohort-{cohort}/networks/seed-{seed}/fold-{fold}.history.tsv"
            ),
            lineages=of_networks(
                "results/prospective/cohort-{cohort}/networks/seed-{seed}/fold-{fold}.lineage"
            ),
            scores=of_scores(
                "results/prospective/cohort-{cohort}/metrics.tsv",
                "results/prospective/cohort-{cohort}/lineages/study.summarise",
            ),
            folds=f"results/prospective/cohort-{keeping.cohort}/folds.tsv",
            table=f"results/prospective/cohort-{keeping.cohort}/networks.tsv",
        log:
            f"results/logs/keep/cohort-{keeping.cohort}.log",
        conda:
            "../../envs/imaging.yaml"
        threads: resources_of("keep")["cpus"]
        resources:
            **resources_of("keep"),
        params:
            networks=[[*of, lineage, keeping.outlook] for of, lineage in keeping.networks.items()],
            groups=[[group, *placed] for group, placed in keeping.groups.items()],
        message:
            f"Keeping the networks from before cohort {keeping.cohort}"
        script:
            "../scripts/keep.py"


use rule predict as prospect with:
    input:
        normalised=unless_done("results/normalised/{shard}.tif"),
        table=unless_done("results/micrographs/{shard}.tsv"),
        networks=kept_networks,
    output:
        folder=directory("results/prospective/cohort-{cohort}/predictions/{shard}"),
        lineage="results/prospective/cohort-{cohort}/lineages/{shard}.prospect",
    log:
        "results/logs/prospect/cohort-{cohort}.{shard}.log",
    params:
        seeds=lambda wildcards: [seed for seed, _ in study.prospects[tuple(wildcards)].networks],
        lineage=lineage_of("prospect"),
        micrographs=prospect_micrographs,
    message:
        "Predicting {wildcards.shard} of cohort {wildcards.cohort} by networks from before it"


use rule evaluate as assess with:
    input:
        predictions=ancient("results/prospective/cohort-{cohort}/predictions/{shard}"),
        lineage="results/prospective/cohort-{cohort}/lineages/{shard}.prospect",
        masks="results/masks/{shard}.tif",
        table="results/masks/{shard}.tsv",
        normalised="results/normalised/{shard}.tif",
    output:
        "results/prospective/cohort-{cohort}/evaluation/{shard}.parquet",
    log:
        "results/logs/assess/cohort-{cohort}.{shard}.log",
    params:
        lineage=lineage_of("assess"),
        micrographs=prospect_micrographs,
    message:
        "Scoring {wildcards.shard} of cohort {wildcards.cohort}, as networks from before it saw it"
