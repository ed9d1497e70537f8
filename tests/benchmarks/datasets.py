"""The folds of a study as arrays: what each method of the comparison learns from and is tested on.

A sheet and the config of a study say everything, as they do for the workflow itself: which files
are read, what their masks mean, which specimens are held out together. So any study that the
workflow can run can be compared, and every method is given the same pixels.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from snakemake.utils import update_config

sys.path.insert(0, str(Path(__file__).parents[2] / "workflow" / "lib"))
sys.path.insert(0, str(Path(__file__).parents[2] / "workflow" / "scripts"))

from tessera.annotations import Image, read_mask
from tessera.classes import DECLARED, ClassTable
from tessera.preparation import prepared
from tessera.readers import read_micrograph
from tessera.studies import WHOLE, Study

ROOT = Path(__file__).parents[2]
DATA = "TESSERA_BENCH_DATA"
"""Environment variable: the folder where sheets are looked for that are not where they are said."""


@dataclass(frozen=True)
class Example:
    """An annotated micrograph.

    Parameters
    ----------
    micrograph : str
    image : (rows, columns) array
        As it is in the file: whole numbers or float, not normalised.
    mask : (rows, columns) uint8 array
        Class codes, and `tessera.classes.IGNORE`.
    """

    micrograph: str
    image: np.ndarray
    mask: np.ndarray


def find_sheet(sheet: str) -> Path:
    """Path of a sheet, as it is or in the folder that `DATA` names; else FileNotFoundError."""
    places = [Path(sheet), Path(os.environ.get(DATA, ".")) / sheet]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"no sheet {sheet}, nor in the folder that {DATA} names")
    return found.resolve()


def read_study(sheet: Path, config: Path, work: Path) -> Study:
    """The study of a sheet, checked as the workflow does; it keeps its digests in `work`.

    Parameters
    ----------
    config : path
        The keys that differ from `config/config.yaml`, as for `snakemake --configfile`.
    """
    keys = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    update_config(keys, yaml.safe_load(config.read_text(encoding="utf-8")))
    work.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(work):
        return prepared({**keys, "sheet": str(sheet)})


def test_shards(study: Study, fold: str) -> list[str]:
    """Shards that a fold holds out; where nothing is cross-validated, those for testing.

    Raises
    ------
    ValueError
        If the study has no such fold, or nothing to test it on.
    """
    if fold not in study.fold_names:
        raise ValueError(f"fold {fold!r} is none of {', '.join(study.fold_names)}")
    shards = study.shards[study.shards["annotated"]]
    held_out = shards["use"] == "test" if fold == WHOLE else shards["fold"] == fold
    if not held_out.any():
        raise ValueError(f"fold {fold}: there is no annotated micrograph to test it on")
    return list(shards.index[held_out])


def examples(study: Study, shards: list[str]) -> list[Example]:
    """The micrographs of shards with their masks, in the order of the workflow's pages."""
    keys = study.config
    table = ClassTable.from_config(**{key: keys[key] for key in DECLARED})
    read = []
    for shard in shards:
        pairs = zip(study.raw_rows(shard, "image"), study.raw_rows(shard, "mask"), strict=True)
        for image, mask in pairs:
            pixels = read_micrograph(image["path"], image["key"], image["frame"]).pixels
            pixels = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("="))
            drawn_on = Image(Path(image["path"]).name, pixels.shape)
            codes = read_mask(mask, table, drawn_on).codes
            read.append(Example(image["micrograph"], pixels, codes))
    return read
