"""
What the config leaves open, settled from the first cohort: once, and then no more.

INPUTS:
    results/micrographs/{shard}.tif, .tsv, results/masks/{shard}.tif, .tsv of the annotated shards
    of the first cohort, those for testing only left out

OUTPUTS:
    results/plan.yaml: the planned values, each with its reason

While there is a plan, no rule makes it: neither new data nor new code nor --forceall does. `replan`
is asked for by name, `snakemake replan`. It keeps the plan before as results/plan.1.yaml, .2 ...,
and what comes out the same runs nothing again.
"""


rule replan:
    input:
        pages=of_shards("surveyed", "results/micrographs/{shard}.tif"),
        tables=of_shards("surveyed", "results/micrographs/{shard}.tsv"),
        masks=of_shards("surveyed", "results/masks/{shard}.tif"),
        counts=of_shards("surveyed", "results/masks/{shard}.tsv"),
    log:
        "results/logs/replan/replan.log",
    conda:
        "../../envs/torch.yaml"
    threads: resources_of("plan")["cpus"]
    resources:
        **resources_of("plan"),
    params:
        stated=lambda wildcards: {step: study.stated(step) for step in OPEN},
        lineages=lambda wildcards: {step: study.identity(step) for step in OPEN},
        n_folds=lambda wildcards: len(set(study.folds["fold"])),
        train_resources={key: resources_said("train")[key] for key in ("mem_mb", "cpus")},
        code=lambda wildcards: code_version("plan.py"),
        plan=lambda wildcards: "results/plan.yaml",  # no output: Snakemake would delete it first
        micrographs=lambda wildcards: study.surveyed,
    message:
        "Planning anew from the first cohort"
    script:
        "../scripts/plan.py"


if study.plan is None:

    use rule replan as plan with:
        output:
            "results/plan.yaml",
        log:
            "results/logs/plan/plan.log",
        message:
            "Planning from the first cohort"
