"""
Reads the config and the sheet, and knows what every job needs before any job runs. No rules.

DEFINES:
    study               shards, folds and lineages, see workflow/lib/tessera/studies.py
    verbatim            settings that may hold braces
    raw_rows, raw_digests   of a shard: the raw files that the sheet's column names, and how to read them
    of_references       of a shard: files of the shards that fix the scale of its grey levels
    of_shards           files of all shards of a kind: annotated, predicted, evaluated, surveyed
    drawn_on            of a shard: what is known of its micrographs, if its masks need it
    of_training_shards  files of all shards that a fold's networks may learn from
    placement_of        where all shards of a kind stand
    gate                of a network: the audit of the folds, unless it is trained already
    calibration_for     of a network: what a step costs, where its training has to know
    training_takes      of a network: steps, time and memory in words, once they are known
    keeping             the networks from before a cohort that are to be kept now, if any
    kept_first          of a network: that it waits until they are
    started_from        of a network: the kept one that it starts from, if any
    of_networks         files of those, or of their scores: of_scores
    kept_networks       of a cohort and shard: those that are tested on it
    unless_done         a file that a test of them reads, whose making starts no test that is done
    prospect_micrographs, assessments   of a test: what is tested on; of all: their counts
    plan_for            of a step: the plan, if the config leaves something open
    plan_itself         the plan, to be read anew whenever its text has changed
    settled             of a step: its settings, what the config leaves open taken from the plan
    settled_by_step     the same of several steps
    own_networks        of a shard: those that may predict it
    lineage_of          of a job: the digest of all that decides its product
    snakemake_version   of what runs, which a rule's own environment does not hold
    resources_of        of a rule: what the config says
    left_over           products on disk that the study, of all cohorts, has no more
"""

import atexit
import gc
import os
import sys
import time
from importlib.metadata import version

# Scripts get it too: Snakemake hands its own sys.path on to them.
sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "lib"))

from snakemake.exceptions import WorkflowError

from tessera import problems, quarantines, refusals
from tessera.asides import paths_below, set_aside
from tessera.calibration import Calibration, expected
from tessera.cohorts import labelled, predecessor, told
from tessera.digests import code_version
from tessera.files import read_table
from tessera.job_records import unrecorded
from tessera.leftovers import FOLDERS, endangered, leftovers
from tessera.pixel_sizes import AUTO
from tessera.planning import memory_mb
from tessera.plans import OPEN, is_open
from tessera.preparation import (
    ALL,
    keep_for_jobs,
    kept_now,
    plan_so_far,
    prepared,
    prepared_for_job,
)
from tessera.threads import WAITING

for variable, value in WAITING.items():
    os.environ.setdefault(variable, value)

# A graph is millions of objects, and all of them stay: looking through them for garbage again and
# again took a fifth of planning 10,000 jobs.
gc.set_threshold(200_000, 20, 100)

started = time.time()

try:
    prepare = prepared if workflow.is_main_process else prepared_for_job
    study = prepare(config)
    if workflow.is_main_process and workflow.workflow_settings.persistence_backend.name == "FILE":
        problems.raise_if(unrecorded(study))
except problems.BadInput as error:
    raise WorkflowError(problems.summary(problems.read_back([str(error)]))) from None

if workflow.is_main_process and study.quarantine.reasons:
    print(quarantines.said(study.quarantine), file=sys.stderr)

keeping = kept_now(study)


wildcard_constraints:
    shard=r"[A-Za-z0-9][A-Za-z0-9._+-]*",
    seed=r"[0-9]+",
    fold=r"[0-9]+|all",
    cohort=r"[0-9]+",


def lineage_of(step):
    return lambda wildcards: study.lineage(step, *wildcards)


def verbatim(settings):
    # Snakemake takes braces in a param for wildcards, but not in what a function returns.
    return {key: lambda wildcards, value=value: value for key, value in settings.items()}


# A function of `input` makes a param that triggers nothing, here and below: the lineage does, in which
# all of these are but the folder that a file lies in.
def raw_rows(kind, *more):
    return lambda wildcards, input: study.raw_rows(wildcards.shard, kind, *more)


def raw_digests(kind):
    return lambda wildcards, input: study.raw_digests(wildcards.shard, kind)


def drawn_on(wildcards):
    if not study.needs_micrographs(wildcards.shard):
        return []
    return f"results/micrographs/{wildcards.shard}.tsv"


