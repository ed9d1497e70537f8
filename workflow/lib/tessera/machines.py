"""What a job runs on: host, processor, GPUs and their driver, as the system itself tells.

It is read from files alone, so that saying it at the start of every job costs nothing, and no
library has to be there.
"""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

MARK = "machine "
PROC = Path("/proc")


def machine(proc: Path = PROC) -> dict[str, Any]:
    """Host, system, processor, number of CPUs, Python; GPUs and driver where there are any.

    Parameters
    ----------
    proc : path
        Where the system tells of itself.
    """
    known = {
        "host": platform.node(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _first(proc / "cpuinfo", r"model name\s*: (.+)") or platform.processor(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }
    cards = sorted((proc / "driver/nvidia/gpus").glob("*/information"))
    if cards:
        known["gpus"] = [_first(card, r"Model:\s*(.+)") for card in cards]
        known["driver"] = _first(proc / "driver/nvidia/version", r"Kernel Module.*?\s(\d[\d.]+)\s")
    return known


def _first(path: Path, pattern: str) -> str:
    """What the pattern finds first in a file; nothing where there is no such file."""
    try:
        found = re.search(pattern, path.read_text(encoding="utf-8"))
    except OSError:
        return ""
    return found[1].strip() if found else ""


def line(known: dict[str, Any]) -> str:
    """A machine as a line of a log."""
    return f"{MARK}{json.dumps(known)}"


def read_back(log: str) -> dict[str, Any] | None:
    """The machine that the text of a log tells of, the last if several; None if it tells of none.

    Examples
    --------
    >>> read_back("2026-01-01 12:00:00 " + line({"host": "node7"}))
    {'host': 'node7'}
    """
    told = [said.partition(MARK)[2] for said in log.splitlines() if MARK + "{" in said]
    try:
        return json.loads(told[-1]) if told else None
    except json.JSONDecodeError:
        return None
