"""What passes between the comparison and a peer's driver, two processes with packages of their own.

The comparison writes `task.npz`: training micrographs with masks, test micrographs without. The
driver answers with `masks.npz` and `record.json`. Only NumPy is needed on both sides.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

IGNORE = 255


@dataclass(frozen=True)
class Task:
    """What a driver is to do.

    Parameters
    ----------
    folder : path
        Where the task lies; whatever else a peer writes goes there too.
    n_classes : int
    train : list of (image, mask)
        (rows, columns) arrays: grey levels as in the files, and uint8 codes with `IGNORE`.
    test : list of images
    """

    folder: Path
    n_classes: int
    train: list[tuple[np.ndarray, np.ndarray]]
    test: list[np.ndarray]


@dataclass(frozen=True)
class Record:
    """How a training went: its wall-clock seconds and steps, and the version of the package."""

    seconds: float
    steps: int
    version: str


def write_task(task: Task) -> None:
    """Write `task.npz` into the task's folder."""
    task.folder.mkdir(parents=True, exist_ok=True)
    images, masks = zip(*task.train, strict=True)
    lists = {"image": images, "mask": masks, "test": task.test}
    np.savez(task.folder / "task.npz", n_classes=task.n_classes, **_numbered(lists))


def read_task(folder: Path) -> Task:
    """Read what `write_task` wrote."""
    with np.load(folder / "task.npz", allow_pickle=False) as arrays:
        train = zip(_listed(arrays, "image"), _listed(arrays, "mask"), strict=True)
        return Task(folder, int(arrays["n_classes"]), list(train), _listed(arrays, "test"))


def write_answer(folder: Path, masks: Sequence[np.ndarray], record: Record) -> None:
    """Write the predicted masks, in the order of the test images, and how the training went."""
    codes = {"mask": [mask.astype(np.uint8) for mask in masks]}
    np.savez_compressed(folder / "masks.npz", **_numbered(codes))
    (folder / "record.json").write_text(json.dumps(asdict(record)), encoding="utf-8")


def read_answer(folder: Path) -> tuple[list[np.ndarray], Record]:
    """Read what `write_answer` wrote."""
    with np.load(folder / "masks.npz", allow_pickle=False) as arrays:
        masks = _listed(arrays, "mask")
    return masks, Record(**json.loads((folder / "record.json").read_text(encoding="utf-8")))


def asked(package: str) -> tuple[Task, float, int, str]:
    """Task, seconds and threads of this driver's command line, and the package's version."""
    parser = argparse.ArgumentParser(description=f"Train {package} for a time, then predict.")
    parser.add_argument("folder", type=Path, help="holds task.npz; the answer goes there")
    parser.add_argument("--minutes", type=float, required=True, help="of training")
    parser.add_argument("--threads", type=int, default=2, help="of the processor")
    said = parser.parse_args()
    return read_task(said.folder.resolve()), 60 * said.minutes, said.threads, version(package)


def _numbered(lists: dict[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    return {
        f"{name}-{i:05}": array for name, arrays in lists.items() for i, array in enumerate(arrays)
    }


def _listed(arrays: np.lib.npyio.NpzFile, name: str) -> list[np.ndarray]:
    return [arrays[key] for key in sorted(arrays.files) if key.startswith(f"{name}-")]
