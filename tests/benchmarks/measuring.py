"""What all benchmarks share: processes that take turns, and the table that their figures make."""

from __future__ import annotations

import json
import operator
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tessera.threads import WAITING

ROOT = Path(__file__).parents[2]
RELATIONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}

Figures = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How a run of the benchmarks measures.

    Parameters
    ----------
    scratch : Path
        Folder for what is made on the way; the caller removes it.
    repeats, threads : int
    tiny : bool
        Only show that everything works: sizes of a few hundred pixels, and no peer.
    large : bool
        The longest cases too.
    """

    scratch: Path
    repeats: int
    threads: int
    tiny: bool = False
    large: bool = False


@dataclass(frozen=True)
class Target:
    """What 'ours' or the 'ratio' of a comparison is to be: `Target("ratio", ">=", 3)`."""

    of: str
    relation: str
    value: float

    def __str__(self) -> str:
        return f"{self.of} {self.relation} {self.value:g}"


@dataclass(frozen=True)
class Comparison:
    """One row of the table: a quantity of Tessera, and mostly the same one of something else.

    Parameters
    ----------
    benchmark, case, unit : str
    ours, theirs : sequence of float
        One figure a repeat; their medians are compared. Empty where there is none.
    target : Target, optional
    note : str
    """

    benchmark: str
    case: str
    unit: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    target: Target | None = None
    note: str = ""

    def row(self) -> dict[str, Any]:
        """The cells of the table.

        Examples
        --------
        >>> row = Comparison("b", "c", "m", [2, 3, 9], [2], Target("ratio", ">=", 1)).row()
        >>> row["ours"], row["ratio"], row["met"], row["spread_ours"]
        (3, 1.5, 'yes', '2 to 9')
        """
        ours, theirs = _median(self.ours), _median(self.theirs)
        compared = {"ours": ours, "ratio": _ratio(ours, theirs)}
        return {
            "benchmark": self.benchmark,
            "case": self.case,
            "ours": ours,
            "theirs": theirs,
            "unit": self.unit,
            "ratio": compared["ratio"],
            "target": "" if self.target is None else str(self.target),
            "met": "" if self.target is None else _met(self.target, compared),
            "repeats": _counts(self.ours, self.theirs),
            "spread_ours": _range(self.ours),
            "spread_theirs": _range(self.theirs),
            "note": self.note,
        }


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _ratio(ours: float | None, theirs: float | None) -> float | None:
    return ours / theirs if ours is not None and theirs else None


def _met(target: Target, compared: Mapping[str, float | None]) -> str:
    value = compared[target.of]
    if value is None:
        return "not measured"
    return "yes" if RELATIONS[target.relation](value, target.value) else "no"


def _counts(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How often each was measured; one number where both were measured alike."""
    counts = [str(len(values)) for values in (ours, theirs) if values]
    return " and ".join(dict.fromkeys(counts))


def _range(values: Sequence[float]) -> str:
    """Least and largest of several values."""
    return f"{min(values):.3g} to {max(values):.3g}" if len(values) > 1 else ""


def table(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """One row a comparison."""
    return pd.DataFrame([comparison.row() for comparison in comparisons])


def printed(rows: pd.DataFrame) -> str:
    """The table as text for reading: numbers to three digits, words from the left."""
    cells = rows.astype(object).map(_text)
    widths = {name: max(len(name), *map(len, cells[name])) for name in cells}
    lines = [widths.keys(), *cells.itertuples(index=False)]
    padded = (map(str.ljust, line, widths.values()) for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return "" if pd.isna(cell) else f"{cell:.3g}"


@dataclass(frozen=True)
class Job:
    """One measured thing: 'module:function' (see `benchmarks.worker`), its plain arguments, and the
    Python whose packages it uses, ours by default.
    """

    target: str
    arguments: Mapping[str, Any]
    python: str | Path = sys.executable


class Worker:
    """A process that prepares a job, then makes a trial each time it is asked.

    Raises
    ------
    RuntimeError
        If it fails, with the end of what it said.
    """

    def __init__(self, job: Job, threads: int) -> None:
        self._job = job
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the worker
        command = [str(job.python), "-m", "benchmarks.worker", str(threads)]
        self._process = subprocess.Popen(
            [*command, job.target, json.dumps(job.arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=ROOT,
            env=_environment(threads, job.python),
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        if any(error):
            self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def ready(self) -> None:
        """Wait until it is prepared."""
        self._reply()

    def trial(self) -> Figures:
        """Figures of one more trial, the peak of memory so far, and the version of PyTorch."""
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # _reply finds no line, and says why
        return self._reply()

    def _reply(self) -> Figures:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        self._said.seek(0)
        end = "".join(self._said.readlines()[-20:])
        raise RuntimeError(f"{self._job} ended with {code}:\n{end}")


def _environment(threads: int, python: str | Path) -> dict[str, str]:
    """Variables of a worker: a peer's packages see our modules, but not our scripts."""
    folders = [ROOT / "tests", ROOT / "workflow" / "lib"]
    if str(python) == sys.executable:
        folders.append(ROOT / "workflow" / "scripts")
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "OMP_NUM_THREADS": str(threads),
        **WAITING,  # as in the workflow
    }


def measured(jobs: Mapping[str, Job], options: Options) -> dict[str, list[Figures]]:
    """Figures of each job: all are prepared, then tried one after the other, again and again.

    So a slow spell of the machine meets all of them, and never do two of them run at a time.
    """
    with ExitStack() as stack:
        workers = {}
        for name, job in jobs.items():
            workers[name] = stack.enter_context(Worker(job, options.threads))
            workers[name].ready()
        rounds = [
            {name: worker.trial() for name, worker in workers.items()}
            for _ in range(options.repeats)
        ]
    return {name: [each[name] for each in rounds] for name in workers}


def once(job: Job, options: Options) -> Figures:
    """Figures of a single trial in a process of its own, which ends with it."""
    with Worker(job, options.threads) as worker:
        worker.ready()
        return worker.trial()


def each(figures: Sequence[Figures], name: str) -> list[float]:
    """One figure of every trial."""
    return [trial[name] for trial in figures]
