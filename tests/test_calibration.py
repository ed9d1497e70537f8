"""Calibration: from times of steps to what a training takes, and what is asked for."""

import pandas as pd
import pytest

from tessera.calibration import (
    ENOUGH_SECONDS,
    FEWEST_STEPS,
    START_SECONDS,
    Calibration,
    Expectation,
    expected,
    is_enough,
    median_step,
)

MEASURED = Calibration(
    seconds_a_step=0.5,
    first_step_seconds=2.0,
    timed_steps=8,
    memory_mb=2000,
    gpu_memory_mb=0,
    device="cpu",
    processor="AVX512",
    precision="bf16",
    threads=2,
    devices=1,
)
FOLDS = pd.DataFrame(
    {
        "group": list("abct"),
        "use": ["cv", "cv", "train", "test"],
        "fold": ["0", "1", "", ""],
        "tiles_used": [100, 60, 40, 0],
    }
)


def test_slow_first_steps_do_not_count():
    assert median_step([0, 30, 45, 46, 47, 48.5, 50]) == (1.25, 4)
    with pytest.raises(ValueError, match="only the warm-up"):
        median_step([0, 1, 2])


def test_timing_ends_after_some_steps_and_some_seconds():
    slow = [10.0 * step for step in range(FEWEST_STEPS + 1)]
    assert not is_enough(slow[:-1])
    assert is_enough(slow)
    fast = [0.001 * step for step in range(1000)]
    assert not is_enough(fast)
    assert is_enough([*fast, ENOUGH_SECONDS + 1])


@pytest.mark.parametrize(("fold", "tiles"), [("0", 100), ("1", 140), ("all", 200)])
def test_a_fold_takes_the_steps_of_what_it_learns_from(fold, tiles):
    takes = expected(MEASURED, FOLDS, fold, epochs=3, batch=16)
    steps = -(-3 * tiles // 16)
    assert takes.steps == steps
    assert takes.seconds == START_SECONDS + 2 + 0.5 * steps
    assert takes.memory_mb == 2000


def test_more_is_asked_for_than_is_expected_and_more_at_each_attempt():
    takes = Expectation(steps=938, seconds=540, memory_mb=2100)
    assert str(takes) == "938 steps, about 9 min, 2.1 GB"
    assert takes.runtime(1) * 60 > takes.seconds
    assert takes.mem_mb(1) > takes.memory_mb
    assert takes.runtime(3) == 3 * takes.runtime(1)
    assert takes.mem_mb(2) == 2 * takes.mem_mb(1)
    assert "0.9 GB of the GPU" in str(Expectation(10, 10, 2100, gpu_memory_mb=900))


def test_a_calibration_is_read_back_as_it_was_written():
    assert Calibration.parse(MEASURED.render()) == MEASURED
    with pytest.raises(ValueError, match="is damaged"):
        Calibration.parse("seconds_a_step: 1")
