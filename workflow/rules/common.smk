"""
Reads the config and the sheet, and knows what every job needs before any job runs. No rules.

DEFINES:
    study               shards, folds and lineages, see workflow/lib/tessera/studies.py
    raw_files           of a shard: what the sheet's column names
    of_training_shards  files of all shards that a fold's networks may learn from
    gate                of a network: the audit of the folds, unless it is trained already
    own_networks        of a shard: those that may predict it
    upstream_of         of a job: the digest of all that it reads
    resources_of        of a rule: what the config says
"""

import os
import sys
import time

# Scripts get it too: Snakemake hands its own sys.path on to them.
sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "lib"))

from snakemake.exceptions import WorkflowError

from tessera import problems
from tessera.digests import code_version
from tessera.preparation import prepared

# Waiting threads sleep instead of spinning: that costs a few per cent alone, but beside another
# process on two cores a training step took a third of the time or less.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

started = time.time()

try:
    study = prepared(config, Path(workflow.basedir) / "workflow" / "schemas")
except problems.BadInput as error:
    raise WorkflowError(problems.summary(problems.read_back([str(error)]))) from None


wildcard_constraints:
    shard=r"[A-Za-z0-9][A-Za-z0-9._+-]*",
    seed=r"[0-9]+",
    fold=r"[0-9]+|all",


def upstream_of(step):
    return lambda wildcards: study.upstream(step, *wildcards)


def raw_files(column):
    return lambda wildcards: sorted(set(study.rows_of(wildcards.shard)[column]))


def of_training_shards(pattern):
    return lambda wildcards: expand(pattern, shard=study.training_shards(wildcards.fold))


def gate(wildcards):
    # Not ancient(): Snakemake looks at no params of a job downstream of one that will run, and then
    # lets an ancient input start nothing, so that a network could stay stale. A trained network
    # needs no gate; any other runs when the audit does.
    stem = f"results/networks/seed-{wildcards.seed}/fold-{wildcards.fold}"
    lineage, network = Path(f"{stem}.lineage"), Path(f"{stem}.pt")
    if network.is_file() and lineage.is_file():
        if lineage.read_text(encoding="utf-8") == study.lineage("train", *wildcards):
            return []
    return "results/folds.tsv"


def own_networks(wildcards):
    return [
        f"results/networks/seed-{seed}/fold-{fold}.pt"
        for seed, fold in study.networks_for(wildcards.shard)
    ]


def resources_of(step):
    asked = config["resources"]["default"] | config["resources"].get(step, {})
    gpus = 0 if config["device"] == "cpu" else asked["gpu"]
    return asked | {"gpu": gpus, "device": config["device"]}


onerror:
    logs = Path("results/logs").glob("*/*.log")
    of_this_run = (path for path in logs if path.stat().st_mtime >= started)
    bad_rows = problems.read_back(path.read_text(encoding="utf-8") for path in of_this_run)
    if bad_rows:
        print(problems.summary(bad_rows), file=sys.stderr)
