"""Write the folds of today into the sheet: `make freeze-folds SHEET=... DIRECTORY=...`.

Every labelled, cross-validated group that results/folds.tsv has placed gets its fold in the
sheet's column `fold`; from then on no change of rows, not even a removal, moves it. The sheet as it
was stays beside it, as `<sheet>.before-freeze`.
"""

import shutil
import sys
from pathlib import Path

import pandas as pd

from tessera.files import read_table, write_table
from tessera.problems import BadInput, Problem, raise_if

FOLDS = Path("results/folds.tsv")


def main(sheet: Path, folds: Path) -> int:
    """Pin the groups, and give the number of rows that were.

    Raises
    ------
    BadInput
        If a file is missing, or one row stands for groups of several folds.
    """
    absent = (path for path in (sheet, folds) if not path.is_file())
    raise_if(Problem("freeze", str(path), "is missing") for path in absent)
    cells = pd.read_csv(sheet, sep="\t", dtype=str, keep_default_na=False)
    placed = read_table(folds).query("fold != ''")
    # Without a group, every micrograph is its own.
    groups = cells["group"] if "group" in cells else cells["micrograph"]
    what = "stands for many groups (`{frame}`); give each frame a row, to pin it"
    many = cells.loc[groups.str.contains("{frame}", regex=False), "micrograph"]
    raise_if(Problem(row, str(sheet), what) for row in many)
    pins = groups.map(placed.set_index("group")["fold"])
    labelled = cells.get("mask", pd.Series("", cells.index)) != ""
    before = cells["fold"] if "fold" in cells else pd.Series("", cells.index)
    cells["fold"] = pins.where(labelled).fillna(before)
    shutil.copy2(sheet, sheet.with_name(f"{sheet.name}.before-freeze"))
    write_table(sheet, cells)
    return int((pins.notna() & labelled).sum())


if __name__ == "__main__":
    try:
        target, *folder = map(Path, sys.argv[1:])
        folds = Path(*folder) / FOLDS
        print(f"{main(target, folds)} rows of {target} pinned to the folds of {folds}")
    except BadInput as error:
        sys.exit(str(error))
