"""The steps of a study: which script does each, and what the config says to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tessera.classes import DECLARED
from tessera.methods import used

USES_CLASSES = {"annotate", "tile", "split", "train", "predict", "evaluate", "summarise", "report"}
"""Steps whose params hold the declared classes."""

USES_CHANNELS = {"ingest", "normalise", "train", "calibrate", "evaluate", "report"}
"""Steps whose params hold the declared channels, as `inputs`: what the network is shown."""

LIKE = {"prospect": "predict", "assess": "evaluate"}
"""Steps that do with networks from before a cohort what others do with those of now."""

IMAGE_CELLS = ("pixel_size_nm",)
"""Columns of the sheet that say how a micrograph is taken, beside its file, key and frame."""

NOT_OF_PRODUCTS = {"ingest": ("on_bad_file",), "train": ("seeds", "warm_start")}
"""Settings that change no product of their step, or that its lineage holds by themselves: each
network has its own seed and its own start."""


def script_of(step: str) -> str:
    """File name of the script that does a step."""
    return f"{LIKE.get(step, step)}.py"


COST_FREE = {"epochs", "learning_rate", "weight_decay", "jitter_px", "focal_gamma"}
COST_FREE |= {"class_weights", "pos_weight"}
"""Settings of `train` that change neither the time nor the memory of a step."""


def stated(config: Mapping[str, Any], step: str) -> dict[str, Any]:
    """What the config itself says to a step."""
    if step == "calibrate":
        return _calibrated(config)
    block = config.get(step) or {}
    left_out = NOT_OF_PRODUCTS.get(step, ())
    block = {key: value for key, value in block.items() if key not in left_out}
    if step == "split" and block["method"] != "group-k-fold":
        block.pop("folds")  # the other methods find their number in the sheet
    if step in USES_CLASSES:
        # As pairs: the order of classes is their code, and a mapping's order reaches no digest.
        block["classes"] = [list(pair) for pair in config["classes"].items()]
    if step in USES_CHANNELS and config["channels"]:
        block["inputs"] = list(config["channels"])
    if step == "annotate":
        block |= {key: config[key] for key in DECLARED if key != "classes"}
    if step == "tile" and block["size_nm"] is None:
        block.pop("size_nm")
    return used(block) if step == "normalise" else block


def _calibrated(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the time and the memory of a step of training depend on."""
    block = {key: value for key, value in stated(config, "train").items() if key not in COST_FREE}
    n_classes = len(block.pop("classes"))
    if "inputs" in block:
        block["n_inputs"] = len(block.pop("inputs"))
    return block | {"size_px": config["tile"]["size_px"], "n_classes": n_classes}
