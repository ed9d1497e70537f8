"""Processes that work together on one job: started by torchrun, stopped together, heard in one log.

The processes are started on this machine alone and talk over its loopback. Their words come into
the log of whoever started them, and so does the first error of any of them. They share one pipe
from the starter: a byte in it asks them to stop in good order, its end tells that the starter is
gone, so that none is left behind.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tessera.logs import LOG

LIBRARY = Path(__file__).parents[1]
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_workers(
    script: str | Path,
    arguments: dict[str, Any],
    n: int,
    threads: int,
    gpus: Sequence[int] = (),
) -> Any:
    """Run `worker(**arguments)` of a script in n processes at once and wait for all.

    Parameters
    ----------
    script : path
        Of a Python file that can be imported.
    arguments : dict
        What JSON can hold.
    n : int
    threads : int
        Of each process.
    gpus : sequence of int
        Which of the visible GPUs the processes see, one each; none on the CPU.

    Returns
    -------
    object
        What the first process's `worker` returned, through JSON.

    Raises
    ------
    RuntimeError
        With the first error of any process.

    Notes
    -----
    SIGTERM and SIGINT reach one of the processes as SIGTERM; how they agree to stop is their own
    affair.
    """
    with TemporaryDirectory(prefix="tessera-") as name:
        folder = Path(name)
        job = {"script": str(script), "arguments": arguments}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        with (
            subprocess.Popen(
                _command(folder, n),
                env=_environment(threads, gpus),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at the terminal comes once, through us
            ) as process,
            _asked_to_stop(process),
        ):
            for line in process.stdout:
                LOG.info("%s", line.decode(errors="replace").rstrip())
        return _outcome(folder, process.returncode, n)


def _command(folder: Path, n: int) -> list[str]:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1"]
    torchrun += [f"--nproc-per-node={n}", "--local-addr=127.0.0.1"]
    return [*torchrun, "-m", "tessera.workers", str(folder)]


def _environment(threads: int, gpus: Sequence[int]) -> dict[str, str]:
    before = os.environ
    paths = [str(LIBRARY), before.get("PYTHONPATH", "")]
    environment = {
        **before,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": str(threads),
        "GLOO_SOCKET_IFNAME": LOOPBACK,
        "NCCL_SOCKET_IFNAME": LOOPBACK,
    }
    if gpus:
        visible = before.get("CUDA_VISIBLE_DEVICES", "")
        names = visible.split(",") if visible else [str(index) for index in range(max(gpus) + 1)]
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(names[index] for index in gpus)
    return environment


@contextmanager
def _asked_to_stop(process: subprocess.Popen) -> Iterator[None]:
    """Hand signals of the block on to the processes."""

    def ask(number: int, frame: object) -> None:
        with suppress(BrokenPipeError):  # it has just ended
            os.write(process.stdin.fileno(), b".")

    before = {number: signal.signal(number, ask) for number in STOP_SIGNALS}
    try:
        yield
        process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _outcome(folder: Path, code: int, n: int) -> Any:
    errors = sorted(folder.glob("*.error"), key=lambda path: path.stat().st_mtime_ns)
    done = folder / "outcome.json"
    if not errors and done.is_file():
        # What was done counts, whatever torchrun says of the end of it.
        return json.loads(done.read_text(encoding="utf-8"))
    if not errors:
        raise RuntimeError(f"a process of {n} ended without a word, torchrun with code {code}")
    said = errors[0].read_text(encoding="utf-8")
    raise RuntimeError(f"process {errors[0].stem} of {n}: {said}")


def work(folder: Path, rank: int) -> None:
    """Do one process's part of the job in a folder; end the process if that fails."""
    threading.Thread(target=_listen, daemon=True).start()
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.INFO if rank == 0 else logging.WARNING)
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    try:
        outcome = _imported(Path(job["script"])).worker(**job["arguments"])
    except Exception as error:
        (folder / f"{rank}.error").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        traceback.print_exc()
        sys.exit(1)
    if rank == 0:
        (folder / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")


def _listen() -> None:
    while os.read(0, 1):
        os.kill(os.getpid(), signal.SIGTERM)
    os._exit(1)


def _imported(script: Path) -> Any:
    specification = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(specification)
    sys.modules[script.stem] = module  # dataclasses look themselves up there
    specification.loader.exec_module(module)
    return module


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(os.environ["RANK"]))
