"""What a training will take, known from a few steps of it: time, memory, and what to ask for.

The steps are timed by the script; everything here is arithmetic on those times. A prediction is
what is expected; what is asked of a cluster has room to spare, and more at each further attempt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import yaml

WARM_UP_STEPS = 2  # the first ones make buffers and choose kernels
FEWEST_STEPS, MOST_STEPS = 5, 22  # warm-up included
ENOUGH_SECONDS = 6.0  # after this, the steps that were timed must do
START_SECONDS = 15.0  # imports, opening files, writing the network
# Jobs beside it slow a training down, and one that meets its limit begins again at its last
# checkpoint; memory is far steadier.
SPARE_TIME, SPARE_MINUTES = 2.0, 5
SPARE_MEMORY, SPARE_MB = 1.25, 600  # a job's Snakemake takes its share beside the training


@dataclass(frozen=True)
class Calibration:
    """What one step costs, and where.

    Parameters
    ----------
    seconds_a_step : float
        Median of the timed steps.
    first_step_seconds : float
        It prepares what the others use.
    timed_steps : int
    memory_mb : int
        Peak of the process, or of all that train together.
    gpu_memory_mb : int
        Peak on the GPU, 0 without one.
    device, processor, precision : str
    threads, devices : int
        Of each process, and their number.
    """

    seconds_a_step: float
    first_step_seconds: float
    timed_steps: int
    memory_mb: int
    gpu_memory_mb: int
    device: str
    processor: str
    precision: str
    threads: int
    devices: int

    @classmethod
    def parse(cls, text: str) -> Calibration:
        """Read what `render` wrote; ValueError if it is damaged."""
        try:
            return cls(**yaml.safe_load(text))
        except (TypeError, yaml.YAMLError) as error:
            raise ValueError(f"calibration: is damaged, delete it: {error}") from error

    def render(self) -> str:
        """The file of a calibration."""
        return "# What a step of training costs here; delete this file to measure anew.\n" + (
            yaml.safe_dump(asdict(self), sort_keys=False)
        )


@dataclass(frozen=True)
class Expectation:
    """What the training of one network will take."""

    steps: int
    seconds: float
    memory_mb: int
    gpu_memory_mb: int = 0

    def __str__(self) -> str:
        memory = f"{self.memory_mb / 1000:.1f} GB"
        if self.gpu_memory_mb:
            memory += f", {self.gpu_memory_mb / 1000:.1f} GB of the GPU"
        return f"{self.steps} steps, about {duration(self.seconds)}, {memory}"

    def runtime(self, attempt: int) -> int:
        """Minutes to ask for."""
        return attempt * (math.ceil(SPARE_TIME * self.seconds / 60) + SPARE_MINUTES)

    def mem_mb(self, attempt: int) -> int:
        """Megabytes to ask for."""
        return attempt * (math.ceil(SPARE_MEMORY * self.memory_mb) + SPARE_MB)


def median_step(moments: Sequence[float]) -> tuple[float, int]:
    """Seconds of a typical step, and how many were timed.

    Parameters
    ----------
    moments : sequence of float
        When the run began and when each step ended, in seconds.

    Examples
    --------
    >>> median_step([0.0, 9.0, 12.0, 13.0, 14.0, 17.0])
    (1.0, 3)
    """
    timed = np.diff(moments)[WARM_UP_STEPS:]
    if not timed.size:
        raise ValueError(f"calibration: {len(moments) - 1} steps are only the warm-up")
    return float(np.median(timed)), timed.size


def is_enough(moments: Sequence[float]) -> bool:
    """Whether the steps so far, timed as for `median_step`, will do."""
    done = len(moments) - 1
    return done >= FEWEST_STEPS and moments[-1] - moments[WARM_UP_STEPS] >= ENOUGH_SECONDS


def expected(
    calibration: Calibration, folds: pd.DataFrame, fold: str, epochs: float, batch: int
) -> Expectation:
    """What the network of a fold will take.

    Parameters
    ----------
    calibration : Calibration
    folds : DataFrame
        As `split` wrote it: use, fold and tiles used of each group.
    fold : str
    epochs, batch : float, int

    Notes
    -----
    Micrographs and masks are mapped into memory: what they take can be taken back at any time.
    """
    learnt = folds[(folds["use"] != "test") & (folds["fold"] != fold)]
    steps = math.ceil(epochs * learnt["tiles_used"].sum() / batch)
    seconds = calibration.first_step_seconds + steps * calibration.seconds_a_step
    return Expectation(
        steps, START_SECONDS + seconds, calibration.memory_mb, calibration.gpu_memory_mb
    )


def duration(seconds: float) -> str:
    """A time in words.

    Examples
    --------
    >>> duration(20), duration(544), duration(3 * 3600 + 1500)
    ('1 min', '9 min', '3 h 25 min')
    """
    minutes = max(1, round(seconds / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
