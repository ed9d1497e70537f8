"""How far a training is: a bar with loss and time left, and when a checkpoint is due."""

from __future__ import annotations

import logging
import sys
import time

import torch
from tqdm import tqdm

from tessera.logs import LOG

SECONDS_A_LINE = 20
SECONDS_A_LOOK = 0.5


class TrainingProgress:
    """A bar on a terminal; in the log, and where there is no terminal, a line now and then.

    Parameters
    ----------
    n_steps, done : int
        Steps in all, and those that an earlier run has done.
    checkpoint_minutes : float
    """

    def __init__(self, n_steps: int, done: int, checkpoint_minutes: float) -> None:
        self.n_steps, self.first = n_steps, done
        self._every_s = 60 * checkpoint_minutes
        self._begun = self._kept = self._said = self._looked = time.monotonic()
        self._bar = tqdm(
            total=n_steps, initial=done, unit="step", disable=not sys.stderr.isatty(), leave=False
        )

    def __enter__(self) -> TrainingProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def due(self) -> bool:
        """Whether the last checkpoint is older than it should be; the next one counts from now."""
        now = time.monotonic()
        if now - self._kept < self._every_s:
            return False
        self._kept = now
        return True

    def on_step(self, done: int, loss: torch.Tensor) -> None:
        """Tell of a step. The loss is read now and then only: reading makes a GPU wait."""
        now = time.monotonic()
        last = done == self.n_steps
        if now - self._looked < SECONDS_A_LOOK and not last:
            return
        self._looked = now
        self._bar.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
        self._bar.update(done - self._bar.n)
        if last or now - self._said >= SECONDS_A_LINE:
            self._said = now
            # Beside a bar, the line goes to the log alone.
            LOG.log(
                logging.INFO if self._bar.disable else logging.DEBUG, self._line(done, now, loss)
            )

    def _line(self, done: int, now: float, loss: torch.Tensor) -> str:
        return tqdm.format_meter(
            done,
            self.n_steps,
            now - self._begun,
            initial=self.first,
            unit="step",
            ncols=100,
            postfix=f"loss {loss.item():.3f}",
        )
