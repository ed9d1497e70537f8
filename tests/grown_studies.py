"""Studies that cohorts join one by one, as Python objects: what was kept, what is due."""

from dataclasses import replace

from builders import SHEET, annotated, config, expanded, random_sheets
from tessera.cohorts import due
from tessera.studies import Study

FIRST = annotated(
    ("a", 3), ("b", 3), ("c", 3), ("t", 2, {"use": "test"}), ("s", 2, {"use": "train"})
)
SECOND = annotated(
    ("n", 2, {"cohort": "1"}), ("a", 1, {"cohort": "1"}), ("t", 1, {"cohort": "1", "use": "test"}),
    ("s", 1, {"cohort": "1", "use": "train"}),
)  # fmt: skip
THIRD = annotated(("m", 2, {"cohort": "2"}), ("n", 1, {"cohort": "2"}))
STATED = {
    "normalise": {"pixel_size_nm": "keep"},
    "tile": {"size_px": 64, "stride_px": 32},
    "train": {"channels": [4, 8], "batch": 4, "epochs": 2, "jitter_px": 8}
    | {"loss": {"dice": 1.0}, "class_weights": "none"},
}


def study(*cells, kept=(), sha256=None, code=lambda script: script, **blocks):
    """A study of these rows whose raw files have their own paths as digests; nothing is planned."""
    rows = expanded([row for of in cells for row in of])
    paths = [path for path in (*rows["image"], *rows["mask"]) if path]
    stated = {step: {**STATED.get(step, {}), **blocks.pop(step, {})} for step in STATED}
    digests = {path: path for path in paths} | (sha256 or {})
    found = Study(rows, SHEET, config(**stated, **blocks), digests, code)
    return replace(found, kept={of.cohort: of for of in kept})


def on_disk(found):
    """What results/networks holds after a run of a study, and the lineage of its scores."""
    networks = ((seed, fold) for seed in found.seeds for fold in found.fold_names)
    return {of: found.lineage("train", *of) for of in networks}, found.lineage("summarise")


def kept_by(now, then):
    """What a study keeps of another that was run before it."""
    return due(now, *on_disk(then))


def grown(*cells, **others):
    """A study whose cohorts joined one by one, each run to the end."""
    kept, rows = [], []
    for of in cells:
        then = study(*rows, kept=kept, **others) if rows else None
        rows.append(of)
        now = study(*rows, kept=kept, **others)
        found = kept_by(now, then) if then else None
        kept += [found] if found else []
    return study(*rows, kept=kept, **others)


STUDIES = random_sheets().map(lambda sheet: study(sheet[0], **sheet[1]))
"""Studies of random sheets, with nothing kept."""
