"""
One network a fold and seed, from the shards of the other folds: no held-out file is an input.

INPUTS:
    results/normalised/{shard}.tif, results/tiles/{shard}.parquet, .tif of the fold's training shards; results/folds.tsv as the gate of what is not trained yet
    results/plan.yaml, where the config leaves something open; results/calibration.yaml, where it
    leaves time or memory open
    results/prospective/cohort-{cohort}/networks.tsv, where the networks from before a cohort have to be
    kept first; with a warm start, the one of this seed and fold

OUTPUTS:
    results/networks/seed-{seed}/fold-{fold}.pt, .history.tsv, .lineage: the digest of all that
    decides it, by which a later run knows that it is trained
    results/checkpoints/seed-{seed}/fold-{fold}.pt while it trains; not declared, because Snakemake
    would delete it with the outputs of a job that failed
"""


rule train:
    input:
        normalised=of_training_shards("results/normalised/{shard}.tif"),
        masks=of_training_shards("results/tiles/{shard}.tif"),
        tiles=of_training_shards("results/tiles/{shard}.parquet"),
        folds=gate,
        plan=plan_for("train"),
        calibration=calibration_for,
        kept=kept_first,
        predecessor=started_from,
    output:
        network="results/networks/seed-{seed}/fold-{fold}.pt",
        history="results/networks/seed-{seed}/fold-{fold}.history.tsv",
        lineage="results/networks/seed-{seed}/fold-{fold}.lineage",
    log:
        "results/logs/train/seed-{seed}.fold-{fold}.log",
    conda:
        "../../envs/torch.yaml"
    threads: resources_of("train")["cpus"]
    resources:
        **resources_of("train"),
    params:
        settings=settled_by_step("tile", "train"),
        takes=training_takes,
        lineage=lineage_of("train"),
    message:
        "Training the network of fold {wildcards.fold}, seed {wildcards.seed}{params.takes}"
    script:
        "../scripts/train.py"