# Lists of what many shards have are functions: a cluster job makes none that are not its own.
def of_shards(kind, pattern):
    return lambda wildcards: expand(pattern, shard=getattr(study, kind))


def of_references(pattern):
    return lambda wildcards: expand(pattern, shard=study.scaled_by(wildcards.shard))


def placement_of(kind):
    return lambda wildcards: study.placement(getattr(study, kind))


def of_training_shards(pattern):
    return lambda wildcards: expand(pattern, shard=study.training_shards(wildcards.fold))


def is_trained(wildcards):
    stem = f"results/networks/seed-{wildcards.seed}/fold-{wildcards.fold}"
    return is_made(f"{stem}.pt", f"{stem}.lineage", study.lineage("train", *wildcards))


def is_made(product, lineage, wanted):
    if not (Path(product).exists() and Path(lineage).is_file()):
        return False
    return Path(lineage).read_text(encoding="utf-8") == wanted


def gate(wildcards):
    # Not ancient(): Snakemake looks at no params of a job downstream of one that will run, and then
    # lets an ancient input start nothing, so that a network could stay stale. A trained network
    # needs no gate; any other runs when the audit does.
    return [] if is_trained(wildcards) else "results/folds.tsv"


def kept_first(wildcards):
    # Snakemake deletes what a job will make as it starts: until then the old network must be kept.
    if keeping is None or is_trained(wildcards):
        return []
    return f"results/prospective/cohort-{keeping.cohort}/networks.tsv"


def of_networks(pattern):
    seeds, folds = (sorted(set(of)) for of in zip(*keeping.networks, strict=True))
    return expand(pattern, cohort=keeping.cohort, seed=seeds, fold=folds)


def of_scores(*patterns):
    return expand(patterns, cohort=keeping.cohort) if keeping.summarised else []


def kept_network(cohort, seed, fold):
    path = f"results/prospective/cohort-{cohort}/networks/seed-{seed}/fold-{fold}.pt"
    # Once it is kept no job makes it, and its time says nothing.
    return path if keeping is not None and keeping.cohort == cohort else ancient(path)


def started_from(wildcards):
    start = predecessor(study, *wildcards)
    return [] if start is None else kept_network(start[0], *wildcards)


def kept_networks(wildcards):
    prospect = study.prospects[tuple(wildcards)]
    return [kept_network(prospect.kept, *of) for of in prospect.networks]


def unless_done(pattern):
    def path(wildcards):
        # It depends on its own micrographs alone, so what else joins their shard starts nothing.
        # As for ancient(): what is done is of today's lineage, and cannot stay stale.
        folder = f"results/prospective/cohort-{wildcards.cohort}"
        made = f"{folder}/predictions/{wildcards.shard}"
        lineage = f"{folder}/lineages/{wildcards.shard}.prospect"
        read = pattern.format(**wildcards)
        done = is_made(made, lineage, study.lineage("prospect", *wildcards))
        return ancient(read) if done else read

    return path


def prospect_micrographs(wildcards):
    return study.prospects[tuple(wildcards)].rows["micrograph"].tolist()


def assessments(wildcards):
    pattern = "results/prospective/cohort-{cohort}/evaluation/{shard}.parquet"
    return [pattern.format(cohort=cohort, shard=shard) for cohort, shard in study.prospects]


def calibration_for(wildcards):
    # A gate for the same reason: measuring anew must train nothing.
    asked = resources_said("train")
    is_known = AUTO not in (asked["mem_mb"], asked["runtime"])
    return [] if is_known or is_trained(wildcards) else "results/calibration.yaml"


def known_by_now(step):
    settings = study.settings(step, study.plan or plan_so_far())
    if is_open(step, settings):
        raise FileNotFoundError(2, "no plan yet", "results/plan.yaml")
    return settings


def expectation(wildcards):
    text = Path("results/calibration.yaml").read_text(encoding="utf-8")
    folds, train = read_table("results/folds.tsv"), known_by_now("train")
    return expected(Calibration.parse(text), folds, wildcards.fold, train["epochs"], train["batch"])


def training_takes(wildcards, input):
    try:
        return f": {expectation(wildcards)}"
    except FileNotFoundError:  # asked again when the job is due
        return ""


