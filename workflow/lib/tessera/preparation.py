"""From config and files on disk to a `Study`, or one list of everything that is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from tessera import folds, sheets
from tessera.channels import image_columns
from tessera.classes import DECLARED, ClassTable
from tessera.cohorts import Kept, due, joined
from tessera.digests import DigestCache, code_version
from tessera.files import read_table
from tessera.folders import is_store
from tessera.lineages import LineageBook
from tessera.methods import DTYPE, GROUP, Z_SCORE
from tessera.pixel_sizes import AUTO
from tessera.plans import BLOCKS, Plan, filled
from tessera.problems import BadInput, Problem, raise_if
from tessera.products import COHORT, SCORED, TRAINED
from tessera.quarantines import Cell, Quarantine
from tessera.recollections import keep, recall, recall_rows
from tessera.schemas import CONFIG, MICROGRAPHS, faults
from tessera.studies import WHOLE, Study

KEPT = Path(".snakemake/tessera")
DIGESTS = KEPT / "digests.tsv"
LINEAGES = KEPT / "lineages.tsv"
VERDICTS = KEPT / "verdicts.tsv"
FOLDS = "results/folds.tsv"
PLAN = "results/plan.yaml"
BEFORE = f"results/{COHORT}"
"""What was kept before a cohort joined: the same tree as in results/."""
NETWORK_FILE, _, LINEAGE = TRAINED
METRICS, SUMMARISED = SCORED
ALL = "all"


def prepared_for_job(config: dict[str, Any]) -> Study:
    """The study as the run was planned with it; prepared anew where the sheet has changed since."""
    return recall(config, plan_so_far(), KEPT) or prepared(config)


def keep_for_jobs(study: Study) -> None:
    """Leave a study where `prepared_for_job` finds it, and its lineages where `explain` does."""
    keep(study, KEPT)
    LineageBook(LINEAGES).keep(study)


def prepared(config: dict[str, Any]) -> Study:
    """Check the config, read the sheet, find and hash the raw files, place the groups.

    Parameters
    ----------
    config : dict
        As Snakemake has it.

    Raises
    ------
    BadInput
        With every fault of the config or the plan, or every bad row of the sheet.
    """
    plan = plan_so_far()
    _check_config(config, plan)
    rows, placed = recall_rows(config, KEPT) or (_rows(config), None)
    stops = config["ingest"]["on_bad_file"] == "stop"
    missing = _missing(rows)
    raise_if(problem for (_, column), problem in missing.items() if stops or column == "label")
    rows["label"] = _labels(rows)
    absent = {problem.path for problem in missing.values()}
    columns = (*image_columns(rows), "mask")
    paths = [path for column in columns for path in rows[column].tolist() if path]
    digests = DigestCache(DIGESTS)
    sha256 = digests.of([path for path in paths if path not in absent])
    missing |= _problems(rows, digests.unreadable)
    raise_if(missing.values() if stops else [])
    quarantine = Quarantine() if stops else _quarantine(rows, missing, sha256, digests, config)
    left = quarantine.left(rows)
    known = (config["sheet"], config, sha256, code_version, plan, placed)
    study = Study(left, *known, quarantine=quarantine)
    raise_if(_untrainable(study))
    if config["split"]["moved"] == "stop":
        _stop_if_moved(study)
    return _with_kept(study) if joined(rows) else study


def _rows(config: dict[str, Any]) -> pd.DataFrame:
    """The rows of the sheet, up to the cohort that the config asks for."""
    sheet, grouped = config["sheet"], config["split"]["group"] == "column"
    schema, channels = _schema(MICROGRAPHS), config["channels"]
    rows = sheets.expand(_cells(sheet), sheet, schema, grouped, channels)
    return _of_cohorts(rows, config["cohorts"], sheet)


def _schema(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def plan_so_far() -> Plan | None:
    """The plan, if it has been made; `BadInput` if it is damaged."""
    try:
        return Plan.parse(Path(PLAN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:  # UnicodeDecodeError is one too
        what = f"is damaged: {error}; mend it, or delete it to plan again"
        raise BadInput([Problem("plan", PLAN, what)]) from error


def _check_config(config: dict[str, Any], plan: Plan | None) -> None:
    if config.get("classes") is None:
        what = "none declared; say what stands for each class in your masks, see config/README.md"
        raise BadInput([Problem("config", "classes", what)])
    schema = _schema(CONFIG)
    raise_if(Problem("config", "schema", fault) for fault in faults(config, schema))
    try:
        ClassTable.from_config(**{key: config[key] for key in DECLARED})
    except ValueError as error:
        raise BadInput([Problem("config", "classes", str(error))]) from error
    raise_if(_side_of_tiles(config, plan))
    if plan is None:
        raise_if(Problem("config", "config", fault) for fault in _contradictions(config))
        return
    settled = config | {step: filled(step, config[step], plan.values) for step in BLOCKS}
    raise_if(Problem("plan", PLAN, fault) for fault in faults(settled, schema))
    if settled == config:
        raise_if(Problem("config", "config", fault) for fault in _contradictions(config))
    remedy = "mend either side, or delete the plan to plan again"
    raise_if(
        Problem("config", PLAN, f"with this plan, {fault}; {remedy}")
        for fault in _contradictions(settled)
    )


def _side_of_tiles(config: dict[str, Any], plan: Plan | None) -> Iterator[Problem]:
    """A side in nm that the plan was not made for, or that is stated twice."""
    size_px, size_nm = (config["tile"][key] for key in ("size_px", "size_nm"))
    if size_px != AUTO:
        if size_nm is not None:
            what = "tile: size_px and size_nm say the same thing twice; leave one of them out"
            yield Problem("config", "config", what)
    elif plan is not None and size_nm != plan.size_nm:
        made = "without one" if plan.size_nm is None else f"for {plan.size_nm:g} nm"
        stated = "gone" if size_nm is None else f"{size_nm:g} nm"
        what = f"tile.size_nm is {stated}, and this plan was made {made}; delete it to plan again"
        yield Problem("plan", PLAN, what)


def _contradictions(config: dict[str, Any]) -> Iterator[str]:
    """What no schema can say: values that are right alone and wrong together."""
    loss, n_classes = config["train"]["loss"], len(config["classes"])
    if loss != AUTO and not any(loss.values()):
        yield "train.loss: at least one weight must be above 0"
    if loss != AUTO and loss.get("bce", 0) > 0 and n_classes != 2:
        yield f"train.loss.bce: is for two classes, this study has {n_classes}"
    low, high = (config["normalise"][f"{end}_percentile"] for end in ("low", "high"))
    if low >= high:
        yield f"normalise: low_percentile {low} is not below high_percentile {high}"
    levels, method = config["normalise"]["levels"], config["normalise"]["method"]
    if levels != DTYPE and not levels[0] < levels[1]:
        yield f"normalise.levels: {levels[0]} is not below {levels[1]}"
    if config["normalise"]["by"] == GROUP and method != Z_SCORE:
        yield f"normalise.by: group is for method z-score; {method} looks at no other micrograph"
    channels = config["train"]["channels"]
    if channels == AUTO:
        return
    size_px, deepest = config["tile"]["size_px"], 2 ** (len(channels) - 1)
    if size_px != AUTO and size_px % deepest:
        yield f"tile.size_px: {size_px} is no multiple of the stride, {deepest}"


def _cells(sheet: str) -> pd.DataFrame:
    try:
        return pd.read_csv(sheet, sep="\t", dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise BadInput([Problem("sheet", sheet, "is missing")]) from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise BadInput([Problem("sheet", sheet, f"is no table: {error}")]) from error


def _of_cohorts(rows: pd.DataFrame, highest: int | str, sheet: str) -> pd.DataFrame:
    """The rows up to a cohort."""
    if highest == ALL:
        return rows
    first = rows["cohort"].min()
    if first > highest:
        what = f"no row is of cohort {highest} or before (cohorts: {highest}); the first is {first}"
        raise BadInput([Problem("sheet", sheet, what)])
    return rows[rows["cohort"] <= highest].reset_index(drop=True)


def _quarantine(
    rows: pd.DataFrame,
    missing: Mapping[Cell, Problem],
    sha256: Mapping[str, str],
    digests: DigestCache,
    config: dict[str, Any],
) -> Quarantine:
    """The rows whose files are missing, or refused by whoever would read them."""
    from tessera.verdicts import VerdictCache, refused

    reasons = {cell: problem.what for cell, problem in missing.items()}
    known = VerdictCache(VERDICTS, config)
    return Quarantine.from_rows(
        rows, reasons | refused(rows, sha256, config, known, digests.is_current)
    )


def _missing(rows: pd.DataFrame) -> dict[Cell, Problem]:
    """What is wrong with each cell whose file is not there."""
    containers = rows["label"].where(rows["label_key"] != "", "")
    problems: dict[Cell, Problem] = {}
    named = {column: rows[column] for column in (*image_columns(rows), "mask")}
    for column, paths in {**named, "label": containers}.items():
        absent = {path for path in paths.unique() if path and not _is_there(path)}
        what = f"this {column} is missing"
        problems |= _problems(rows, dict.fromkeys(absent, what), column)
    return problems


def _problems(rows: pd.DataFrame, faults: Mapping[str, str], *columns: str) -> dict[Cell, Problem]:
    """What is wrong with each cell, from what is wrong with files by their path."""
    problems: dict[Cell, Problem] = {}
    for column in columns or (*image_columns(rows), "mask"):
        bad = rows[rows[column].isin(faults.keys())] if faults else rows[:0]
        for name, path in zip(bad["micrograph"], bad[column], strict=True):
            problems[name, column] = Problem(name, path, faults[path])
    return problems


def _is_there(path: str) -> bool:
    return os.path.isfile(path) or is_store(path)  # noqa: PTH113 - as in `digests`


def _labels(rows: pd.DataFrame) -> pd.Series:
    """Labels as text, those of `file.npz::key` taken out of their container by frame."""
    labels = rows["label"].copy()
    problems = []
    held = rows[rows["label_key"] != ""]
    if held.empty:
        return labels
    # Here and not above: reading costs every cluster job half a second that few studies need.
    from tessera.readers import UnreadableFile, read_labels

    for (path, key), of in held.groupby(["label", "label_key"]):
        try:
            known = dict(enumerate(read_labels(path, key)))
        except UnreadableFile as error:
            problems.append(Problem(of["micrograph"].iloc[0], path, str(error)))
            continue
        without = of[~of["frame"].isin(known)]
        what = f"{key} holds {len(known)} labels, none for this frame"
        problems += [Problem(name, path, what) for name in without["micrograph"]]
        labels[of.index] = of["frame"].map(known)
    raise_if(problems)
    return labels


def _untrainable(study: Study) -> Iterator[Problem]:
    """Folds whose networks would have nothing to learn from."""
    for fold in study.fold_names or [WHOLE]:
        if not study.training_shards(fold):
            what = "no row with a mask that is not `use: test`: there is nothing to learn from"
            if study.quarantine.reasons:
                what = f"fold {fold}: {what}, but for what is in quarantine"
                yield from study.quarantine.problems
            yield Problem("train", study.sheet, what)


def _stop_if_moved(study: Study) -> None:
    """Hold the folds against those of the last run.

    A damaged table of folds is an error too: it is the one record of what was held out.
    """
    if not Path(FOLDS).is_file():
        return
    try:
        placed = read_table(FOLDS).query("fold != ''").set_index("group")["fold"].astype(int)
    except (KeyError, NameError, ValueError) as error:
        raise BadInput([Problem("folds", FOLDS, f"is damaged: {error}")]) from error
    remedy = (
        "give its new rows a later cohort, or freeze the folds with `make freeze-folds SHEET=... "
    )
    remedy += "DIRECTORY=...` (or accept the move: split: {moved: allow})"
    raise_if(
        Problem(group, FOLDS, f"would move {move}; {remedy}")
        for group, move in folds.moved(placed, study.folds)
    )


def _with_kept(study: Study) -> Study:
    """The study with the networks from before its cohorts: those kept, and those that will be."""
    kept = {of.cohort: of for of in _kept_so_far() if of.cohort <= max(joined(study.rows))}
    study = replace(study, kept=kept)
    trained = {
        (seed, fold): _text(f"results/{LINEAGE.format(seed=seed, fold=fold)}")
        for seed, fold in study.networks
        if Path(f"results/{NETWORK_FILE.format(seed=seed, fold=fold)}").is_file()
    }
    now = due(study, trained, _text(f"results/{SUMMARISED}"))
    if now is None:
        return study
    return study.of(study.rows, {**kept, now.cohort: now}, study.quarantine)


def _kept_so_far() -> Iterator[Kept]:
    """The networks kept before each cohort; of those that lack a file nothing is known."""
    for table in Path(BEFORE).parent.glob("cohort-*/networks.tsv"):
        folder = table.parent
        try:
            cohort = int(folder.name.removeprefix("cohort-"))
            rows = pd.read_csv(table, sep="\t", dtype=str)
            networks = {(row.seed, row.fold): row.lineage for row in rows.itertuples()}
            groups = read_table(folder / "folds.tsv")
            cells = zip(groups["group"], groups["use"], groups["fold"], strict=True)
            placed = {group: (use, fold) for group, use, fold in cells}
        except (OSError, AttributeError, KeyError, ValueError) as error:
            what = f"is damaged: {error}; restore it, or move {folder} away to do without"
            raise BadInput([Problem("kept networks", str(table), what)]) from error
        files = (NETWORK_FILE.format(seed=seed, fold=fold) for seed, fold in networks)
        if all((folder / name).is_file() for name in files):
            scored = _text(folder / SUMMARISED) if (folder / METRICS).is_file() else ""
            yield Kept(cohort, networks, placed, scored, rows["outlook"].iloc[0])


def kept_now(study: Study) -> Kept | None:
    """What a run of this study has to keep: not on disk yet, or not whole."""
    return next((of for of in study.kept.values() if not _is_kept(of)), None)


def _is_kept(kept: Kept) -> bool:
    folder = Path(BEFORE.format(cohort=kept.cohort))
    networks = (NETWORK_FILE.format(seed=seed, fold=fold) for seed, fold in kept.networks)
    return all((folder / name).is_file() for name in ("networks.tsv", "folds.tsv", *networks))


def _text(path: str | Path) -> str:
    """The text of a file, empty where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
