"""The sheet of a study: one row a file, expanded to one row a micrograph.

`expand` reads the cells of the sheet into a table with a row for every micrograph, or reports every
bad row at once. Paths in the sheet are relative to its own folder; `file.npz::key` names an array
inside a container; `frames` takes several micrographs out of one stack.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from tessera.channels import IMAGE, bad_cells, image_columns, key_of, with_first
from tessera.frames import NO_FRAME, frame_numbers, is_json
from tessera.problems import Problem, raise_if
from tessera.schemas import faulty

COLUMNS = ("micrograph", "image", "frames", "mask", "label", "group", "cohort", "fold", "use")
COLUMNS += ("pixel_size_nm",)
NO_FOLD = -1


def expand(
    cells: pd.DataFrame,
    sheet: str,
    schema: dict[str, Any],
    grouped: bool = True,
    channels: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row a micrograph, sorted by id.

    Parameters
    ----------
    cells : DataFrame of str
        The sheet as it is in the file; empty cells are empty strings.
    sheet : str
        Path of the sheet: names it in errors, and its folder is where relative paths start.
    schema : dict
        JSON schema of a row; empty cells are left out of what it sees.
    grouped : bool
        Whether rows need a group. If not, each micrograph is a group of its own.
    channels : sequence of str, optional
        What each micrograph holds; rows then may name a file of each, `image.O`, for one of all.

    Returns
    -------
    DataFrame
        micrograph, image, image_key, mask, mask_key, frame (`NO_FRAME`: not of a stack), label (a
        path where label_key names an array in a container), label_key,
        group, cohort, fold (`NO_FOLD`: not pinned), use, pixel_size_nm (NaN: the file's own),
        annotated; image.{channel} and image_key.{channel} of all channels but the first, where
        some row names a file of each.

    Raises
    ------
    BadInput
        With every bad row.
    """
    columns = [*cells.columns, *(column for column in COLUMNS if column not in cells)]
    cells = cells.reindex(columns=columns, fill_value="").fillna("")
    # Objects, not pandas' strings: taking those out one by one costs 100,000 rows half a minute.
    stripped = {name: [cell.strip() for cell in cells[name].tolist()] for name in columns}
    cells = pd.DataFrame(stripped, dtype=object)
    problems = list(_bad_cells(cells, sheet, schema, grouped, channels))
    raise_if(problems)
    rows = _framed(with_first(cells, channels))
    folder = os.path.dirname(sheet)  # noqa: PTH120 - cells stay strings, 100,000 Paths cost seconds
    for column in (*image_columns(rows), "mask"):
        rows[column], rows[key_of(column)] = _paths(rows[column], folder)
    rows["mask_key"] = _pictures(rows)
    contained = rows["label"].str.contains("::", regex=False)
    paths, rows["label_key"] = _paths(rows["label"].where(contained, ""), folder)
    rows["label"] = rows["label"].where(~contained, paths)
    rows["annotated"] = rows["mask"] != ""
    rows["use"] = rows["use"].replace("", "cv")
    rows["cohort"] = rows["cohort"].replace("", "0").astype(int)
    rows["fold"] = rows["fold"].replace("", str(NO_FOLD)).astype(int)
    rows["pixel_size_nm"] = pd.to_numeric(rows["pixel_size_nm"], errors="coerce")
    if not grouped:
        rows["group"] = rows["micrograph"]
    raise_if(_clashes(rows, sheet))
    return rows.sort_values("micrograph", ignore_index=True)


