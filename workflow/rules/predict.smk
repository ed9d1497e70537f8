"""
Masks, probabilities and entropy of a shard, stitched without seams.

INPUTS:
    results/normalised/{shard}.tif, results/micrographs/{shard}.tsv
    results/networks/seed-{seed}/fold-{fold}.pt: of a cross-validated shard those of its own fold
    only, which have never seen it; of an unlabelled or test shard all

OUTPUTS:
    results/predictions/{shard}/{micrograph}.mask.tif, .probability.tif, .entropy.tif
"""


def networks_of(wildcards):
    return [
        f"results/networks/seed-{seed}/fold-{fold}.pt"
        for seed, fold in study.networks_for(wildcards.shard)
    ]


rule predict:
    message:
        "Predicting the micrographs of {wildcards.shard}"
    input:
        normalised="results/normalised/{shard}.tif",
        table="results/micrographs/{shard}.tsv",
        networks=networks_of,
    output:
        directory("results/predictions/{shard}"),
    params:
        **study.settings("predict"),
        seeds=lambda wildcards: [seed for seed, _ in study.networks_for(wildcards.shard)],
        code=code_version("predict.py"),
        upstream=upstream_of("predict"),
    log:
        "results/logs/predict/{shard}.log",
    threads: resources_of("predict")["cpus"]
    resources:
        **resources_of("predict"),
    conda:
        "../../envs/torch.yaml"
    script:
        "../scripts/predict.py"
