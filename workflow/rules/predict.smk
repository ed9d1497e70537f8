"""
Masks, probabilities and entropy of a shard, stitched without seams.

INPUTS:
    results/normalised/{shard}.tif, results/micrographs/{shard}.tsv
    results/networks/seed-{seed}/fold-{fold}.pt: of a cross-validated shard those of its own fold
    only, which have never seen it; of an unlabelled or test shard all

OUTPUTS:
    results/predictions/{shard}/{micrograph}.mask.tif, .probability.tif, .entropy.tif
    results/lineages/{shard}.predict: by which others know whether the folder has changed, whose time
    says nothing

RESOURCES:
    mem_mb decides how large a part is predicted at once, and no result
"""


rule predict:
    input:
        normalised="results/normalised/{shard}.tif",
        table="results/micrographs/{shard}.tsv",
        networks=own_networks,
    output:
        folder=directory("results/predictions/{shard}"),
        lineage="results/lineages/{shard}.predict",
    log:
        "results/logs/predict/{shard}.log",
    conda:
        "../../envs/torch.yaml"
    threads: resources_of("predict")["cpus"]
    resources:
        **resources_of("predict"),
    params:
        **study.settings("predict"),
        seeds=lambda wildcards: [seed for seed, _ in study.networks_for(wildcards.shard)],
        lineage=lineage_of("predict"),
        micrographs=None,
    message:
        "Predicting the micrographs of {wildcards.shard}"
    script:
        "../scripts/predict.py"
