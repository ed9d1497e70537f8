"""
Stands in for the microscope: simulated micrographs, exact masks and their sheet.

A Snakefile of its own, run before the workflow, which then finds a study like any other:

    snakemake -c2 --snakefile workflow/rules/simulate.smk \
        --configfile config/studies/demo.yaml --directory demo

INPUTS:
    config["simulate"]: kind, seed, shape, pixel_size_nm, specimens; stack (frames, shape)

OUTPUTS, below --directory:
    simulated/micrographs.tsv, simulated/images/, simulated/masks/
    simulated/stack.tsv, simulated/images.npy, simulated/labels.npy: only when asked for by name

The same settings give the same bytes. A micrograph depends on the seed, its own name and its
specimen's settings alone.
"""

import sys
from pathlib import Path

# Snakemake hands its own sys.path on to the scripts.
sys.path.insert(0, str(Path(workflow.basedir).parent / "lib"))

study = {key: value for key, value in config["simulate"].items() if key != "stack"}
stack = config["simulate"].get("stack")


rule all:
    input:
        "simulated/micrographs.tsv",


rule simulate:
    output:
        sheet="simulated/micrographs.tsv",
        images=directory("simulated/images"),
        masks=directory("simulated/masks"),
    log:
        "results/logs/simulate.log",
    params:
        **study,
    message:
        "Simulating micrographs"
    script:
        "../scripts/simulate.py"


if stack:

    rule simulate_stack:
        output:
            sheet="simulated/stack.tsv",
            images="simulated/images.npy",
            labels="simulated/labels.npy",
        log:
            "results/logs/simulate_stack.log",
        params:
            **{**study, **stack},
        message:
            "Simulating a stack of micrographs"
        script:
            "../scripts/simulate.py"
