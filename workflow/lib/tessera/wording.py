"""What the report says in words: how the validation was made, what was run, numbers with units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tessera.methods import CLAHE, DIVIDE, DTYPE, GROUP, NONE, POLYNOMIAL
from tessera.pixel_sizes import odd_sizes
from tessera.plans import BLOCKS, OPEN, STATED, Plan, reasons

NANOMETRES_PER_MICROMETRE = 1000
USES = ("cv", "test")
SPACE = "\u202f"
"""Between the digits of a number and before its unit; a line does not break there."""

UNGROUPED = (
    "The validation is NOT grouped.",
    "Every micrograph was its own group (split: group: none), so micrographs of one specimen may "
    "lie in training and in testing. The scores then say how well the networks do on more of the "
    "same; for a new specimen expect less.",
)
NOTHING_HELD_OUT = (
    "Nothing was held out.",
    "All annotated micrographs were used for training, so this report holds no score.",
)
ALLOWED = {
    "duplicates": (
        "Near-identical micrographs were allowed in different groups.",
        "The setting is split: duplicates: allow. results/leaks.tsv names the pairs found, if any.",
    ),
    "overlaps": (
        "Micrographs that show partly the same area were allowed in different groups.",
        "The setting is split: overlaps: allow. results/leaks.tsv names the pairs found, if any.",
    ),
}
MISTAKEN = "Is a unit mistaken in a file? The sheet's pixel_size_nm wins over it."
NAMED = 5
MEND = "Mend the file, or name another in the sheet, and run again: what is mended joins."
OUT_OF_FOLD = "Each micrograph was predicted by networks that have learnt nothing from its group."


def validation(
    folds: pd.DataFrame, split: Mapping[str, Any], seeds: int
) -> list[tuple[bool, str, str]]:
    """How the scores came about, as (loud, headline, explanation); the first is the first line.

    Parameters
    ----------
    folds : DataFrame
        group, use, fold, one row a group.
    split : mapping
        Settings of the rule `split`.
    seeds : int
        Networks a fold.

    Raises
    ------
    ValueError
        If a group has more than one row, which means that it lies in more than one fold.
    """
    doubled = folds.loc[folds["group"].duplicated(), "group"]
    if not doubled.empty:
        raise ValueError(f"group {doubled.iloc[0]} has several rows in the table of folds")
    grouped = split["group"] != "none"
    lines = [] if grouped else [(True, *UNGROUPED)]
    lines += _tested(folds, "group" if grouped else "micrograph", seeds)
    return lines + [(True, *said) for key, said in ALLOWED.items() if split[key] == "allow"]


def _tested(folds: pd.DataFrame, noun: str, seeds: int) -> list[tuple[bool, str, str]]:
    n_folds = folds.loc[folds["use"] == "cv", "fold"].nunique()
    n_groups, n_tests = (int((folds["use"] == use).sum()) for use in USES)
    lines = []
    if n_folds:
        why = OUT_OF_FOLD if noun == "group" else ""
        where = f"{several(n_folds, 'fold')} over {several(n_groups, noun)}, none in two folds."
        lines.append((False, where, why))
    if n_tests:
        held = f"{several(n_tests, noun)} held out of every training, for testing only."
        lines.append((False, held, "Predicted by the mean of all networks."))
    if n_tests and not n_folds:
        one = "One network" if seeds == 1 else f"{seeds} networks that differ in their seed"
        lines = [(False, f"{one}, tested on held-out {noun}s only.", several(n_tests, noun))]
    return lines or [(True, *NOTHING_HELD_OUT)]


def facts(
    folds: pd.DataFrame,
    micrographs: pd.DataFrame,
    networks: Sequence[tuple[str, str]],
    left_out: pd.DataFrame,
) -> list[tuple[str, str]]:
    """(number, of what) for the head of the page.

    Parameters
    ----------
    folds : DataFrame
        One row an annotated group.
    micrographs : DataFrame
        Those predicted: annotated, group, pixel_size_nm.
    networks : sequence of (seed, fold)
    left_out : DataFrame
        micrograph, one row a file in quarantine.
    """
    unlabelled = micrographs[~micrographs["annotated"]]
    groups = set(folds["group"]) | set(micrographs["group"])
    seeds, trained = (len({pair[i] for pair in networks}) for i in range(2))
    made = f"{several(trained, 'fold')} × {several(seeds, 'seed')}"
    quarantined = left_out["micrograph"].nunique()
    return [
        *([(number(quarantined), "micrographs in quarantine")] if quarantined else []),
        (number(folds["micrographs"].sum()), "labelled micrographs"),
        (number(len(unlabelled)), "unlabelled micrographs"),
        (number(len(groups)), "groups"),
        (number(len(networks)), f"networks ({made})" if trained > 1 else "networks"),
        (pixel_sizes(micrographs["pixel_size_nm"]), "pixel size"),
    ]


def calibration(micrographs: pd.DataFrame) -> list[tuple[bool, str, str]]:
    """Lines for the head of the page, as `validation` gives them: pixel sizes hard to believe.

    Parameters
    ----------
    micrographs : DataFrame
        micrograph, group, pixel_size_nm.
    """
    odd = list(odd_sizes(micrographs))
    if not odd:
        return []
    named = [f"{name} ({size:.4g}{SPACE}nm, its group {of:.4g})" for name, size, of in odd]
    return [(True, f"Pixel sizes to look at: {_first_of(named)}.", MISTAKEN)]


def quarantine(files: pd.DataFrame, folds: pd.DataFrame) -> list[tuple[bool, str, str]]:
    """Lines for the head of the page, as `validation` gives them: what is left out of the study.

    Parameters
    ----------
    files : DataFrame
        One row a file that is refused: micrograph, group, use, fold.
    folds : DataFrame
        group, fold: of the groups of which there is something left.
    """
    labelled = files[files["use"] != ""]
    counts = [files["micrograph"].nunique(), labelled["micrograph"].nunique()]
    if not counts[0]:
        return []
    left_out = f"{several(counts[0], 'micrograph')} left out, in quarantine: {counts[1]} labelled."
    lines = [(True, left_out, MEND)]
    gone = sorted(set(labelled["group"]) - set(folds["group"]))
    if gone:
        headline = f"Of {several(len(gone), 'group')} nothing labelled is left: {_first_of(gone)}."
        lines.append((True, headline, "No network has learnt from it, and none is tested on it."))
    empty = sorted(set(labelled["fold"]) - set(folds["fold"]) - {""})
    if empty:
        which = f"fold {empty[0]}" if len(empty) == 1 else f"folds {', '.join(empty)}"
        headline = f"Nothing is tested in {which}: all that is held out there is in quarantine."
        lines.append((True, headline, "The scores are those of the other folds."))
    return lines


def pixel_sizes(sizes_nm: pd.Series) -> str:
    """The range of pixel sizes in words; NaN is unknown."""
    known = sizes_nm.dropna()
    if known.empty:
        return "unknown"
    low, high = f"{known.min():.4g}", f"{known.max():.4g}"
    span = low if low == high else f"{low}–{high}"
    missing = len(sizes_nm) - len(known)
    return f"{span}{SPACE}nm" + (f", unknown for {missing}" if missing else "")


def normalisation(settings: Mapping[str, Any]) -> str:
    """How grey levels were normalised, in sentences.

    Parameters
    ----------
    settings : mapping
        Of the rule `normalise`.
    """
    said = [_flattening(settings["flatten"])] if "flatten" in settings else []
    method = settings["method"]
    if method == NONE:
        levels = settings["levels"]
        of = "of their type" if levels == DTYPE else f"from {levels[0]:g} to {levels[1]:g}"
        what = f"Grey levels were brought from the range {of} to mean 0 and standard deviation 1 of"
        floats = "; those of floats were left alone" if levels == DTYPE else ""
        said.append(f"{what} an even filling of it, whatever a micrograph holds{floats}.")
        return " ".join(said)
    low, high = (settings[f"{end}_percentile"] for end in ("low", "high"))
    whose = "its group's reference micrographs" if settings.get("by") == GROUP else "its own pixels"
    said.append(f"Each micrograph was clipped at percentiles {low:g} and {high:g} of {whose},")
    if method == CLAHE:
        clahe = settings["clahe"]
        regions = _length(clahe, "kernel", "its sides")
        said.append(
            f"equalised locally (CLAHE, regions of {regions}, clip limit {clahe['clip_limit']:g}),"
        )
    said.append(f"and brought to mean 0 and standard deviation 1 of {whose}.")
    return " ".join(said)


def _flattening(flatten: Mapping[str, Any]) -> str:
    how = "divided by" if flatten["by"] == DIVIDE else "freed by subtraction from"
    if flatten["surface"] == POLYNOMIAL:
        surface = f"a polynomial of degree {flatten['degree']} fitted to it"
    else:
        sigma = _length(flatten, "sigma", "its shorter side")
        surface = f"itself under a Gaussian with a sigma of {sigma}"
    return f"Each micrograph was {how} its illumination, {surface}; its mean was kept."


def _length(said: Mapping[str, Any], name: str, of: str) -> str:
    """A length as it was stated, in nm or as a share of sides."""
    if f"{name}_nm" in said:
        return f"{said[f'{name}_nm']:g}{SPACE}nm"
    return f"{said[f'{name}_share']:g} of {of}"


def settings_of(block: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(key, value) of a block of the config in words, by key; the classes are said elsewhere.

    Examples
    --------
    >>> settings_of({"batch": 16, "loss": {"dice": 1.0, "bce": 0.0}})
    [('batch', '16'), ('loss', 'bce 0, dice 1')]
    """
    return [(key, _said(value)) for key, value in sorted(block.items()) if key != "classes"]


