"""Accuracy at equal training time: Tessera and its peers on the same fold of any study.

    python tests/benchmarks/accuracy.py --sheet superalloy/micrographs.tsv \\
        --study config/studies/superalloy.yaml --minutes 10 --folds 0 --out .bench/accuracy.tsv

Every method is given the same micrographs, threads and minutes of training, planning not counted,
one after another; `nnunet:6` gives a method six times the minutes. All masks are scored by one
function. Rows that the table has already are not run again, so an interrupted comparison goes on;
delete them if something has changed. What each method prints is in `logs/` beside the table. Say of
its figures "at this time on this machine", nothing more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import peers
import yaml
from datasets import ROOT, examples, find_sheet, read_study, test_shards
from sklearn.metrics import confusion_matrix

from tessera.classes import IGNORE
from tessera.digests import code_version, digest
from tessera.files import open_page
from tessera.studies import Study
from tessera.threads import WAITING

sys.path.append(str(peers.PEERS))

from exchange import Record, Task, read_answer, write_task

TESSERA = "tessera"
KEY = ["dataset", "fold", "method", "minutes"]
COLUMNS = [*KEY, "seconds", "steps", "mean_iou", "pooled_iou", "mean_dice", "iou", "version"]


@dataclass(frozen=True)
class Comparison:
    """What all methods of a comparison share.

    Parameters
    ----------
    study : Study
    config : path
        The keys of the study that differ from the project's.
    fold : str
    threads : int
    work : path
        Folder for what is written while it runs.
    logs : path
        Folder for what the peers print.
    """

    study: Study
    config: Path
    fold: str
    threads: int
    work: Path
    logs: Path

    @property
    def dataset(self) -> str:
        """The sheet's folder and name."""
        sheet = Path(self.study.sheet)
        return f"{sheet.parent.name}/{sheet.stem}"


def scores(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], classes: Sequence[str]
) -> dict[str, Any]:
    """Scores of (true, predicted) masks, all pixels of all micrographs counted together.

    Parameters
    ----------
    pairs : sequence of ((rows, columns), (rows, columns)) uint8 arrays
        Class codes; pixels whose true code is `IGNORE` do not count.
    classes : sequence of str

    Returns
    -------
    dict
        mean_iou and mean_dice: over the classes that are there or predicted. pooled_iou: of all
        classes' counts together. iou: of each class, as text.
    """
    confused = np.zeros((len(classes), len(classes)), np.int64)
    for true, predicted in pairs:
        if true.shape != predicted.shape:
            raise ValueError(f"true mask {true.shape} and predicted {predicted.shape} differ")
        counted = true != IGNORE
        codes = range(len(classes))
        confused += confusion_matrix(true[counted], predicted[counted], labels=codes)
    hits = np.diag(confused)
    sizes = confused.sum(axis=0) + confused.sum(axis=1)
    with np.errstate(invalid="ignore"):
        iou, dice = hits / (sizes - hits), 2 * hits / sizes
    return {
        "mean_iou": np.nanmean(iou),
        "pooled_iou": hits.sum() / (sizes - hits).sum(),
        "mean_dice": np.nanmean(dice),
        "iou": " ".join(f"{name}={x:.4f}" for name, x in zip(classes, iou, strict=True)),
    }


def run_peer(comparison: Comparison, name: str, minutes: float) -> tuple[list[np.ndarray], Record]:
    """Train a peer and predict the held-out micrographs, in its own environment."""
    study, fold = comparison.study, comparison.fold
    train = examples(study, study.training_shards(fold))
    test = [example.image for example in examples(study, test_shards(study, fold))]
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=comparison.work))
    pairs = [(example.image, example.mask) for example in train]
    write_task(Task(folder, len(study.config["classes"]), pairs, test))
    command = [peers.environment(name), peers.driver(name), folder, "--minutes", minutes]
    command += ["--threads", comparison.threads]
    # In its folder, since some write where they are.
    logged(comparison, name, command, folder)
    answer = read_answer(folder)
    shutil.rmtree(folder)
    return answer


def logged(comparison: Comparison, method: str, command: Sequence[Any], folder: Path) -> None:
    """Run a command in a folder, its words in a log; RuntimeError with the last if it fails."""
    comparison.logs.mkdir(parents=True, exist_ok=True)
    name = f"{comparison.dataset.replace('/', '-')}.{comparison.fold}.{method}.log"
    log = comparison.logs / name
    with log.open("w", encoding="utf-8") as file:
        command = [str(part) for part in command]
        done = subprocess.run(command, cwd=folder, stdout=file, stderr=file, check=False)
    if done.returncode != 0:
        said = "\n".join(log.read_text(encoding="utf-8").splitlines()[-20:])
        raise RuntimeError(f"{method} ended with {done.returncode}, see {log}:\n{said}")


