"""Run a study again from its own record, into a second folder, and compare: `make reproduce`.

Config, sheet and plan are those recorded in the folder of results; the raw files are looked for
where the sheet was, and must be those that were read. What must be the same bytes is what the
manifest lists as a product: networks, masks, tables. Exit status 1 if any of them differs.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import pandas as pd
import yaml

from tessera.channels import image_columns
from tessera.digests import code_version, file_digests
from tessera.files import write_table, write_text
from tessera.manifests import differences
from tessera.origins import LOCK, ROOT
from tessera.problems import BadInput, Problem, raise_if
from tessera.steps import script_of

SHEET = "micrographs.tsv"
PATHS = ("mask", "label")
MAY_DIFFER = (
    "times and hosts: results/ro-crate-metadata.json, results/calibration.yaml, results/logs",
    "paths of raw files, and comments in the code: results/study",
)


def main(results: Path, into: Path, raw: Path | None, cores: str) -> int:
    """Run again and compare; give the exit status.

    Raises
    ------
    BadInput
        If the record is incomplete, raw files are missing or others, or `into` is in use.
    """
    recorded = read_manifest(results)
    config = yaml.safe_load((results / "study/config.yaml").read_text(encoding="utf-8"))
    raw = raw or results.resolve().parent / Path(config["sheet"]).parent
    raise_if(changed_raw_files(results, raw))
    for line in otherwise(results, recorded):
        print(line)
    prepare(results, into, raw, config)
    tables = results.glob("prospective/cohort-*/networks.tsv")
    kept = sorted(int(path.parent.name.partition("-")[2]) for path in tables)
    # The networks from before a cohort are made by a run without it.
    for cohorts in (*(cohort - 1 for cohort in kept), config["cohorts"]):
        if not completed(into, cores, cohorts):
            print(f"the run stopped: see {into}")
            return 1
    return compare(recorded, read_manifest(into / "results"))


def completed(into: Path, cores: str, cohorts: int | str) -> bool:
    """Run the study of the rows up to a cohort, and say whether it came to its end."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--profile", str(ROOT / "profiles/default"), "--cores", cores]
    command += ["--configfile", str(into / "config.yaml"), "--directory", str(into)]
    command += ["--config", f"cohorts={cohorts}"]
    return subprocess.run(command, check=False).returncode == 0


def read_manifest(results: Path) -> pd.DataFrame:
    """The manifest of a folder of results."""
    path = results / "manifest.tsv"
    if not path.is_file():
        raise BadInput([Problem("reproduce", str(path), "is missing: run the study to its end")])
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def changed_raw_files(results: Path, raw: Path) -> Iterator[Problem]:
    """Raw files that are not there, or not those that the study was made from."""
    table = pd.read_csv(results / "study/raw.tsv", sep="\t", dtype=str, keep_default_na=False)
    known = {path: raw / path for path in table["path"]}
    found = file_digests(path for path in known.values() if path.exists())
    for row in table.itertuples(index=False):
        path = known[row.path]
        if path not in found:
            yield Problem(row.micrograph, str(path), "is missing; name the raw folder by --raw")
        elif found[path] != row.sha256:
            what = "is not the file that the study was made from"
            yield Problem(row.micrograph, str(path), what)


def otherwise(results: Path, recorded: pd.DataFrame) -> Iterator[str]:
    """What of the code and the lock file is not as it was, a line each."""
    made = recorded[recorded["code"] != ""].groupby("rule")["code"].first()
    for rule, code in made.items():
        if code_version(script_of(rule)) != code:
            yield f"the code of {rule} is another than that of the study"
    if (results / "study" / Path(LOCK).name).read_bytes() != (ROOT / LOCK).read_bytes():
        yield f"{LOCK} is another than that of the study"


def prepare(results: Path, into: Path, raw: Path, config: dict) -> None:
    """Put config, sheet and plan into a new folder; paths of the sheet lead to the raw files."""
    if into.exists() and any(into.iterdir()):
        what = "is there already; remove it, or name another by --into"
        raise BadInput([Problem("reproduce", str(into), what)])
    cells = pd.read_csv(results / "study" / SHEET, sep="\t", dtype=str, keep_default_na=False)
    way = Path(os.path.relpath(raw.resolve(), into.resolve()))
    for column in {*image_columns(cells), *PATHS} & set(cells):
        is_path = cells[column].str.contains("::" if column == "label" else "", regex=False)
        is_path &= cells[column] != ""
        cells[column] = cells[column].where(~is_path, [str(way / cell) for cell in cells[column]])
    write_table(into / SHEET, cells)
    text = yaml.safe_dump({**config, "sheet": SHEET}, sort_keys=False, allow_unicode=True)
    write_text(into / "config.yaml", text)
    if (results / "plan.yaml").is_file():  # made once, and then an input
        (into / "results").mkdir()
        shutil.copyfile(results / "plan.yaml", into / "results/plan.yaml")


def compare(recorded: pd.DataFrame, again: pd.DataFrame) -> int:
    """Tell what differs between two manifests; give the exit status."""
    found = differences(recorded, again)
    for path, what in found:
        print(f"DIFFERS {path}: {what}")
    print("may differ, and is not compared:")
    print("\n".join(f"  {what}" for what in MAY_DIFFER))
    products = int((recorded["rule"] != "audit").sum())
    if found:
        print(f"{len(found)} of {products} products differ; the first: {found[0][0]}")
        return 1
    print(f"identical: all {products} products, byte for byte")
    return 0


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description="Run a study again and compare.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--into", type=Path, help="new folder; `reproduced` beside the results")
    parser.add_argument("--raw", type=Path, help="folder that the paths of the sheet start at")
    parser.add_argument("--cores", default="all", help="of Snakemake")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    asked = parsed(sys.argv[1:])
    beside = asked.results.resolve().parent / "reproduced"
    try:
        sys.exit(main(asked.results, asked.into or beside, asked.raw, asked.cores))
    except BadInput as error:
        sys.exit(str(error))