def asked_of_training(name):
    def amount(wildcards, input, attempt):
        try:
            return getattr(expectation(wildcards), name)(attempt)
        except FileNotFoundError as error:
            # What will be there makes Snakemake say <TBD>, and ask again when the job is due.
            # Nothing will be for a network that is trained, and made again by force.
            if error.filename in input:
                raise
            return config["resources"]["default"][name]

    return amount


def asked_of_calibration(wildcards, input, attempt):
    settings = known_by_now("calibrate")
    asked = (settings[key] for key in ("size_px", "channels", "batch"))
    needed = memory_mb(*asked, n_inputs=settings.get("n_inputs", 1))
    return max(config["resources"]["default"]["mem_mb"], attempt * 3 * needed // 2)


def plan_for(step):
    if not study.waits_for_plan(step):
        return []
    # Snakemake 9.27 looks at times whatever the triggers are, so that an edited plan would run all
    # that read it, not what uses the edited value. Once there is a plan, no job makes it, and
    # ancient() is safe (see `gate`).
    return ["results/plan.yaml"] if study.plan is None else [ancient("results/plan.yaml")]


def plan_itself():
    return ["results/plan.yaml"] if study.waits_for_plan("train") else []


def settled(step):
    # A function of `input`, also because it is asked again when the job is due: by then this very run
    # may have made the plan.
    return lambda wildcards, input: study.settings(step, study.plan or plan_so_far())


def settled_by_step(*steps):
    return lambda wildcards, input: {step: settled(step)(wildcards, input) for step in steps}


def own_networks(wildcards):
    return [
        f"results/networks/seed-{seed}/fold-{fold}.pt"
        for seed, fold in study.networks_for(wildcards.shard)
    ]


def snakemake_version():
    return version("snakemake")


def resources_said(step):
    return config["resources"]["default"] | config["resources"].get(step, {})


def resources_of(step):
    asked = resources_said(step)
    if step in ("plan", "calibrate"):  # they look at what training will have
        train = resources_said("train")
        keys = ("gpu",) if step == "plan" else ("gpu", "cpus", "mem_mb", "devices")
        asked |= {key: train[key] for key in keys}
    gpus = asked["gpu"] * (asked.get("devices", 1) if step == "train" else 1)
    asked |= {"gpu": 0 if config["device"] == "cpu" else gpus, "device": config["device"]}
    if step == "calibrate" and asked["mem_mb"] == AUTO:
        asked["mem_mb"] = asked_of_calibration
    if step == "train":
        names = [name for name in ("mem_mb", "runtime") if asked[name] == AUTO]
        asked |= {name: asked_of_training(name) for name in names}
    return asked


def left_over():
    if not Path("results").is_dir():
        return []
    whole = study if config["cohorts"] == ALL else prepared({**config, "cohorts": ALL})
    return list(leftovers(whole, paths_below("results", FOLDERS)))


def say_what_is_left_over(folder):
    os.chdir(folder)  # at the end Snakemake has left it
    try:
        count = len(left_over())
    except problems.BadInput:  # of cohorts that this run leaves out
        return
    if count:
        files = "1 file" if count == 1 else f"{count} files"
        print(
            f"{files} in results/ are of rows, folds or seeds that the study has no more."
            " `snakemake removed` lists them, `snakemake set_aside` moves them to results/removed/.",
            file=sys.stderr,
        )


if workflow.is_main_process:
    # Not in onsuccess: a dry run has none.
    atexit.register(say_what_is_left_over, Path.cwd())


onstart:
    keep_for_jobs(study)
    # Snakemake empties a folder that it makes anew: of what has left the study nothing may be lost.
    if workflow.is_main_process:
        jobs = (
            job
            for job in workflow.dag.needrun_jobs()
            if job.rule.name in ("predict", "prospect")
        )
        lost = list(endangered(left_over(), {job.output.folder for job in jobs}))
        if lost:
            aside = set_aside("results", lost, "removed")
            print(
                f"{len(lost)} predictions of removed micrographs are now in {aside}.",
                file=sys.stderr,
            )


onerror:
    logs = Path("results/logs").glob("*/*.log")
    of_this_run = (path for path in logs if path.stat().st_mtime >= started)
    bad_rows = problems.read_back(path.read_text(encoding="utf-8") for path in of_this_run)
    if bad_rows:
        print(problems.summary(bad_rows), file=sys.stderr)
