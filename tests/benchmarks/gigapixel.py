"""Gigapixel: the memory of every step of a study with one huge micrograph, on the real Snakefile.

One group is a single micrograph of simulated particles, 16 bits, with its annotation, both written
strip by strip as compressed tiles; another is a small one, so that there are two folds. Snakemake
runs the whole of it, one job at a time, then `verify` checks the results. Every process tells its
own peak at its end, see `probe/sitecustomize.py`; the table has the largest of each step.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pandas as pd
import tifffile
import yaml

from benchmarks.measuring import ROOT, Comparison, Options, Target
from benchmarks.samples import PIXEL_SIZE_NM, SPECIMEN
from tessera.files import resolution
from tessera.simulation_particles import particle_micrograph
from tessera.strips import LazyPage

GB = 1e9
BLOCK_PX, SMALL_PX, STRIP_PX = 2048, 1024, 64
NOISE = 64
"""Further grey levels of noise, anew in each block, so that no two places are the same."""
STEPS = ("ingest", "annotate", "normalise", "plan", "tile", "split", "calibrate", "train")
STEPS += ("predict", "evaluate", "summarise", "report", "audit", "verify")
FULL, LARGE, TINY = (4_000, 10_000), (4_000, 40_000), (300,)
LIMIT = Target("ours", "<", 2)
MEM_MB = 1500
CONFIG = {
    "sheet": "micrographs.tsv",
    "classes": {"support": 0, "particle": 1},
    "device": "cpu",
    "tile": {"size_px": 128, "stride_px": 128},
    "split": {"folds": 2},
    "train": {"channels": [4, 8], "epochs": 0.005, "batch": 8, "jitter_px": 16}
    | {"loss": {"cross_entropy": 1, "dice": 1}, "class_weights": "none"},
    "resources": {
        "default": {"mem_mb": MEM_MB},
        "predict": {"mem_mb": MEM_MB},
    },
}


def comparisons(options: Options) -> list[Comparison]:
    """Rows of the table."""
    sides = TINY if options.tiny else LARGE if options.large else FULL
    return [row for side_px in sides for row in _rows(options.scratch, side_px)]


def _rows(scratch: Path, side_px: int) -> list[Comparison]:
    folder = scratch / f"gigapixel-{side_px}"
    make_study(folder, side_px)
    found = measured(folder)
    rows = []
    for step in STEPS:
        of = found[found["step"] == step]
        case = f"{step}, {side_px} x {side_px} px"
        said = f"no file behind {of['anonymous'].max() / GB:.2f} GB; {of['seconds'].max():.0f} s"
        said += f", computing {of['computing'].max():.0f} s"
        peak = [of["resident"].max() / GB]
        rows.append(Comparison("gigapixel", f"peak of {case}", "GB", peak, (), LIMIT, said))
    return rows


def make_study(folder: Path, side_px: int) -> None:
    """Raw files, sheet and config."""
    folder.mkdir(parents=True)
    rows = []
    for group, side in (("huge", side_px), ("small", SMALL_PX if side_px > SMALL_PX else side_px)):
        for kind, dtype in (("image", np.uint16), ("mask", np.uint8)):
            page = simulated(side, kind, dtype, seed=len(rows))
            write_raw(folder / f"{group}.{kind}.tif", page)
        files = {kind: f"{group}.{kind}.tif" for kind in ("image", "mask")}
        rows.append({"micrograph": group, "group": group, **files})
    pd.DataFrame(rows).to_csv(folder / CONFIG["sheet"], sep="\t", index=False)
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False), encoding="utf-8")


def write_raw(path: Path, page: LazyPage) -> None:
    """Write a page as a microscope may: BigTIFF, in strips of a few rows, compressed."""
    strips = (page[top : top + STRIP_PX] for top in range(0, page.shape[0], STRIP_PX))
    tifffile.imwrite(
        path,
        (imagecodecs.deflate_encode(np.ascontiguousarray(strip), level=1) for strip in strips),
        shape=page.shape,
        dtype=page.dtype,
        bigtiff=True,
        rowsperstrip=STRIP_PX,
        compression="zlib",
        photometric="minisblack",
        metadata=None,
        **resolution(PIXEL_SIZE_NM),
    )


def simulated(side_px: int, kind: str, dtype: type, seed: int) -> LazyPage:
    """A micrograph or its mask: one field of particles turned and mirrored, with fresh noise."""

    def rows_of(top: int, end: int) -> np.ndarray:
        parts = [
            np.concatenate(
                [_block(seed, row, column, kind) for column in range(0, side_px, BLOCK_PX)], axis=1
            )
            for row in range(top // BLOCK_PX * BLOCK_PX, end, BLOCK_PX)
        ]
        first = top % BLOCK_PX
        return np.concatenate(parts)[first : first + end - top, :side_px].astype(dtype)

    return LazyPage((side_px, side_px), dtype, rows_of, BLOCK_PX)


def _block(seed: int, row: int, column: int, kind: str) -> np.ndarray:
    draw = np.random.default_rng([seed, row, column])
    counts, inside = _field(seed)
    turns, mirror, mirror_too = draw.integers((4, 2, 2))
    block = np.rot90(counts if kind == "image" else inside, turns)
    block = block[:: -1 if mirror else 1, :: -1 if mirror_too else 1]
    return block + draw.integers(NOISE, size=block.shape, dtype=np.uint16) * (kind == "image")


@cache
def _field(seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    counts, inside = particle_micrograph(SPECIMEN, (BLOCK_PX, BLOCK_PX), PIXEL_SIZE_NM, draw)
    return counts.astype(np.uint16), inside.astype(np.uint8)


def measured(folder: Path) -> pd.DataFrame:
    """Run Snakemake on a study, then `verify`; step, seconds and memory of every process."""
    probe = folder / "probe"
    probe.mkdir()
    snakemake = ["-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "1"]
    snakemake += ["--profile", str(ROOT / "profiles/default"), "--nocolor"]
    snakemake += ["--configfile", str(folder / "config.yaml"), "--directory", str(folder)]
    verify = [str(ROOT / "workflow/scripts/verify.py"), str(folder / "results")]
    for command in (snakemake, verify):
        path = os.pathsep.join([str(Path(__file__).with_name("probe")), os.environ["PYTHONPATH"]])
        environment = os.environ | {"MEMORY_PROBE": str(probe), "PYTHONPATH": path}
        with (folder / "said.txt").open("a", encoding="utf-8") as said:
            done = subprocess.run(
                [sys.executable, *command], env=environment, stdout=said, stderr=said, check=False
            )
        if done.returncode:
            raise RuntimeError((folder / "said.txt").read_text(encoding="utf-8")[-4000:])
    told = (json.loads(path.read_text(encoding="utf-8")) for path in sorted(probe.iterdir()))
    return pd.DataFrame([{**of, "step": step_of(of["command"])} for of in told])


def step_of(command: Sequence[Any]) -> str:
    """The step of a process, from how it was called.

    Examples
    --------
    >>> step_of(["/a/.snakemake/scripts/tmpx0.train.py"]), step_of(["/a/verify.py", "results"])
    ('train', 'verify')
    """
    name = Path(command[0]).name if command else ""
    found = re.fullmatch(r"(?:tmp[^.]*\.)?(\w+)\.py", name)
    return found[1] if found else name
