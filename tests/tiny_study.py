"""A study small enough to run the real Snakefile on: specimens of bright squares on noise."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile
import yaml

ROOT = Path(__file__).parents[1]
FORKS = Path(__file__).parent / "snakemake_forks.py"
SIDE_PX = 80
CONFIG = {
    "sheet": "data/micrographs.tsv",
    "classes": {"background": 0, "square": 255},
    "device": "cpu",
    "tile": {"size_px": 32, "stride_px": 24},
    "split": {"folds": 3},
    "train": {"channels": [4, 8], "epochs": 2, "batch": 4, "jitter_px": 8, "precision": "fp32"},
    "resources": {"train": {"cpus": 1}, "predict": {"cpus": 1}},
}
REPORTED = {"report": ["-"], "audit": ["-"]}
ONCE = {"summarise": ["-"], **REPORTED}
FOLD_OF = {"a": "0", "b": "2", "c": "1", "d": "0"}
"""What GroupKFold makes of four groups of the same size and three folds."""
PLAN = "results/plan.yaml"
EVERY_NETWORK = {
    "train": list("012"),
    "predict": [*"abcdt", "u+unlabelled"],
    "evaluate": list("abcdt"),
    **ONCE,
}
"""What a new recipe makes anew."""


@dataclass(frozen=True)
class TinyStudy:
    """A folder with raw files, a sheet and a config, and the commands to work on them."""

    folder: Path

    @property
    def sheet(self) -> pd.DataFrame:
        return pd.read_csv(
            self.folder / CONFIG["sheet"], sep="\t", dtype=str, keep_default_na=False
        )

    def write_sheet(self, rows: pd.DataFrame) -> None:
        """Replace the sheet."""
        rows.fillna("").to_csv(self.folder / CONFIG["sheet"], sep="\t", index=False)

    def add(self, *rows: dict[str, str]) -> None:
        """Add rows to the sheet."""
        self.write_sheet(pd.concat([self.sheet, pd.DataFrame(rows)], ignore_index=True))

    def join(self, *names: str, cohort: int, labelled: bool = True, use: str = "") -> None:
        """Draw micrographs, `{group}-{number}`, and add them to the sheet as a cohort."""
        data, rows = self.folder / "data", []
        for name in names:
            row = {"micrograph": name, "group": name.partition("-")[0], "cohort": str(cohort)}
            rows.append({**row, **draw(data, name, labelled), "use": use})
        self.add(*rows)

    def configure(self, **blocks: object) -> None:
        """Change the config, block by block."""
        path = self.folder / "config.yaml"
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        for block, value in blocks.items():
            merged = {**config.get(block, {}), **value} if isinstance(value, dict) else value
            config[block] = merged
        path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def copy(self, folder: Path) -> "TinyStudy":
        """The same study, results included, elsewhere; times are kept, as `cp -a` does."""
        shutil.copytree(self.folder, folder)
        return TinyStudy(folder)

    def command(self, *arguments: str, root: Path = ROOT) -> list[str]:
        """The command line of Snakemake on this study."""
        start = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile")]
        start += ["--profile", str(root / "profiles/default"), "--cores", "2", "--nocolor"]
        start += ["--configfile", str(self.config), "--directory", str(self.folder)]
        return [*start, *arguments]

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def snakemake(self, *arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess:
        """Run Snakemake, and give what it printed on both channels as `stdout`."""
        command = self.command(*arguments, root=root)
        return forked("snakemake", command[command.index("snakemake") + 1 :])

    def run(self, *arguments: str) -> str:
        """Run Snakemake to a good end."""
        done = self.snakemake(*arguments)
        if done.returncode != 0:
            raise AssertionError(done.stdout)
        return done.stdout

    def refused(self, *arguments: str) -> str:
        """Run Snakemake to a bad end, and give what it said."""
        done = self.snakemake(*arguments)
        if done.returncode == 0:
            raise AssertionError(f"was not refused:\n{done.stdout}")
        return done.stdout

    def plan(self, root: Path = ROOT) -> list[str]:
        """The messages of the jobs that a run would execute, sorted."""
        done = self.snakemake("-n", root=root)
        if done.returncode != 0:
            raise AssertionError(done.stdout)
        # Without what a training is expected to take.
        jobs = re.findall(r"^Job \d+: ([^:\n]+)", done.stdout, re.MULTILINE)
        if not jobs and "Nothing to be done" not in done.stdout:
            raise AssertionError(done.stdout)
        return sorted(jobs)

    def inputs(self) -> dict[str, set[str]]:
        """Input files of every output in the graph, run or not, and raw ones, which params name."""
        return {output: {*job["input"], *job["raw"]} for output, job in self._graph().items()}

    def resources(self, output: str) -> dict[str, str]:
        """What the job that makes an output asks for, as far as it is known before a run."""
        return self._graph()[output]["resources"]

    def lineages(self) -> dict[str, str | None]:
        """Lineage of every output in the graph, where its job has one."""
        return {output: job["lineage"] for output, job in self._graph().items()}

    def _graph(self) -> dict[str, dict]:
        done = forked("graph", list(map(str, (ROOT / "Snakefile", self.folder, self.config))))
        if done.returncode != 0:
            raise AssertionError(done.stdout)
        return json.loads(done.stdout.splitlines()[-1])


@cache
def forks() -> subprocess.Popen:
    """What starts Snakemake in a moment, see `snakemake_forks.py`; it ends when we do."""
    command = [sys.executable, str(FORKS)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, **pipes, text=True, cwd=ROOT)


def forked(main: str, arguments: list[str]) -> subprocess.CompletedProcess:
    """Run Snakemake, or print a graph, in a process of its own."""
    with tempfile.NamedTemporaryFile() as output:
        asked = {"main": main, "arguments": arguments, "output": output.name}
        print(json.dumps(asked | {"environment": dict(os.environ)}), file=forks().stdin, flush=True)
        status = int(forks().stdout.readline())
        said = Path(output.name).read_text(encoding="utf-8")
    return subprocess.CompletedProcess([main, *arguments], status, said)


def wait_for(what: Callable[[], Any], seconds: float = 120) -> Any:
    """Ask again and again until the answer is not empty, and give it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if result := what():
            return result
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s in vain")


