"""
What the study has no more, because its rows, folds or seeds have gone: listed, or moved away.

INPUTS:
    none; the files below results/ of a form that the workflow makes

OUTPUTS:
    none; set_aside moves them to results/removed/1/, or 2 ..., where they keep their tree

Both are asked for by name, `snakemake removed` and `snakemake set_aside`. Nothing is ever deleted.
"""


rule set_aside:
    log:
        "results/logs/set_aside/set_aside.log",
    conda:
        "../../envs/imaging.yaml"
    threads: resources_of("set_aside")["cpus"]
    resources:
        **resources_of("set_aside"),
    params:
        files=lambda wildcards: left_over(),
        within="removed",
    message:
        "Moving what the study has no more to results/removed/"
    script:
        "../scripts/set_aside.py"


use rule set_aside as removed with:
    log:
        "results/logs/removed/removed.log",
    params:
        within=None,
    message:
        "Listing what the study has no more"
