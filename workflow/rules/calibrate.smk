"""
Time and memory of training, from a few steps of it where it will run.

INPUTS:
    results/plan.yaml, where the config leaves something open; tiles are drawn at random

OUTPUTS:
    results/calibration.yaml

Only a training that is due asks for it, and only if the config leaves its `runtime` or `mem_mb`
open. It depends on what a step costs, so growing data do not measure again.
"""


rule calibrate:
    input:
        plan_for("calibrate"),
    output:
        "results/calibration.yaml",
    log:
        "results/logs/calibrate/calibrate.log",
    conda:
        "../../envs/torch.yaml"
    threads: resources_of("calibrate")["cpus"]
    resources:
        **resources_of("calibrate"),
    params:
        settings=settled("calibrate"),
        identity=study.identity("calibrate"),
        where=[resources_of("train")[name] for name in ("device", "gpu", "cpus", "devices")],
        code=lambda wildcards: code_version("calibrate.py"),
    message:
        "Timing a few steps of training"
    script:
        "../scripts/calibrate.py"
