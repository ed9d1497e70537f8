"""Scale: what planning costs in a large study, in time, memory and jobs.

The study is made up: rows of a sheet, a few bytes for each raw file, and once the graph has been
planned, a few bytes for each product, with Snakemake's record of every job, as a finished run
leaves them. Then the real Snakefile plans it: the whole of it, nothing of it, one micrograph more;
and one job of it is taken up as on a cluster, where each parses the Snakefile again.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from snakemake.api import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    ResourceSettings,
    SnakemakeApi,
)
from snakemake.settings.types import ExecutionSettings, Quietness

from benchmarks.datasets import read_study
from benchmarks.measuring import ROOT, Comparison, Figures, Job, Options, Target, each, once
from tessera.leftovers import STAMP
from tessera.preparation import keep_for_jobs
from tessera.products import images, jobs
from tessera.studies import Study

CONFIG = {
    "sheet": "micrographs.tsv",
    "classes": {"background": 0, "particle": 255},
    "device": "cpu",
    "normalise": {"pixel_size_nm": "keep"},
    "tile": {"size_px": 32, "stride_px": 24},
    "train": {"channels": [4, 8], "epochs": 2, "batch": 4, "jitter_px": 8}
    | {"loss": {"dice": 1}, "class_weights": "none"},
    "resources": {"train": {"mem_mb": 1000, "runtime": 10}},
}
ANNOTATED = 0.4
"""Of the groups, those with masks."""

SNAKEMAKE = """
import atexit, os, runpy
def tell():
    lines = open("/proc/self/status").read().splitlines()
    print("KiB", next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
    print("CPU", sum(os.times()[:4]))
atexit.register(tell)
runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
"""
"""Snakemake in a process that tells its peak (what `getrusage` says, it inherits from us) and its
time on a processor, which a busy machine changes less. It is run with -P, as the command
`snakemake` is: else it looks for plugins among the raw files."""


@dataclass(frozen=True)
class Size:
    """How many rows, in how many groups."""

    micrographs: int = 100_000
    groups: int = 1000


FULL, TINY = Size(), Size(60, 6)


def comparisons(options: Options) -> list[Comparison]:
    """Rows of the table."""
    size = TINY if options.tiny else FULL
    folder = options.scratch / "scale"
    make_raw(folder, size)

    def planned(times: int) -> list[Figures]:
        return [run(folder, ["--dry-run"]) for _ in range(times)]

    said = f"{size.micrographs:,} micrographs in {size.groups:,} groups"
    rows = _rows(f"{said}: all is planned", planned(options.repeats), Target("ours", "<=", 60))
    once(Job("benchmarks.scale:finishing", {"folder": str(folder)}), options)
    rows += _rows("nothing is to be done", planned(options.repeats), Target("ours", "<=", 30))
    shard = next(iter(sorted(path.stem for path in (folder / "results/normalised").iterdir())))
    alone = [run(folder, _as_on_a_cluster(f"ingest:shard={shard}")) for _ in range(options.repeats)]
    rows += _rows("one job is taken up", alone, Target("ours", "<=", 3))
    with (folder / CONFIG["sheet"]).open("a", encoding="utf-8") as sheet:
        raw = folder / "one-more.tif"
        raw.write_text("one more", encoding="utf-8")
        sheet.write(f"one-more\t{raw.name}\t\t{group_name(size.groups - 1)}\n")
    return rows + _rows("one micrograph joins", planned(1))


def _rows(case: str, trials: Sequence[Figures], seconds: Target | None = None) -> list[Comparison]:
    note = f"{trials[0]['jobs']:,} jobs"
    memory = Target("ours", "<=", 2)
    return [
        Comparison("scale", f"{case}: time", "s", each(trials, "seconds"), (), seconds, note),
        Comparison("scale", f"{case}: of a processor", "s", each(trials, "cpu_seconds")),
        Comparison("scale", f"{case}: peak", "GB", each(trials, "peak_gb"), (), memory),
    ]


def group_name(number: int) -> str:
    """Of the group with a number."""
    return f"g{number:04}"


def make_raw(folder: Path, size: Size) -> None:
    """A sheet, a config, and files that stand in for micrographs and masks."""
    rows = []
    for number in range(size.groups):
        group = group_name(number)
        (folder / group).mkdir(parents=True)
        is_annotated = number < ANNOTATED * size.groups
        for index in range(size.micrographs // size.groups):
            name = f"{group}-{index:03}"
            cells = {"image": f"{group}/{name}.tif"}
            cells["mask"] = f"{group}/{name}.mask.tif" if is_annotated else ""
            for kind, path in cells.items():
                if path:
                    (folder / path).write_text(f"{kind} {name}", encoding="utf-8")
            rows.append({"micrograph": name, **cells, "group": group})
    pd.DataFrame(rows).to_csv(folder / CONFIG["sheet"], sep="\t", index=False)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")


def run(folder: Path, arguments: Iterable[str]) -> Figures:
    """Seconds by the clock and of a processor, memory and planned jobs of one call of Snakemake."""
    command = [sys.executable, "-P", "-c", SNAKEMAKE, "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", "config.yaml", "--cores", "1", *arguments]
    if "--rerun-triggers" not in command:
        command += ["--profile", str(ROOT / "profiles" / "default")]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    seconds, text = time.perf_counter() - start, done.stdout + done.stderr
    if done.returncode:
        raise RuntimeError(f"Snakemake ended with {done.returncode}:\n{text[-3000:]}")
    peak = int(re.search(r"^KiB (\d+)$", text, re.MULTILINE)[1])
    cpu = float(re.search(r"^CPU (\S+)$", text, re.MULTILINE)[1])
    total = re.search(r"^total +(\d+)$", text, re.MULTILINE)
    found = int(total[1]) if total else 0
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_gb": peak * 1024 / 1e9, "jobs": found}


def _as_on_a_cluster(job: str) -> list[str]:
    """What an executor tells Snakemake of one job, but not to do it."""
    rule = job.partition(":")[0]
    words = "--force --no-hooks --nolock --ignore-incomplete --mode remote --dry-run"
    words += " --rerun-triggers params software-env --workflow-profile none --profile none"
    return ["--target-jobs", job, "--allowed-rules", rule, *words.split()]


def finishing(folder: str) -> Callable[[], Figures]:
    """A trial that leaves a study as if every job had been run."""
    return lambda: finish(Path(folder))


def finish(folder: Path) -> Figures:
    """Write stand-ins for all products, and let Snakemake record all jobs as done."""
    study = read_study(Path(CONFIG["sheet"]), folder / "config.yaml", folder)
    with contextlib.chdir(folder):
        for path, text in _products(study):
            Path("results", path).parent.mkdir(parents=True, exist_ok=True)
            Path("results", path).write_text(text, encoding="utf-8")
        keep_for_jobs(study)
    with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[folder / "config.yaml"]),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            workflow.dag(DAGSettings(rerun_triggers=frozenset())).summary()
        return {"jobs": workflow._workflow.async_run(_record(workflow._workflow))}


def _products(study: Study) -> Iterable[tuple[str, str]]:
    """Path and content of every product."""
    for job in jobs(study):
        for path in job.writes:
            if path.endswith("/"):
                yield from ((f"{path}{name}", "x") for name in (STAMP, *images(study, job)))
            elif path.endswith((".lineage", ".predict", ".summarise")):
                yield path, study.lineage(job.rule, *job.names.values())
            elif path == "folds.tsv":
                yield path, study.folds.reset_index()[["group", "fold"]].to_csv(sep="\t")
            else:
                yield path, "x"
    for path in ("manifest.tsv", "ro-crate-metadata.json", "SHA256SUMS", "study/raw.tsv"):
        yield path, "x"


async def _record(workflow: Any) -> int:
    """Write what Snakemake keeps of every finished job; how many there are."""
    workflow.execution_settings = ExecutionSettings(keep_metadata=True)
    made = [job for job in workflow.dag.jobs if job.output]
    for job in made:
        await workflow.persistence.finished(job)
    return len(made)
