"""Methods of normalisation: what they are called in the config, and what each of them uses.

What is known before any job runs; `intensity` does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Z_SCORE, CLAHE, NONE = "z-score", "clahe", "none"
GROUP = "group"
DTYPE = "dtype"
POLYNOMIAL, GAUSSIAN = "polynomial", "gaussian"
SUBTRACT, DIVIDE = "subtract", "divide"

ONLY_OF = {
    "by": {Z_SCORE},
    "low_percentile": {Z_SCORE, CLAHE},
    "high_percentile": {Z_SCORE, CLAHE},
    "clahe": {CLAHE},
    "levels": {NONE},
}
"""Settings that only some methods use."""

LENGTHS = {"flatten": "sigma", "clahe": "kernel"}
"""Settings that hold a length: as a share of a side, or in nm where that is stated."""


def used(block: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a method uses; what it does not can change nothing, and runs nothing again.

    Parameters
    ----------
    block : mapping
        The config of `normalise`, as it comes.
    """
    method = block["method"]
    unused = {key for key, methods in ONLY_OF.items() if method not in methods}
    if block["flatten"]["surface"] == NONE:
        unused.add("flatten")
    kept = {key: value for key, value in block.items() if key not in unused}
    for key in kept.keys() & LENGTHS.keys():
        part, name = dict(kept[key]), LENGTHS[key]
        stated_nm = part[f"{name}_nm"] is not None
        part.pop(f"{name}_{'share' if stated_nm else 'nm'}")
        kept[key] = part
    if "flatten" in kept:
        foreign = {POLYNOMIAL: {"sigma_share", "sigma_nm"}, GAUSSIAN: {"degree"}}
        for name in foreign[kept["flatten"]["surface"]] & kept["flatten"].keys():
            kept["flatten"].pop(name)
    return kept
