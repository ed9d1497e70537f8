"""One measured thing in a process of its own: prepared once, then tried each time it is asked.

    python -m benchmarks.worker THREADS MODULE:FUNCTION ARGUMENTS_IN_JSON

FUNCTION(**arguments) prepares and returns a function without arguments, which makes one trial and
returns its figures. A line on the standard input asks for a trial; its figures come back as a line
of JSON. Also run by the Pythons of the peers, so it needs nothing but PyTorch.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch


def main(threads: int, target: str, arguments: dict[str, Any]) -> None:
    """Prepare, say so, and make a trial for every line that comes."""
    # Whatever libraries print goes to the standard error: replies have the line to themselves.
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    torch.set_num_threads(threads)
    module, function = target.split(":")
    trial = getattr(importlib.import_module(module), function)(**arguments)
    print(json.dumps("ready"), file=replies)
    for _ in sys.stdin:
        figures = trial() | {"peak_gb": peak_gb(), "torch": torch.__version__}
        print(json.dumps(figures), file=replies)


def peak_gb() -> float:
    """Most memory that this process has held at once, in 10^9 bytes, from the Linux kernel.

    Not `getrusage`, whose maximum a process inherits from the one that started it.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(kib) * 1024 / 1e9


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]))
