"""A training that is killed and run again ends in the same bits as one left alone."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tiny_study import TinyStudy, wait_for

NETWORK = "results/networks/seed-0/fold-0.pt"
CHECKPOINT = "results/checkpoints/seed-0/fold-0.pt"


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory) -> TinyStudy:
    """A study whose first network trained for a few seconds, undisturbed."""
    study = finished.copy(tmp_path_factory.mktemp("trained") / "study")
    study.configure(
        train={"epochs": 60},
        resources={"train": {"cpus": 1, "checkpoint_minutes": 0.002}},
    )
    study.run("--", NETWORK)
    return study


def start_again(study: TinyStudy) -> subprocess.Popen:
    """Begin the same training anew, in the background."""
    shutil.rmtree(study.folder / "results/networks")
    with (study.folder / "output.txt").open("a") as output:
        return subprocess.Popen(
            study.command("--", NETWORK), stdout=output, stderr=output, start_new_session=True
        )


def training_process(study: TinyStudy) -> int | None:
    """The process that runs the script of `train` for this study."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            if b".train.py" in command and (entry / "cwd").readlink() == study.folder:
                return int(entry.name)
        except OSError:
            continue
    return None


def steps_taken_up(study: TinyStudy) -> int:
    """The step that the last run began at, from its log."""
    log = (study.folder / "results/logs/train/seed-0.fold-0.log").read_text(encoding="utf-8")
    return int(re.search(r"from step (\d+)", log).group(1))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the process in /proc")
def test_killed_training_resumes_to_the_same_bits(trained, tmp_path):
    """It alone: Snakemake lives on, and deletes what a failed job has declared."""
    study = trained.copy(tmp_path / "study")
    runner = start_again(study)
    process = wait_for(lambda: training_process(study))
    wait_for((study.folder / CHECKPOINT).is_file)
    time.sleep(0.5)
    os.kill(process, signal.SIGKILL)
    assert runner.wait() != 0
    assert not (study.folder / NETWORK).exists()
    assert (study.folder / CHECKPOINT).is_file()
    study.run("--", NETWORK)
    assert steps_taken_up(study) > 0
    assert (study.folder / NETWORK).read_bytes() == (trained.folder / NETWORK).read_bytes()
    assert not (study.folder / CHECKPOINT).exists()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the process in /proc")
def test_terminated_training_keeps_its_last_step(trained, tmp_path):
    study = trained.copy(tmp_path / "study")
    study.configure(resources={"train": {"cpus": 1, "checkpoint_minutes": 60}})
    runner = start_again(study)
    log = study.folder / "results/logs/train/seed-0.fold-0.log"
    process = wait_for(lambda: training_process(study))
    wait_for(lambda: log.is_file() and "from step 0" in log.read_text(encoding="utf-8"))
    time.sleep(1)
    os.kill(process, signal.SIGTERM)
    assert runner.wait() != 0
    assert "the next run goes on from there" in log.read_text(encoding="utf-8")
    study.run("--", NETWORK)
    assert steps_taken_up(study) > 0
    assert (study.folder / NETWORK).read_bytes() == (trained.folder / NETWORK).read_bytes()


def test_checkpoint_of_another_training_is_ignored(trained, tmp_path):
    study = trained.copy(tmp_path / "study")
    (study.folder / CHECKPOINT).parent.mkdir(parents=True, exist_ok=True)
    (study.folder / CHECKPOINT).write_bytes(b"not a checkpoint at all")
    shutil.rmtree(study.folder / "results/networks")
    study.run("--", NETWORK)
    assert steps_taken_up(study) == 0
    assert (study.folder / NETWORK).read_bytes() == (trained.folder / NETWORK).read_bytes()
