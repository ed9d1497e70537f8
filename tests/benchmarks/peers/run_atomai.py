"""Train atomai's Segmentor for a given time and predict: its U-Net, loss, optimiser, batches.

As its documentation shows: crops cut by its own function, weights averaged over the last 30 cycles
of 300 or more, all else by default. Over most of a shorter training the mean would be no network. A
cycle is one batch of 32 crops. Its predictor scales what it is given from 0 to 1 together, so the
training micrographs are scaled one by one, and one is predicted a call.
"""

from __future__ import annotations

import math
import time
from statistics import median

import numpy as np
from exchange import IGNORE, Record, Task, asked, write_answer

CROP_PX = 256
CROPS = 800
"""In all; atomai sets 15 % of them apart, and needs a whole batch of these."""
TIMED_CYCLES = 4
CYCLES_TO_AVERAGE = 300
STRIDE_PX = 8


def scaled(image: np.ndarray) -> np.ndarray:
    """Grey levels from 0 to 1, as atomai's predictor does it."""
    image = image.astype(np.float32)
    return (image - image.min()) / max(np.ptp(image), np.finfo(np.float32).tiny)


def padded(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """An array mirrored at its end up to a size; atomai would pad with zeros before it scales."""
    missing = [(0, max(0, n - size)) for n, size in zip((rows, columns), image.shape, strict=True)]
    return np.pad(image, missing, mode="symmetric")


def crops(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Random crops of the training micrographs, equally many of each, and their masks.

    atomai knows no pixels to ignore: they count as background.
    """
    from atomai.utils import extract_patches

    each = math.ceil(CROPS / len(task.train))
    images, masks = [], []
    for image, mask in task.train:
        codes = np.where(mask == IGNORE, 0, mask)
        pair = (padded(part, CROP_PX, CROP_PX) for part in (scaled(image), codes))
        cut = extract_patches(*pair, CROP_PX, each)
        images.append(cut[0])
        masks.append(cut[1])
    return np.concatenate(images), np.concatenate(masks)


def fitted(task: Task, pair: tuple[np.ndarray, np.ndarray], cycles: int):
    """A segmentor trained for so many cycles, and when each began and the last one ended."""
    from atomai.models import Segmentor

    class Timed(Segmentor):
        def step(self, cycle: int) -> None:
            times.append(time.monotonic())
            super().step(cycle)
            if cycle == cycles - 1:
                times.append(time.monotonic())

    times: list[float] = []
    model = Timed("Unet", nb_classes=task.n_classes if task.n_classes > 2 else 1)
    options = {"swa": cycles >= CYCLES_TO_AVERAGE, "plot_training_history": False}
    model.fit(*pair, training_cycles=cycles, filename=str(task.folder / "model"), **options)
    return model, times


def cycles_for(seconds: float, task: Task, pair: tuple[np.ndarray, np.ndarray]) -> int:
    """How many cycles fill the time, from those of a short training after its first."""
    _, times = fitted(task, pair, TIMED_CYCLES)
    return max(1, round(seconds / median(np.diff(times[1:]))))


def predicted(model, image: np.ndarray) -> np.ndarray:
    """Mask of one micrograph, predicted whole."""
    rows, columns = image.shape
    size = (math.ceil(n / STRIDE_PX) * STRIDE_PX for n in image.shape)
    share = model.predict(padded(scaled(image), *size), compute_coords=False)[0, :rows, :columns]
    return share.argmax(axis=-1) if share.shape[-1] > 1 else share[..., 0] > 0.5


def main() -> None:
    """Answer the task of the command line."""
    task, seconds, threads, version = asked("atomai")
    import torch

    torch.set_num_threads(threads)
    pair = crops(task)
    cycles = cycles_for(seconds, task, pair)
    model, times = fitted(task, pair, cycles)
    masks = [predicted(model, image) for image in task.test]
    write_answer(task.folder, masks, Record(times[-1] - times[0], cycles, version))


if __name__ == "__main__":
    main()
