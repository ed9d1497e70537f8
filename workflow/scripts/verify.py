"""Check a folder of results by itself: `make verify`, or `python verify.py RESULTS`.

Needs numpy, pandas, pyarrow, scikit-image, scikit-learn and tifffile; neither Snakemake, nor torch,
nor the raw files, which are checked where they can be found. Prints everything that does not hold,
one line each, and ends with exit status 1 if there is any.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

sys.dont_write_bytecode = True  # the copy of this in the results must stay as it is
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

import pandas as pd

from verification import bytes_on_disk, graphs, raw_files, scores
from verification.records import CRATE, MANIFEST, Fault, Results, Unreadable, read_results


def checks(folder: Path, raw: str | None, threads: int, said: list[str]) -> Iterator[Fault]:
    """Everything that does not hold; what was checked goes into `said`."""
    yield from bytes_on_disk.sums_hold(folder)
    try:
        results = read_results(folder)
    except Unreadable as error:
        yield error.args
        return
    said += [
        f"{len(results.manifest)} products have the bytes of the manifest",
        f"{len(results.actions)} jobs made them from what the manifest says",
        f"no network behind the scores of {len(results.shards_of('evaluate'))} shards saw them",
    ]
    for check in (
        bytes_on_disk.files_hold(results, threads),
        bytes_on_disk.entities_hold(results, threads),
        bytes_on_disk.no_strangers(results, said),
        graphs.actions_hold(results),
        graphs.groups_hold(results),
        graphs.no_network_saw_its_test(results),
        graphs.no_kept_network_saw_its_test(results),
        graphs.folds_hold(results),
        graphs.networks_agree(results),
        graphs.all_are_scored(results),
        graphs.raw_files_agree(results),
        raw_files.none_is_lost(results),
        scores_hold(results, said),
        raw_holds(results, raw, threads, said),
    ):
        yield from to_the_end(check)


def to_the_end(check: Iterable[Fault]) -> Iterator[Fault]:
    """The faults of a check; if it cannot go on, that is the last."""
    try:
        yield from check
    except Unreadable as error:
        yield error.args
    except (KeyError, IndexError, StopIteration, TypeError, ValueError, AttributeError) as error:
        yield CRATE, f"cannot be followed: {error!r}"


def scores_hold(results: Results, said: list[str]) -> Iterator[Fault]:
    """What scikit-learn counts in the predicted masks."""
    counts, shards = [], [*results.shards_of("evaluate"), *results.shards_of("assess")]
    for found in scores.evaluations_hold(results):
        if isinstance(found, pd.DataFrame):
            counts.append(found)
        else:
            yield found
    if counts and len(counts) == len(shards):  # else it is said already what cannot be counted
        yield from scores.metrics_hold(results, counts)
        micrographs = sum(table["micrograph"].nunique() for table in counts)
        said.append(f"all scores of {micrographs} micrographs recomputed from their masks")


def raw_holds(
    results: Results, given: str | None, threads: int, said: list[str]
) -> Iterator[Fault]:
    """What the raw files are today, where they are."""
    folder = raw_files.raw_folder(results, given)
    if folder is None:
        said.append("raw files NOT checked: not where the sheet was; name their folder by --raw")
        return
    yield from raw_files.raw_files_hold(results, folder, threads)
    said.append(f"{results.raw['path'].nunique()} raw files have the bytes that were read")


def main(arguments: Sequence[str]) -> int:
    """Check, tell, and give the exit status."""
    parser = argparse.ArgumentParser(description="Check a folder of results by itself.")
    parser.add_argument("results", type=Path)
    parser.add_argument("--raw", help="folder that the paths of the sheet start at")
    parser.add_argument("--threads", type=int, default=4, help="that hash files side by side")
    asked = parser.parse_args(arguments)
    if not (asked.results / MANIFEST).is_file():
        print(f"{asked.results / MANIFEST}: is missing: there is nothing to check against")
        return 1
    said: list[str] = []
    faults = []
    for path, what in checks(asked.results, asked.raw, asked.threads, said):
        print(f"DOES NOT HOLD {path}: {what}", flush=True)
        faults.append(path)
    if faults:
        number = "1 thing does" if len(faults) == 1 else f"{len(faults)} things do"
        print(f"{number} not hold; the first: {faults[0]}")
        return 1
    print("\n".join(said))
    print(f"all holds: {asked.results}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
