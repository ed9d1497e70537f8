"""Leaks: time and memory of the search for pairs, by the number of micrographs.

Micrographs are made up: random fingerprints and landmarks, some dozens a micrograph, in
1,000 groups, some of them planted twice. What is measured is all that `split` does before it opens
a page: `fingerprints.near_pairs` and `matching.candidates`. Each size has a process of its own, and
the peak is the kernel's (`VmHWM`), tables included. A search that compares each with each would
take 16 times as long for four times as many.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.measuring import Comparison, Figures, Job, Options, Target, each, once
from tessera.fingerprints import near_pairs
from tessera.matching import candidates

LANDMARKS = 60
GROUPS = 1000
PLANTED = 50
GRID = 1000


@dataclass(frozen=True)
class Size:
    """Numbers of micrographs, smallest first; each four times the one before."""

    micrographs: tuple[int, ...] = (1000, 4000, 16000, 64000)


FULL, TINY = Size(), Size((100, 400))
GROWTH = Target("ratio", "<=", 8)
"""Of the time for four times as many: 4 is in proportion, 16 is the square."""


def comparisons(options: Options) -> list[Comparison]:
    """Rows of the table."""
    size = TINY if options.tiny else FULL
    rows, before = [], None
    for micrographs in size.micrographs:
        job = Job("benchmarks.leaks:search", {"micrographs": micrographs})
        trials = [once(job, options) for _ in range(options.repeats)]
        rows += _rows(micrographs, trials, before)
        before = trials
    return rows


def _rows(
    micrographs: int, trials: Sequence[Figures], before: Sequence[Figures] | None
) -> list[Comparison]:
    case = f"{micrographs:,} micrographs"
    found = f"{trials[0]['found']} of {PLANTED} planted pairs found"
    seconds, peaks = each(trials, "seconds"), each(trials, "peak_gb")
    rows = [
        Comparison("leaks", f"{case}: time of the search", "s", seconds, note=found),
        Comparison("leaks", f"{case}: peak", "GB", peaks),
    ]
    if before is not None:
        against = each(before, "seconds")
        said = f"{case}: time against a quarter of them"
        rows.append(Comparison("leaks", said, "s", seconds, against, GROWTH))
    return rows


def search(micrographs: int) -> Callable[[], Figures]:
    """A trial that looks for pairs among so many micrographs."""
    groups = np.arange(micrographs) % GROUPS
    prints = made_up_fingerprints(micrographs)
    marks = made_up_landmarks(micrographs)

    def trial() -> Figures:
        start = time.perf_counter()
        near = near_pairs(prints, groups)
        shared = candidates(marks, groups)
        seconds = time.perf_counter() - start
        pairs = {(i, j) for i, j, _ in near} & set(
            zip(shared["first"], shared["second"], strict=True)
        )
        return {"seconds": seconds, "found": len(pairs)}

    return trial


def made_up_fingerprints(micrographs: int, seed: int = 0) -> list[str]:
    """Random fingerprints; the last `PLANTED` differ in ten bits from the first."""
    random = np.random.default_rng(seed)
    packed = random.integers(0, 256, (micrographs, 32), dtype=np.uint8)
    packed[-PLANTED:] = packed[:PLANTED] ^ np.packbits(np.arange(256) % 26 == 0)
    return [row.tobytes().hex() for row in packed]


def made_up_landmarks(micrographs: int, seed: int = 0) -> pd.DataFrame:
    """Random landmarks; the last `PLANTED` micrographs have half of those of the first, moved."""
    random = np.random.default_rng(seed)
    shape = (micrographs, LANDMARKS)
    down, across = random.integers(0, GRID, (2, *shape))
    code = random.integers(0, 2**63, shape, np.uint64)
    half = np.s_[:PLANTED, : LANDMARKS // 2], np.s_[-PLANTED:, : LANDMARKS // 2]
    for values, by in ((down, 200), (across, -300), (code, 0)):
        values[half[1]] = values[half[0]] + values.dtype.type(by)
    bits = (
        random.integers(0, 8, (4, *shape), np.uint64)
        + 8 * np.arange(4, dtype=np.uint64)[:, None, None]
    )
    doubts = (np.uint64(1) << bits).sum(axis=0, dtype=np.uint64)
    columns = {"row": down, "column": across, "code": code, "doubts": doubts}
    table = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
    table["micrograph"] = np.repeat(np.arange(micrographs), LANDMARKS)
    return table.assign(calibrated=False, octave=np.int8(0), pose=np.uint8(0))
