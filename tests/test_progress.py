"""Progress: a checkpoint when it is due, the last step always told, and few looks at the loss."""

import logging

import pytest
import torch

from tessera import progress
from tessera.progress import TrainingProgress


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_checkpoint_is_due_once_an_interval(clock):
    told = TrainingProgress(100, 0, checkpoint_minutes=2)
    due = []
    for clock[0] in range(0, 601, 30):
        if told.due():
            due.append(clock[0])
    assert due == [120, 240, 360, 480, 600]


def test_steps_are_told_now_and_then_and_the_last_one_always(clock, caplog):
    class Loss(torch.Tensor):
        looks = 0

        def item(self):
            Loss.looks += 1
            return super().item()

    loss = torch.tensor(0.25).as_subclass(Loss)
    with caplog.at_level(logging.DEBUG, "tessera"), TrainingProgress(1000, 0, 3) as told:
        for step in range(1, 1001):
            clock[0] += 0.05
            told.on_step(step, loss)
    assert len(caplog.messages) == 3
    assert "1000/1000" in caplog.messages[-1]
    assert "loss 0.250" in caplog.messages[-1]
    assert 90 < Loss.looks < 110


def test_a_resumed_training_goes_on_counting(clock, caplog):
    with caplog.at_level(logging.DEBUG, "tessera"), TrainingProgress(10, 8, 3) as told:
        clock[0] = 4
        told.on_step(10, torch.tensor(1.0))
    assert "10/10" in caplog.messages[-1]
    assert "2.00s/step" in caplog.messages[-1]
