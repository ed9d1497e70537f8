"""All scores made again from predicted masks and annotations, by other means than the workflow's.

Pixels are counted with scikit-learn's confusion matrix, sums and ratios are pandas', the intervals
are drawn again from the recorded seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from verification.pages import Page, band_rows, n_pages
from verification.records import Fault, Results, Unreadable, read_table

IGNORED = 255
SCORES = ["iou", "dice", "precision", "recall"]
COUNTS = ["tp", "fp", "fn"]
BOUNDS = [f"{score}_{end}" for score in SCORES for end in ("low", "high")]
KEYS = ["use", "cohort", "method", "level", "group", "micrograph", "class"]
TOLERANCE = {"rtol": 1e-9, "atol": 1e-12, "equal_nan": True}
"""Scores are kept with twelve digits."""


def counts_of(results: Results, shard: str, classes: list[str], within: str = "") -> pd.DataFrame:
    """Counts of each micrograph, method and class of a shard that is predicted in a folder."""
    tables = []
    predicted = f"{within}predictions/{shard}"
    # Of several channels, a page each, thresholds look at the first.
    pages, masks = (n_pages(results.folder, f"{of}/{shard}.tif") for of in ("normalised", "masks"))
    n_channels = pages // max(1, masks)
    for row in read_table(results.folder, f"masks/{shard}.tsv").itertuples(index=False):
        if within and f"{predicted}/{row.micrograph}.mask.tif" not in results.sha256:
            continue  # of another cohort
        true = Page(results.folder, f"masks/{shard}.tif", int(row.page))
        first = int(row.page) * n_channels
        for method, mask in _predicted(results, shard, row, len(classes), predicted, first):
            counted = _counted(true, mask, classes, f"{predicted}/{row.micrograph}")
            tables.append(counted.assign(micrograph=row.micrograph, method=method))
    return pd.concat(tables, ignore_index=True)


def _predicted(
    results: Results, shard: str, row: Any, n_classes: int, folder: str, first_page: int
) -> Iterator[tuple[str, Page | Side]]:
    stem = f"{folder}/{row.micrograph}.mask"
    yield "network", Page(results.folder, f"{stem}.tif", 0)
    for path in results.folders[f"{folder}/"]:
        if path.startswith(f"{stem}.seed-"):
            yield path.removeprefix(f"{stem}.").removesuffix(".tif"), Page(results.folder, path, 0)
    if n_classes == 2:
        page = Page(results.folder, f"normalised/{shard}.tif", first_page)
        centres = Centres(page, (int(row.rows), int(row.columns)))
        threshold = _threshold(centres)
        yield "otsu-bright", Side(centres, threshold, True)
        yield "otsu-dark", Side(centres, threshold, False)


class Centres:
    """A page at the centres of an annotation's pixels, where both are held against each other."""

    def __init__(self, page: Page, shape: tuple[int, int]) -> None:
        self._page, self.shape = page, shape
        self._at = [
            np.floor((np.arange(to) + 0.5) * size / to).astype(int)
            for size, to in zip(page.shape, shape, strict=True)
        ]

    def rows(self, top: int, end: int) -> np.ndarray:
        """The rows from one to before another."""
        down, across = self._at[0][top:end], self._at[1]
        return self._page.rows(down[0], down[-1] + 1)[down - down[0]][:, across]


class Side(NamedTuple):
    """A mask of what is brighter than a threshold, or of the rest."""

    of: Centres
    threshold: float
    is_bright: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.of.shape

    def rows(self, top: int, end: int) -> np.ndarray:
        """The rows from one to before another."""
        return ((self.of.rows(top, end) > self.threshold) == self.is_bright).astype(np.uint8)


def _threshold(page: Centres) -> float:
    """Otsu's, of the histogram that scikit-image makes of a whole page."""
    from skimage.filters import threshold_otsu

    ends = [(band.min(), band.max()) for band in _bands(page)]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    if low == high:
        return low
    edges = np.histogram_bin_edges(np.array([low, high]), 256)
    counts = sum(np.histogram(band, 256, (low, high))[0] for band in _bands(page))
    return threshold_otsu(hist=(counts, (edges[1:] + edges[:-1]) / 2))


