"""The peers that Tessera is measured against, each in a virtual environment of its own.

`environment("nnunet")` makes it under `.bench/` from the pins in `peers/nnunet.txt`, once, and
gives its Python. No peer is a dependency of the project; what runs in their environments is in
`peers/`.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".bench"
PEERS = Path(__file__).parent / "peers"
NAMES = ("monai", "nnunet", "biapy", "atomai")


def environment(name: str) -> Path:
    """Path of the Python of a peer's environment, made if it is not there or its pins changed.

    Raises
    ------
    ValueError
        If there is no peer of this name.
    RuntimeError
        If pip cannot install its pins.
    """
    if name not in NAMES:
        raise ValueError(f"peer {name!r} is none of {', '.join(NAMES)}")
    pins = PEERS / f"{name}.txt"
    folder = ENVIRONMENTS / name
    python, made_of = folder / "bin" / "python", folder / pins.name
    with _locked(name):
        if not made_of.is_file() or made_of.read_bytes() != pins.read_bytes():
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder))
            _run(str(python), "-m", "pip", "install", "--quiet", "--requirement", str(pins))
            # Last: an environment without it was left half made.
            shutil.copyfile(pins, made_of)
    return python


def driver(name: str) -> Path:
    """Path of the script that trains and predicts with a peer, run by the peer's own Python."""
    return PEERS / f"run_{name}.py"


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """Let one process at a time make an environment."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise RuntimeError(f"{' '.join(command)} failed:\n{said}")