def draw(folder: Path, micrograph: str, labelled: bool = True) -> dict[str, str]:
    """Write a micrograph and its mask; the picture is a function of its name."""
    rng = np.random.default_rng(list(micrograph.encode()))
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for row, column in rng.integers(0, SIDE_PX - 20, (4, 2)):
        mask[row : row + 16, column : column + 16] = 255
    image = rng.normal(100, 10, mask.shape) + 60 * (mask > 0)
    tifffile.imwrite(folder / f"{micrograph}.tif", image.astype(np.uint16))
    if not labelled:
        return {"image": f"{micrograph}.tif", "mask": ""}
    tifffile.imwrite(folder / f"{micrograph}.mask.tif", mask)
    return {"image": f"{micrograph}.tif", "mask": f"{micrograph}.mask.tif"}


def make_study(folder: Path) -> TinyStudy:
    """Four specimens to cross-validate, one to test on, one unlabelled; two micrographs each."""
    data = folder / "data"
    data.mkdir(parents=True)
    rows = []
    for group, use in [("a", ""), ("b", ""), ("c", ""), ("d", ""), ("t", "test"), ("u", "")]:
        for number in (1, 2):
            name = f"{group}-{number}"
            files = draw(data, name, labelled=group != "u")
            rows.append({"micrograph": name, **files, "group": group, "cohort": "", "use": use})
    study = TinyStudy(folder)
    study.write_sheet(pd.DataFrame(rows))
    study.config.write_text(yaml.safe_dump(CONFIG, sort_keys=False), encoding="utf-8")
    return study


def others(*folds: str) -> list[str]:
    """The folds of the tiny study but for these."""
    return sorted(set("012") - set(folds))


def in_folds(*folds: str) -> list[str]:
    """The cross-validated groups of these folds."""
    return [group for group, fold in FOLD_OF.items() if fold in folds]


def jobs(**of: list[str]) -> list[str]:
    """Messages of the jobs of each rule on each shard, in the form that `plan` gives them."""
    messages = {
        "ingest": "Reading the micrographs of {}",
        "annotate": "Reading the masks of {}",
        "normalise": "Normalising the micrographs of {}",
        "plan": "Planning from the first cohort",
        "quarantine": "Listing what is in quarantine",
        "tile": "Tiling the micrographs of {}",
        "calibrate": "Timing a few steps of training",
        "train": "Training the network of fold {}, seed 0",
        "predict": "Predicting the micrographs of {}",
        "evaluate": "Scoring the predictions of {}",
        "split": "Auditing the folds",
        "summarise": "Summing up the scores of the study",
        "report": "Writing the report",
        "keep": "Keeping the networks from before cohort {}",
        "prospect": "Predicting {} by networks from before it",
        "assess": "Scoring {}, as networks from before it saw it",
        "audit": "Writing the manifest and the crate",
    }
    made = [messages[rule].format(name) for rule, names in of.items() for name in names]
    if any(count > 1 for count in Counter(made).values()):
        raise ValueError(f"a job is listed twice: {made}")
    return sorted(made)