def _bands(page: Page | Centres) -> Iterator[np.ndarray]:
    step = band_rows(page.shape[1])
    for top in range(0, page.shape[0], step):
        yield page.rows(top, min(top + step, page.shape[0]))


def _counted(true: Page, mask: Page | Side, classes: list[str], path: str) -> pd.DataFrame:
    if true.shape != mask.shape:
        raise Unreadable(f"{path}.mask.tif", f"is {mask.shape}, its annotation {true.shape}")
    codes = range(len(classes))
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    step = band_rows(true.shape[1])
    for top in range(0, true.shape[0], step):
        end = min(top + step, true.shape[0])
        one, other = true.rows(top, end).ravel(), mask.rows(top, end).ravel()
        valid = one != IGNORED
        if not valid.any():
            continue
        if max(one[valid].max(), other[valid].max()) >= len(classes):
            raise Unreadable(f"{path}.mask.tif", "holds a code that is no class")
        matrix += confusion_matrix(one[valid], other[valid], labels=codes)
    hits = matrix.diagonal()
    return pd.DataFrame(
        {
            "class": classes,
            "tp": hits,
            "fp": matrix.sum(axis=0) - hits,
            "fn": matrix.sum(axis=1) - hits,
        }
    )


def evaluations_hold(results: Results) -> Iterator[Fault | pd.DataFrame]:
    """Faults of the counts of every shard, and the counts made again, of their use and group."""
    places = [(shard, "") for shard in results.shards_of("evaluate")]
    for test in results.shards_of("assess"):
        cohort, shard = test.split("/")
        places.append((shard, cohort))
    classes = [name for name, _ in results.settings("evaluate")["classes"]]
    keys = ["micrograph", "method", "class"]
    for shard, cohort in places:
        within = f"prospective/cohort-{cohort}/" if cohort else ""
        path = f"{within}evaluation/{shard}.parquet"
        try:
            counts = counts_of(results, shard, classes, within)
            said = pd.read_parquet(results.folder / path)[[*keys, *COUNTS]]
        except Unreadable as error:
            yield error.args
            continue
        except Exception as error:  # damaged parquet
            yield path, f"cannot be read: {error}"
            continue
        yield from _differences(path, said.set_index(keys), counts.set_index(keys)[COUNTS])
        rows = results.raw.loc["raw/mask/" + counts["micrograph"]]
        use = "prospective" if cohort else rows["use"].to_numpy()
        yield counts.assign(group=rows["group"].to_numpy(), use=use, cohort=cohort)


def by_cohort(results: Results, counts: pd.DataFrame) -> pd.DataFrame:
    """The counts by networks of now once more, cohort by cohort, where several are labelled."""
    now = counts[counts["cohort"] == ""]
    cohorts = results.raw.loc["raw/mask/" + now["micrograph"], "cohort"].to_numpy()
    if len(set(cohorts)) < 2:
        return counts
    return pd.concat([counts, now.assign(use="cohort", cohort=cohorts)], ignore_index=True)


def metrics_hold(results: Results, counts: list[pd.DataFrame]) -> Iterator[Fault]:
    """Every row and every level of metrics.tsv is what the counts give."""
    said = read_table(results.folder, "metrics.tsv")
    numbers = [name for name in said if name not in KEYS]
    said[numbers] = said[numbers].apply(pd.to_numeric, errors="coerce")
    block = results.settings("summarise")
    counted = by_cohort(results, pd.concat(counts, ignore_index=True))
    again = summed_up(counted, block["seed"], block["draws"])
    columns = [*COUNTS, *SCORES, *BOUNDS]
    missing = [name for name in columns if name not in said]
    if missing:
        yield "metrics.tsv", f"has no column {', '.join(missing)}"
        return
    yield from _differences("metrics.tsv", said.set_index(KEYS)[columns], again.set_index(KEYS))


