"""Measure Tessera beside its peers, print one table and write it as TSV: `make bench`.

    PYTHONPATH=tests:workflow/lib:workflow/scripts python -m benchmarks.bench [training ...]

Rows of benchmarks that are not asked for stay in the table as they were measured last.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import torch

from benchmarks import gigapixel, leaks, memory, scale, stitching, training
from benchmarks.measuring import ROOT, Comparison, Options, Target, printed, table
from tessera.devices import processor_name, resolve_precision
from tessera.files import written_atomically

MEASURED = {
    "training": training.comparisons,
    "stitching": stitching.comparisons,
    "memory": memory.comparisons,
    "leaks": leaks.comparisons,
    "scale": scale.comparisons,
    "gigapixel": gigapixel.comparisons,
}
ACCURACY = "accuracy"
SCORES = ("mean_iou", "mean_dice")


def accuracy(data: Sequence[str], minutes: float, threads: int, out: Path) -> list[Comparison]:
    """Rows of `accuracy.py` for each SHEET=STUDY; what its own table has is not run again."""
    for pair in data:
        sheet, _, study = pair.partition("=")
        command = [sys.executable, str(Path(__file__).with_name("accuracy.py"))]
        command += ["--sheet", sheet, "--study", study, "--minutes", str(minutes)]
        command += ["--threads", str(threads), "--out", str(out)]
        subprocess.run(command, cwd=ROOT, check=True)
    return accuracy_rows(pd.read_csv(out, sep="\t", dtype={"fold": str}))


def accuracy_rows(scores: pd.DataFrame) -> list[Comparison]:
    """Tessera against every other method: of a study, at its minutes, over the folds of both."""
    ours = scores[scores["method"] == "tessera"]
    rows = []
    for (dataset, method, minutes), theirs in scores.groupby(["dataset", "method", "minutes"]):
        if method == "tessera":
            continue
        same = ours[(ours["dataset"] == dataset) & ours["fold"].isin(theirs["fold"])]
        for score in SCORES:
            case = f"{score}, {dataset}, {method} after {minutes:g} min of training"
            note = f"ours after {', '.join(f'{m:g}' for m in same['minutes'].unique())} min"
            pair = list(same[score]), list(theirs[score])
            rows.append(Comparison(ACCURACY, case, "", *pair, Target("ratio", ">", 1), note))
    return rows


def with_earlier(rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The rows, after those of other benchmarks that an earlier run has written."""
    if not path.is_file():
        return rows
    earlier = pd.read_csv(path, sep="\t", keep_default_na=False, na_values=[""])
    kept = earlier[~earlier["benchmark"].isin(rows["benchmark"])]
    text = kept.select_dtypes(exclude="number").columns
    kept = kept.astype(dict.fromkeys(text, object)).fillna(dict.fromkeys(text, ""))
    return pd.concat([kept, rows], ignore_index=True) if len(kept) else rows


def stamped(rows: Sequence[Comparison], threads: int) -> pd.DataFrame:
    """The table of rows, with when and on what they were measured."""
    now = datetime.now(UTC).isoformat(timespec="minutes")
    machine = {"processor": processor_name("cpu"), "threads": threads, "torch": torch.__version__}
    return table(rows).assign(**machine, measured=now)


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("only", nargs="*", help=f"{', '.join(MEASURED)} (all by default), {ACCURACY}")
    add("--repeats", type=int, default=3, help="trials of each; their median counts")
    add("--threads", type=int, default=2)
    add("--large", action="store_true", help="memory: 32,768 pixels a side too")
    add("--tiny", action="store_true", help="only show that it works, without peers")
    add("--data", nargs="*", default=[], metavar="SHEET=STUDY", help="what accuracy is of")
    add("--minutes", type=float, default=10, help="of training, for accuracy")
    add("--output", type=Path, default=ROOT / "bench" / "bench.tsv")
    said = parser.parse_args(arguments)
    asked = said.only or list(MEASURED)
    unknown = sorted(set(asked) - {*MEASURED, ACCURACY})
    if unknown:
        parser.error(f"{', '.join(unknown)}: none of {', '.join(MEASURED)}, {ACCURACY}")
    if ACCURACY in asked and not said.data:
        parser.error(f"{ACCURACY} needs --data SHEET=STUDY ...")
    os.environ["OMP_NUM_THREADS"] = str(said.threads)
    torch.set_num_threads(said.threads)
    said.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=said.output.parent, prefix="scratch-") as scratch:
        options = Options(Path(scratch), said.repeats, said.threads, said.tiny, said.large)
        rows = [row for name in asked if name in MEASURED for row in MEASURED[name](options)]
    if ACCURACY in asked:
        scores = said.output.with_name("accuracy.tsv")
        rows += accuracy(said.data, said.minutes, said.threads, scores)
    shown = with_earlier(stamped(rows, said.threads), said.output)
    with written_atomically(said.output) as temporary:
        shown.to_csv(temporary, sep="\t", index=False, float_format="%.6g")
    print(printed(shown.drop(columns=["processor", "threads", "torch"])))
    kind = f"{processor_name('cpu')}, precision auto: {resolve_precision('auto', 'cpu')}"
    print(f"\n{said.threads} threads, PyTorch {torch.__version__}, {kind}")
    print(f"{said.output} has it as TSV; tests/benchmarks/README.md says how to read it.")


if __name__ == "__main__":
    main(sys.argv[1:])
