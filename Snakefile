# Tessera: raw electron micrographs in, audited segmentations out. One file a step, in order.
from pathlib import Path


configfile: Path(workflow.basedir) / "config" / "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/annotate.smk"
include: "workflow/rules/quarantine.smk"
include: "workflow/rules/normalise.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/tile.smk"
include: "workflow/rules/split.smk"
include: "workflow/rules/calibrate.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/prospect.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/set_aside.smk"


report: "workflow/report/workflow.rst"


rule all:
    default_target: True
    input:
        plan_for("train"),
        "results/report.html",
        "results/folds.tsv",
        "results/metrics.tsv",
        of_shards("predicted", "results/predictions/{shard}"),
        "results/manifest.tsv",