def _bad_cells(cells, sheet, schema, grouped, channels) -> Iterator[Problem]:
    if cells.empty:
        yield Problem(
            "sheet", sheet, "has no rows: list your micrographs there, see config/README.md"
        )
    needed = [*schema["required"], *(["group"] if grouped else [])]
    needed = [column for column in needed if column != IMAGE or not channels]
    row_schema = {**schema, "required": needed}
    names = cells.columns.tolist()
    rows = zip(*(cells[name].tolist() for name in names), strict=True)
    records = [
        {name: value for name, value in zip(names, row, strict=True) if value != ""} for row in rows
    ]
    for number, fault in faulty(records, row_schema):
        # The header is line 1, so the first row is line 2.
        name = records[number].get("micrograph", f"line {number + 2}")
        yield Problem(name, sheet, fault)
    for name, frames in zip(cells["micrograph"], cells["frames"], strict=True):
        for first, last in re.findall(r"(\d+)-(\d+)", frames):
            if int(first) > int(last):
                yield Problem(name, sheet, f"frames: {first}-{last} ends before it begins")
    yield from bad_cells(cells, sheet, channels)


def _framed(cells: pd.DataFrame) -> pd.DataFrame:
    """Rows with frames, repeated once a frame; the others as they are."""
    numbers = cells["frames"].map(frame_numbers)
    rows = cells.assign(frame=numbers, last=numbers.map(max)).explode("frame", ignore_index=True)
    framed = rows["frame"] != NO_FRAME
    width = rows["last"].astype(str).str.len().clip(lower=2)
    frames = rows["frame"].astype(str)
    suffix = "-" + pd.Series([f.zfill(w) for f, w in zip(frames, width, strict=True)], dtype=str)
    rows["micrograph"] = rows["micrograph"].where(~framed, rows["micrograph"] + suffix)
    rows["group"] = [
        group.replace("{frame}", frame) if is_framed else group
        for group, frame, is_framed in zip(rows["group"], frames, framed, strict=True)
    ]
    return rows.drop(columns=["frames", "last"]).astype({"frame": int})


def _paths(cells: pd.Series, folder: str) -> tuple[list[str], list[str]]:
    """Paths from where the workflow runs, and keys inside containers."""
    parts = [cell.partition("::") for cell in cells]
    paths = [os.path.normpath(os.path.join(folder, p)) if p else "" for p, _, _ in parts]  # noqa: PTH118
    return paths, [key for _, _, key in parts]


def _pictures(rows: pd.DataFrame) -> list[str]:
    """Keys of masks, those of frames in a JSON with their number; empty if they do not ask for it.

    Without, all frames of a stack would have the annotation of one.
    """
    keys = rows["mask_key"].tolist()
    for at, (path, frame) in enumerate(zip(rows["mask"], rows["frame"], strict=True)):
        if frame != NO_FRAME and is_json(path):
            keys[at] = keys[at].replace("{frame}", str(frame)) if "{frame}" in keys[at] else ""
    return keys


def _clashes(rows: pd.DataFrame, sheet: str) -> Iterator[Problem]:
    """Ids that occur twice, groups of two uses or folds, `{frame}` in a row without frames."""
    framed = rows["frame"] != NO_FRAME
    without = framed & rows["mask"].map(is_json) & (rows["mask_key"] == "")
    for micrograph in rows.loc[without, "micrograph"]:
        what = "a JSON has no frames; name the picture of each, as in file.json::slice-{frame}.tif"
        yield Problem(micrograph, sheet, what)
    doubled = rows.loc[rows["micrograph"].duplicated(), "micrograph"].unique()
    for micrograph in doubled:
        yield Problem(micrograph, sheet, "this id occurs more than once")
    for group in rows.loc[rows["group"].str.contains("{", regex=False), "group"].unique():
        yield Problem(group, sheet, "`{frame}` in the group, but no frames in the row")
    annotated = rows[rows["annotated"]]
    for group, uses in annotated.groupby("group")["use"].unique().items():
        if len(uses) > 1:
            what = f"this group is used as {' and '.join(sorted(uses))}; a group has one use"
            yield Problem(group, sheet, what)
    pinned = annotated[annotated["fold"] != NO_FOLD]
    for group, folds in pinned.groupby("group")["fold"].unique().items():
        if len(folds) > 1:
            what = f"this group is pinned to folds {' and '.join(map(str, sorted(folds)))}"
            yield Problem(group, sheet, what)