def planned(plan: str, study: Mapping[str, Mapping[str, Any]]) -> list[dict[str, str]]:
    """Every value that a plan settles: step, key, value and reason.

    Parameters
    ----------
    plan : str
        Text of the plan's file, empty where a study has none.
    study : mapping
        Settings by step, as they were used. One that is not the plan's is the config's.
    """
    if not plan:
        return []
    values, why = Plan.parse(plan).values, reasons(plan)
    return [
        {
            "step": step,
            "key": key,
            "value": _said(study[step][key]),
            "reason": why.get((step, key), "") if study[step][key] == values[key] else STATED,
        }
        for step in BLOCKS
        for key in OPEN[step]
        if key in study.get(step, {})
    ]


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_said(part)}" for key, part in sorted(value.items()))
    if isinstance(value, list | tuple):
        return ", ".join(_said(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _first_of(names: Sequence[str]) -> str:
    """Names in words, the first of many."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def several(count: int, noun: str) -> str:
    """A count and its noun.

    Examples
    --------
    >>> several(1, "fold"), several(3, "fold")
    ('1 fold', '3 folds')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def number(value: float) -> str:
    """A whole number, its digits in threes."""
    return f"{int(value):,}".replace(",", SPACE)


def decimals(value: float | None, digits: int = 3) -> str:
    """A score, or an en dash where there is none."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def area(area_nm2: float) -> str:
    """An area in nm², or µm² where that is shorter; an en dash where the pixel size is unknown."""
    if not np.isfinite(area_nm2):
        return "–"
    if area_nm2 >= NANOMETRES_PER_MICROMETRE**2:
        return f"{area_nm2 / NANOMETRES_PER_MICROMETRE**2:.3g}{SPACE}µm²"
    return f"{area_nm2:.0f}{SPACE}nm²" if area_nm2 >= 100 else f"{area_nm2:.3g}{SPACE}nm²"
