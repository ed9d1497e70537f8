"""Worker processes: their words, errors and outcome come back, and none outlives its starter."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tessera import workers
from tessera.logs import LOG
from tessera.workers import LIBRARY, run_workers


def worker(task, folder="."):
    """Be told what to do."""
    rank = int(os.environ["RANK"])
    LOG.info("said by %d", rank)
    if task == "fail" and rank == 1:
        raise ValueError("page 7 is gone")
    if task in ("stop", "wait"):
        stopped = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: stopped.set())
        Path(folder, f"{rank}.pid").write_text(str(os.getpid()))
        while not stopped.is_set() and not Path(folder, "stopped").exists():
            time.sleep(0.01)
        Path(folder, "stopped").touch()
    return {"task": task, "threads": os.environ["OMP_NUM_THREADS"], "rank": rank}


def wait_for(what, seconds=120):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s in vain")


def pids(folder):
    return [int(text) for path in folder.glob("*.pid") if (text := path.read_text())]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or ") Z" not in state.read_text()


def test_outcome_and_words_are_those_of_the_first(caplog):
    with caplog.at_level(logging.INFO, "tessera"):
        outcome = run_workers(__file__, {"task": "tell"}, n=2, threads=3)
    assert outcome == {"task": "tell", "threads": "3", "rank": 0}
    assert "said by 0" in caplog.messages
    assert "said by 1" not in caplog.messages


def test_the_first_error_is_raised_and_its_trace_is_in_the_log(caplog):
    with (
        caplog.at_level(logging.INFO, "tessera"),
        pytest.raises(RuntimeError, match="process 1 of 2: ValueError: page 7 is gone"),
    ):
        run_workers(__file__, {"task": "fail"}, n=2, threads=1)
    assert any("test_workers.py" in line and "in worker" in line for line in caplog.messages)


def test_a_signal_to_the_starter_stops_all_in_good_order(tmp_path):
    def stop():
        wait_for(lambda: len(pids(tmp_path)) == 2)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=stop)
    thread.start()
    outcome = run_workers(__file__, {"task": "stop", "folder": str(tmp_path)}, n=2, threads=1)
    thread.join()
    assert outcome["rank"] == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_process_outlives_a_starter_that_was_killed(tmp_path):
    call = "import sys, json; from tessera.workers import run_workers; "
    call += "run_workers(**json.loads(sys.argv[1]))"
    arguments = {"task": "wait", "folder": str(tmp_path)}
    job = json.dumps({"script": __file__, "arguments": arguments, "n": 2, "threads": 1})
    starter = subprocess.Popen(
        [sys.executable, "-c", call, job], env={**os.environ, "PYTHONPATH": str(LIBRARY)}
    )
    wait_for(lambda: len(pids(tmp_path)) == 2)
    starter.kill()
    starter.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in pids(tmp_path)))


@pytest.mark.parametrize(
    ("visible", "gpus", "expected"),
    [("", [2, 0], "2,0"), ("5,7", [1], "7"), ("GPU-a,GPU-b", [0, 1], "GPU-a,GPU-b")],
)
def test_workers_see_the_gpus_that_were_taken_for_them(monkeypatch, visible, gpus, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert workers._environment(1, gpus)["CUDA_VISIBLE_DEVICES"] == expected
    assert workers._environment(1, [])["CUDA_VISIBLE_DEVICES"] == visible
