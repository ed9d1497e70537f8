"""Train BiaPy for a given time and predict: its official template of 2-D semantic segmentation.

The template's network, patches, optimiser, schedule, batches and augmentation, and its own
validation on a tenth of the training patches, which picks the weights. Only the epochs are chosen
to fill the time; the patience is as many, as in the template, so that nothing stops early.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from exchange import IGNORE, Record, Task, asked, write_answer

TIMED_EPOCHS = 2
PATCH_PX = 256


class Clock:
    """Times of the epochs of a training, by wrapping what BiaPy calls for each of them."""

    def __init__(self) -> None:
        self.began, self.ended, self.steps = [], [], 0

    @property
    def seconds(self) -> float:
        """From the first step to the end of the last validation."""
        return self.ended[-1] - self.began[0]

    def training(self, train_one_epoch: Callable) -> Callable:
        """The function that trains an epoch, timed; it returns the number of its last step too."""

        def timed(*arguments: Any, **keywords: Any) -> Any:
            self.began.append(time.monotonic())
            stats, last = train_one_epoch(*arguments, **keywords)
            self.steps += last + 1
            self.ended.append(time.monotonic())
            return stats, last

        return timed

    def validation(self, evaluate: Callable) -> Callable:
        """The function that validates after an epoch, timed."""

        def timed(*arguments: Any, **keywords: Any) -> Any:
            stats = evaluate(*arguments, **keywords)
            self.ended.append(time.monotonic())
            return stats

        return timed


def write_raw(task: Task) -> None:
    """Write images and masks into the folders that BiaPy reads.

    Its loss of two classes knows no pixels to ignore: there they count as background.
    """
    import tifffile

    for name in ("x", "y"):
        (task.folder / name).mkdir()
    for number, (image, mask) in enumerate(task.train):
        tifffile.imwrite(task.folder / "x" / f"{number:05}.tif", image)
        codes = np.where(mask == IGNORE, 0, mask) if task.n_classes == 2 else mask
        tifffile.imwrite(task.folder / "y" / f"{number:05}.tif", codes)


def template(task: Task, threads: int, epochs: int) -> dict[str, Any]:
    """The template's keys, with this task's data and epochs; a folder to test on must be named."""
    ignored = task.n_classes > 2 and any((mask == IGNORE).any() for _, mask in task.train)
    train = {"PATH": str(task.folder / "x"), "GT_PATH": str(task.folder / "y"), "IN_MEMORY": True}
    return {
        "SYSTEM": {"NUM_CPUS": threads},
        "PROBLEM": {"TYPE": "SEMANTIC_SEG", "NDIM": "2D"},
        "DATA": {
            "PATCH_SIZE": (PATCH_PX, PATCH_PX, 1),
            "N_CLASSES": task.n_classes,
            "TRAIN": {**train, "CHECK_DATA": not ignored},  # the check counts it as a class
            "VAL": {"SPLIT_TRAIN": 0.1},
            "TEST": {"PATH": train["PATH"], "LOAD_GT": False, "PADDING": (32, 32)},
        },
        "AUGMENTOR": {"ENABLE": True, "RANDOM_ROT": True, "VFLIP": True, "HFLIP": True},
        "MODEL": {"ARCHITECTURE": "unet", "FEATURE_MAPS": [16, 32, 64, 128, 256]},
        "LOSS": {"IGNORE_INDEX": IGNORE} if ignored else {},
        "TRAIN": {
            "ENABLE": True,
            "OPTIMIZER": "ADAMW",
            "LR": 1e-3,
            "BATCH_SIZE": 6,
            "EPOCHS": epochs,
            "PATIENCE": epochs,
            "LR_SCHEDULER": {"NAME": "onecycle"},
        },
        "TEST": {"ENABLE": True, "AUGMENTATION": False, "FULL_IMG": False},
    }


def fitted(task: Task, threads: int, epochs: int, folder: Path):
    """BiaPy trained for so many epochs, and the clock of its training."""
    from biapy import BiaPy
    from biapy.engine import base_workflow as engine

    job = BiaPy(template(task, threads, epochs), result_dir=str(folder), name=f"epochs-{epochs}")
    clock, untimed = Clock(), (engine.train_one_epoch, engine.evaluate)
    engine.train_one_epoch = clock.training(untimed[0])
    engine.evaluate = clock.validation(untimed[1])
    try:
        job.train()
    finally:
        engine.train_one_epoch, engine.evaluate = untimed
    return job, clock


def epochs_for(seconds: float, task: Task, threads: int) -> int:
    """How many epochs fill the time, from those of a short training after its first."""
    _, clock = fitted(task, threads, TIMED_EPOCHS, task.folder / "timed")
    epoch = (clock.ended[-1] - clock.began[1]) / (TIMED_EPOCHS - 1)
    return max(1, round(seconds / epoch))


def predicted(job, image: np.ndarray) -> np.ndarray:
    """Mask of one micrograph, from BiaPy's patches."""
    share = job.predict(image)
    return share.argmax(axis=-1) if share.shape[-1] > 1 else share[..., 0] > 0.5


def main() -> None:
    """Answer the task of the command line."""
    task, seconds, threads, version = asked("biapy")
    write_raw(task)
    epochs = epochs_for(seconds, task, threads)
    job, clock = fitted(task, threads, epochs, task.folder / "trained")
    masks = [predicted(job, image) for image in task.test]
    write_answer(task.folder, masks, Record(clock.seconds, clock.steps, version))


if __name__ == "__main__":
    main()
