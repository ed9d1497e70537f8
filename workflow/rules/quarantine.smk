"""
The rows that are left out of the study because a file of theirs is refused, with the reason.

INPUTS:
    none that Snakemake knows; the files that are refused, as far as they are there, held against their
    digests: see ingest

OUTPUTS:
    results/quarantine.tsv: one row a file, where the config says `ingest: {on_bad_file: quarantine}`

Which they are is known before any job runs, see workflow/lib/tessera/verdicts.py: every new file has
been read then, as `ingest` and `annotate` read it.
"""

if study.quarantines:

    rule quarantine:
        output:
            report(
                "results/quarantine.tsv",
                caption="../report/quarantine.rst",
                category="Study",
            ),
        log:
            "results/logs/quarantine/quarantine.log",
        conda:
            "../../envs/imaging.yaml"
        threads: resources_of("quarantine")["cpus"]
        resources:
            **resources_of("quarantine"),
        params:
            # A function of `input` triggers nothing: the lineage does.
            rows=lambda wildcards, input: refusals.listed(study),
            lineage=lineage_of("quarantine"),
        message:
            "Listing what is in quarantine"
        script:
            "../scripts/quarantine.py"