def _differences(path: str, said: pd.DataFrame, again: pd.DataFrame) -> Iterator[Fault]:
    if said.index.has_duplicates:
        yield path, f"{_row(said.index[said.index.duplicated()][0])}: is there twice"
        return
    for row in said.index.difference(again.index, sort=False):
        yield path, f"{_row(row)}: is not among what was recomputed"
    for row in again.index.difference(said.index, sort=False):
        yield path, f"{_row(row)}: is missing"
    both = said.index.intersection(again.index, sort=False)
    here, there = said.loc[both], again.loc[both, said.columns]
    equal = np.isclose(here.to_numpy(float), there.to_numpy(float), **TOLERANCE)
    for row, column in zip(*np.nonzero(~equal), strict=True):
        values = f"{here.iat[row, column]:.12g}, recomputed {there.iat[row, column]:.12g}"
        yield path, f"{_row(both[row])}: {said.columns[column]} {values}"


def _row(key: tuple[Any, ...]) -> str:
    return ", ".join(str(part) for part in key if part != "")


def summed_up(counts: pd.DataFrame, seed: int, draws: int) -> pd.DataFrame:
    """The scores of all levels, from counts of micrographs."""
    counts = _one_threshold(counts)
    by = ["use", "cohort", "method"]
    together = counts.groupby([*by, "group", "micrograph"], sort=False)[COUNTS].sum()
    counts = pd.concat([counts, together.reset_index().assign(**{"class": "all"})])
    levels = []
    for level, keys in (
        ("micrograph", ["group", "micrograph"]),
        ("group", ["group"]),
        ("pooled", []),
    ):
        summed = counts.groupby([*by, *keys, "class"], sort=False)[COUNTS].sum()
        levels.append(_scored(summed.reset_index()).assign(level=level))
    groups = levels[1]
    by.append("class")
    means = [
        {**dict(zip(by, keys, strict=True)), **_mean(of, seed, draws)}
        for keys, of in groups.groupby(by, sort=False)
    ]
    table = pd.concat([*levels, pd.DataFrame(means).assign(level="mean over groups")])
    table = table.reindex(columns=[*KEYS, *COUNTS, *SCORES, *BOUNDS])
    return table.fillna({"group": "", "micrograph": ""})


def _one_threshold(counts: pd.DataFrame) -> pd.DataFrame:
    """Of Otsu's two sides the one that finds the second class better, called otsu."""
    of_all = counts[(counts["class"] == counts["class"].iloc[-1]) & (counts["cohort"] == "")]
    objects = of_all.groupby("method")[COUNTS].sum()
    iou = objects["tp"] / objects.sum(axis=1)
    if "otsu-bright" not in iou:
        return counts
    better = "otsu-bright" if iou["otsu-bright"] >= iou["otsu-dark"] else "otsu-dark"
    kept = counts[~counts["method"].isin({"otsu-bright", "otsu-dark"} - {better})]
    return kept.replace({"method": {better: "otsu"}})


def _scored(counts: pd.DataFrame) -> pd.DataFrame:
    tp, fp, fn = (counts[name].to_numpy(float) for name in COUNTS)
    with np.errstate(invalid="ignore", divide="ignore"):
        return counts.assign(
            iou=tp / (tp + fp + fn),
            dice=2 * tp / (2 * tp + fp + fn),
            precision=tp / (tp + fp),
            recall=tp / (tp + fn),
        )


def _mean(groups: pd.DataFrame, seed: int, draws: int) -> dict[str, float]:
    found = {}
    for score in SCORES:
        values = groups[score].dropna().to_numpy()
        found[score] = values.mean() if len(values) else np.nan
        low, high = np.nan, np.nan
        if len(values) > 1:
            chosen = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
            low, high = np.percentile(values[chosen].mean(axis=1), [2.5, 97.5])
        found |= {f"{score}_low": low, f"{score}_high": high}
    return found
