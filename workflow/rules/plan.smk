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
        pages=expand("results/micrographs/{shard}.tif", shard=study.surveyed),
        tables=expand("results/micrographs/{shard}.tsv", shard=study.surveyed),
        masks=expand("results/masks/{shard}.tif", shard=study.surveyed),
        counts=expand("results/masks/{shard}.tsv", shard=study.surveyed),
    log:
        "results/logs/replan/replan.log",
    conda:
        "../../envs/torch.yaml"
    threads: resources_of("plan")["cpus"]
    resources:
        **resources_of("plan"),
    params:
        **plan_settings(),
        plan=lambda wildcards: "results/plan.yaml",  # no output: Snakemake would delete it first
        micrographs=study.surveyed,
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
