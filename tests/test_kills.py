"""Snakemake and all its jobs killed ten times in a run: what comes out is that of a run left alone.

The kills are those of a machine that fails, so nothing can tidy up. Most come after a number of
jobs and a fraction of a second drawn from a seed, the others as soon as a training has kept a step.
"""

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

from tiny_study import CONFIG, TinyStudy, wait_for

KILLS, IN_TRAINING, JOBS = 10, 3, 42
TIMED = ("calibration.yaml", "ro-crate-metadata.json", "SHA256SUMS", ".snakemake_timestamp")
"""Products that hold times and hosts."""


def start(study: TinyStudy) -> subprocess.Popen:
    """Begin a run in the background, with all its jobs in a group of their own."""
    with (study.folder / "output.txt").open("a") as output:
        return subprocess.Popen(
            study.command(), stdout=output, stderr=output, start_new_session=True
        )


def finished_jobs(study: TinyStudy) -> int:
    """How many jobs have come to their end, in all runs together."""
    return (study.folder / "output.txt").read_text(encoding="utf-8").count("Finished jobid")


def checkpoints(study: TinyStudy) -> dict[Path, bytes]:
    """What the trainings that have not come to their end have kept."""
    found = {}
    for path in study.folder.glob("results/checkpoints/*/fold-*.pt"):
        try:
            found[path] = path.read_bytes()
        except FileNotFoundError:  # this one has come to its end now
            continue
    return found


def kill(study: TinyStudy, after_jobs: int, delay_s: float, in_training: bool) -> list[str]:
    """Kill a run at its moment, or in a training if that comes first; tell what was in training."""
    before = checkpoints(study)
    runner = start(study)

    def trains() -> bool:
        return in_training and bool(checkpoints(study).items() - before.items())

    def is_due() -> bool:
        assert runner.poll() is None, "came to its end before it was killed"
        return trains() or finished_jobs(study) >= after_jobs

    wait_for(is_due, 600)
    until = time.monotonic() + delay_s
    while time.monotonic() < until and not trains():
        time.sleep(0.005)
    os.killpg(runner.pid, signal.SIGKILL)
    assert runner.wait() == -signal.SIGKILL
    return sorted(path.stem for path, _ in checkpoints(study).items() - before.items())


def products(study: TinyStudy) -> dict[str, bytes]:
    """Content of every product that must not differ between two runs."""
    results = study.folder / "results"
    return {
        path.relative_to(results).as_posix(): path.read_bytes()
        for path in results.rglob("*")
        if path.is_file() and "logs" not in path.parts and path.name not in TIMED
    }


def described(study: TinyStudy) -> set[str]:
    """The ids of all that the crate describes."""
    text = (study.folder / "results/ro-crate-metadata.json").read_text(encoding="utf-8")
    return {entity["@id"] for entity in json.loads(text)["@graph"]}


def test_ten_kills_leave_the_bytes_of_a_run_left_alone(finished, fresh):
    fresh.configure(resources={"train": {"cpus": 1, "checkpoint_minutes": 1e-6}})
    draw, trained = random.Random(10), []
    for after_jobs in sorted(draw.sample(range(1, JOBS - 4), KILLS)):
        wanted = len(trained) < IN_TRAINING
        trained += kill(fresh, after_jobs, draw.uniform(0, 1), wanted)[:1]
        fresh.run("--unlock")
    assert len(trained) >= 2
    fresh.configure(resources=CONFIG["resources"])
    fresh.run()
    for fold in set(trained):
        log = (fresh.folder / f"results/logs/train/seed-0.{fold}.log").read_text(encoding="utf-8")
        assert int(re.search(r"from step (\d+)", log).group(1)) > 0
    made, expected = products(fresh), products(finished)
    assert len(expected) > 200
    assert made.keys() == expected.keys()
    assert [path for path in expected if made[path] != expected[path]] == []
    assert described(fresh) == described(finished)
    assert fresh.plan() == []
