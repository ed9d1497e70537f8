"""
What was made from what, by what, where and when: so that anyone can check it, see `make verify`.

INPUTS:
    results/report.html, the last of all products; what the others are, the study says
    results/plan.yaml, whose text is yours to edit

OUTPUTS:
    results/manifest.tsv: every product with its digest, the same bytes wherever the study ran
    results/ro-crate-metadata.json: Workflow Run RO-Crate, a graph of all jobs, with times and hosts
    results/SHA256SUMS: digests of these two
    results/study/: config, sheet, digests of the raw files, lock file and code, as they were

`update` keeps the manifest of the last run, against which the audit holds what has not run since.
"""


rule audit:
    input:
        report="results/report.html",
        plan=plan_itself(),
    output:
        manifest=update("results/manifest.tsv"),
        crate=update("results/ro-crate-metadata.json"),
        sums=update("results/SHA256SUMS"),
        raw=update("results/study/raw.tsv"),
    log:
        "results/logs/audit/audit.log",
    conda:
        "../../envs/audit.yaml"
    threads: resources_of("audit")["cpus"]
    resources:
        **resources_of("audit"),
    params:
        # A function of `input` triggers nothing: the lineage does.
        config=lambda wildcards, input: config,
        snakemake=lambda wildcards, input: snakemake_version(),
        page=[file_digest(path) for path in page_parts],
        lineage=lineage_of("audit"),
    message:
        "Writing the manifest and the crate"
    script:
        "../scripts/audit.py"