def run_tessera(comparison: Comparison, minutes: float) -> tuple[list[np.ndarray], Record]:
    """Run Tessera's workflow, with as many epochs as fill the time by its own calibration."""
    work, fold = comparison.work, comparison.fold
    results, seed = work / "results", comparison.study.seeds[0]
    cpus = {step: {"cpus": comparison.threads} for step in ("train", "predict")}
    said = {"device": "cpu", "resources": cpus}
    snakemake(comparison, said, ["results/calibration.yaml", "results/folds.tsv"])
    planned = read_study(Path(comparison.study.sheet), comparison.config, work)
    tables = [results / f"tiles/{shard}.parquet" for shard in planned.training_shards(fold)]
    n_tiles = sum(int(pd.read_parquet(table)["used"].sum()) for table in tables)
    calibration = yaml.safe_load((results / "calibration.yaml").read_text(encoding="utf-8"))
    n_steps = max(1, round(60 * minutes / calibration["seconds_a_step"]))
    settings = planned.settings("train")
    # Half a step less, so that rounding up gives the steps and not one more.
    said["train"] = {"epochs": (n_steps - 0.5) * settings["batch"] / n_tiles, "seeds": [int(seed)]}
    test = test_shards(planned, fold)
    snakemake(comparison, said, [f"results/predictions/{shard}" for shard in test])
    masks = [
        open_page(results / f"predictions/{shard}/{micrograph}.mask.tif", 0)
        for shard in test
        for micrograph in planned.rows_of(shard)["micrograph"]
    ]
    log = (results / f"logs/train/seed-{seed}.fold-{fold}.log").read_text(encoding="utf-8")
    began = datetime.strptime(log[:19], "%Y-%m-%d %H:%M:%S").timestamp()
    ended = (results / f"networks/seed-{seed}/fold-{fold}.pt").stat().st_mtime
    recipe = digest({**settings, "epochs": None}, code_version("train.py"))
    return masks, Record(ended - began, n_steps, recipe[:8])


def snakemake(comparison: Comparison, said: dict[str, Any], targets: Sequence[str]) -> None:
    """Run the workflow on the study, with some keys said, up to some targets."""
    keys = comparison.work / "said.yaml"
    keys.write_text(yaml.safe_dump(said), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile"]
    command += ["--profile", ROOT / "profiles/default", "--cores", comparison.threads]
    command += ["--quiet", "all", "--directory", comparison.work]
    command += ["--configfile", comparison.config, keys]
    command += ["--config", f"sheet={comparison.study.sheet}", "--", *targets]
    logged(comparison, TESSERA, command, comparison.work)


def compare(comparison: Comparison, method: str, minutes: float) -> dict[str, Any]:
    """Run one method and score it: a row of the table."""
    study = comparison.study
    run = run_tessera if method == TESSERA else run_peer
    arguments = (minutes,) if method == TESSERA else (method, minutes)
    masks, record = run(comparison, *arguments)
    true = [example.mask for example in examples(study, test_shards(study, comparison.fold))]
    return {
        **dict(zip(KEY, key_of(comparison, method, minutes), strict=True)),
        **scores(list(zip(true, masks, strict=True)), list(study.config["classes"])),
        "seconds": round(record.seconds, 1),
        "steps": record.steps,
        "version": record.version,
    }


def key_of(comparison: Comparison, method: str, minutes: float) -> tuple[str, str, str, float]:
    """What tells a row of the table from all others."""
    return comparison.dataset, comparison.fold, method, minutes


def read_rows(path: Path, columns: Sequence[str] = COLUMNS) -> pd.DataFrame:
    """The table, empty where there is none."""
    if not path.is_file():
        return pd.DataFrame(columns=columns)
    return pd.read_csv(path, sep="\t", dtype={"fold": str})


def is_known(rows: pd.DataFrame, key: Sequence[str], values: tuple[Any, ...]) -> bool:
    """Whether a table has a row with these values in its key columns."""
    return values in set(rows[key].itertuples(index=False, name=None))


def append_rows(path: Path, rows: pd.DataFrame) -> None:
    """Add rows to the table at `path`, which is made if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.is_file()
    rows.to_csv(path, sep="\t", index=False, float_format="%.6g", mode="a", header=new)


def main() -> None:
    """Run what is missing from the table, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sheet", required=True, help="or a path in $TESSERA_BENCH_DATA")
    parser.add_argument("--study", type=Path, required=True, help="config of the study")
    parser.add_argument("--minutes", type=float, default=10, help="of training, each method")
    parser.add_argument("--folds", nargs="+", help="names; the first one by default")
    parser.add_argument("--peers", nargs="+", default=[TESSERA, "nnunet", "biapy", "atomai"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / ".bench" / "accuracy.tsv")
    said = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(said.threads)
    # As the workflow does, for all: see common.smk.
    os.environ |= {**WAITING, "CUDA_VISIBLE_DEVICES": ""}
    sheet, config, logs = find_sheet(said.sheet), said.study.resolve(), said.out.parent / "logs"
    with tempfile.TemporaryDirectory(prefix="tessera-bench-") as folder:
        study = read_study(sheet, config, Path(folder))
        for fold in said.folds or study.fold_names[:1]:
            comparison = Comparison(study, config, fold, said.threads, Path(folder), logs)
            for asked in said.peers:
                method, _, factor = asked.partition(":")
                run_if_missing(comparison, method, said.minutes * float(factor or 1), said.out)
    print(read_rows(said.out).to_string(index=False))


def run_if_missing(comparison: Comparison, method: str, minutes: float, out: Path) -> None:
    """Add a row to the table at `out`, unless it is there."""
    if is_known(read_rows(out), KEY, key_of(comparison, method, minutes)):
        return
    row = pd.DataFrame([compare(comparison, method, minutes)])[COLUMNS]
    print(row.to_string(index=False), flush=True)
    append_rows(out, row)


if __name__ == "__main__":
    main()
