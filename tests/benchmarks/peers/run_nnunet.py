"""Train nnU-Net v2 for a given time and predict: its own fingerprint, planner, trainer, predictor.

Three things differ from its command line. The planner is told of a small GPU, as whoever runs it on
a few cores would (TESSERA_BENCH_NNUNET_GB says another size). The learning rate follows its
polynomial over the time, not over 250,000 iterations, so that the schedule is complete when the
time is up. Its validation, which decides nothing about the final weights, is left out. All training
micrographs train (its fold "all").
"""

from __future__ import annotations

import os
import time

import numpy as np
from exchange import IGNORE, Record, Task, asked, write_answer

GPU_MEMORY_GB = float(os.environ.get("TESSERA_BENCH_NNUNET_GB", "1"))
"""What the planner is told: less makes smaller patches, and more steps in the same time."""

DATASET = "Dataset001_Bench"
PLANS = "nnUNetPlans"


def write_raw(task: Task) -> None:
    """Write the training data as nnU-Net wants it; ignored pixels get its own ignore label."""
    import tifffile
    from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json

    raw = task.folder / "raw" / DATASET
    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True)
    labels = {"background": 0} | {f"class{code}": code for code in range(1, task.n_classes)}
    if any((mask == IGNORE).any() for _, mask in task.train):
        labels["ignore"] = task.n_classes
    for number, (image, mask) in enumerate(task.train):
        name = f"case{number:05}"
        tifffile.imwrite(raw / "imagesTr" / f"{name}_0000.tif", image)
        codes = np.where(mask == IGNORE, task.n_classes, mask).astype(np.uint8)
        tifffile.imwrite(raw / "labelsTr" / f"{name}.tif", codes)
    reader = {"overwrite_image_reader_writer": "NaturalImage2DIO"}
    generate_dataset_json(str(raw), {0: "EM"}, labels, len(task.train), ".tif", **reader)


def plan(threads: int) -> None:
    """Fingerprint, plan, preprocess: the time for it is not counted."""
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api

    api.extract_fingerprints([1], num_processes=threads, clean=True)
    api.plan_experiments([1], gpu_memory_target_in_gb=GPU_MEMORY_GB, overwrite_plans_name=PLANS)
    api.preprocess([1], PLANS, configurations=["2d"], num_processes=[threads])


def trained(task: Task, seconds: float):
    """Train by the plans for so many seconds; the trainer, the seconds it took, its steps."""
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args

    trainer = get_trainer_from_args("1", "2d", "all", device=torch.device("cpu"))
    trainer.disable_checkpointing = True
    trainer.on_train_start()
    trainer.on_train_epoch_start()
    next(trainer.dataloader_train)  # its workers have started
    steps, started = 0, time.monotonic()
    while (done := (time.monotonic() - started) / seconds) < 1:
        trainer.lr_scheduler.step(done * trainer.num_epochs)
        trainer.train_step(next(trainer.dataloader_train))
        steps += 1
    took = time.monotonic() - started
    trainer.on_train_end()
    return trainer, took, steps


def predicted(trainer, images: list[np.ndarray]) -> list[np.ndarray]:
    """Masks of images, by nnU-Net's sliding window with its default overlap and mirroring."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    predictor = nnUNetPredictor(
        device=trainer.device, perform_everything_on_device=False, allow_tqdm=False
    )
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        trainer.dataset_json,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    # As its reader of natural images states it.
    properties = {"spacing": (999, 1, 1)}
    arrays = (image[None, None].astype(np.float32) for image in images)
    return [predictor.predict_single_npy_array(array, properties)[0] for array in arrays]


def main() -> None:
    """Answer the task of the command line."""
    task, seconds, threads, version = asked("nnunetv2")
    # Read when nnunetv2 is imported.
    for name, folder in (("raw", "raw"), ("preprocessed", "pre"), ("results", "res")):
        os.environ[f"nnUNet_{name}"] = str(task.folder / folder)
    os.environ |= {"nnUNet_compile": "f", "nnUNet_n_proc_DA": str(threads)}
    write_raw(task)
    plan(threads)
    trainer, took, steps = trained(task, seconds)
    planned = trainer.configuration_manager
    patch = " x ".join(str(side) for side in planned.patch_size)
    version += f" ({GPU_MEMORY_GB:g} GB: batches of {planned.batch_size} x {patch})"
    write_answer(task.folder, predicted(trainer, task.test), Record(took, steps, version))


if __name__ == "__main__":
    main()
