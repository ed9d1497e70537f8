"""Audit the folds, and write them down, before anything is trained."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from tessera.files import open_page, read_table, write_table, written_atomically
from tessera.leaks import (
    PICTURES,
    Pair,
    audited,
    duplicates,
    missing_classes,
    overlaps,
    picture_of,
    problems_of,
    table_of,
)
from tessera.logs import LOG, logged_to
from tessera.overlaps import LARGER, posed
from tessera.panels import panel_shape, side_by_side
from tessera.problems import raise_if
from tessera.reduction import area_mean

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

PICTURE_PX = 600
MOST_PICTURES = 200
HELD_PAGES = 64


@dataclass(frozen=True)
class Shard:
    """A shard's placement (shard, group, use, fold), and the paths of its products."""

    placement: Mapping[str, Any]
    table: str
    pages: str
    landmarks: str
    tiles: str


def main(
    shards: Sequence[Shard],
    classes: Sequence[str],
    allowed: Collection[str],
    folds: str,
    leaks: str,
    pictures: str = PICTURES,
) -> None:
    """Write the table of folds, one row a group, and that of leaks, one row a pair.

    Parameters
    ----------
    shards : sequence of Shard
    classes : sequence of str
    allowed : collection of str
        What does not stop the run: duplicates, overlaps.
    folds, leaks : str
        Paths of the tables.
    pictures : str
        Folder of the pictures of pairs, which are written even if the run is stopped; those of
        pairs that are no more are removed.

    Raises
    ------
    BadInput
        With every group in two folds, every class missing from the training of a fold, and, unless
        they are allowed, every pair of micrographs in different groups that show the same.
    """
    micrographs = _placed(shards, [read_table(shard.table) for shard in shards])
    cut = _placed(shards, [pd.read_parquet(shard.tiles) for shard in shards])
    pairs, page_of = _pairs(shards, micrographs)
    found = table_of(pairs, micrographs)
    _draw(pairs, micrographs, page_of, Path(pictures))
    problems = problems_of(found, allowed)
    for told in problems_of(found, ()):
        LOG.info("%s", told)
    table = audited(micrographs, cut, classes)
    raise_if([*missing_classes(cut, classes), *problems])
    write_table(folds, table)
    write_table(leaks, found)
    LOG.info("%d groups audited, %d pairs across groups", len(table), len(found))


def _placed(shards: Sequence[Shard], tables: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ("shard", "group", "use", "fold")
    placed = [
        table.assign(**{column: shard.placement[column] for column in columns})
        for shard, table in zip(shards, tables, strict=True)
    ]
    return pd.concat(placed, ignore_index=True)


def _pairs(
    shards: Sequence[Shard], micrographs: pd.DataFrame
) -> tuple[list[Pair], Callable[[int], tuple[np.ndarray, float]]]:
    """Pairs across groups, and how to get the pages that show them."""
    where = [(shard.pages, page) for shard in shards for page in _of_shard(micrographs, shard)]

    @lru_cache(maxsize=HELD_PAGES)
    def page_of(micrograph: int) -> tuple[np.ndarray, float]:
        page = open_page(*where[micrograph])
        reduced = area_mean(page, panel_shape(page.shape, LARGER))
        return reduced, max(page.shape) / max(reduced.shape)

    marks, known = [], 0
    for shard in shards:
        of, pages = pd.read_parquet(shard.landmarks), _of_shard(micrographs, shard)
        numbers = {page: number for number, page in enumerate(pages, known)}
        marks.append(of.assign(micrograph=of.pop("page").map(numbers)))
        known += len(pages)
    found = duplicates(micrographs)
    marked = pd.concat(marks, ignore_index=True)
    found += overlaps(micrographs, marked, page_of, found)
    return found, page_of


def _of_shard(micrographs: pd.DataFrame, shard: Shard) -> list[int]:
    return micrographs.loc[micrographs["shard"] == shard.placement["shard"], "page"].tolist()


def _draw(
    pairs: Sequence[Pair],
    micrographs: pd.DataFrame,
    page_of: Callable[[int], tuple[np.ndarray, float]],
    folder: Path,
) -> None:
    """A picture of each pair, the first `MOST_PICTURES` of them; any other in the folder goes."""
    names = micrographs["micrograph"].tolist()
    drawn = {folder / picture_of(names[pair.first], names[pair.second]): pair for pair in pairs}
    for path in set(folder.glob("*.png")) - set(drawn):
        path.unlink()
    for path, pair in list(drawn.items())[:MOST_PICTURES]:
        first, second = page_of(pair.first)[0], posed(page_of(pair.second)[0], pair.lie.turn)
        picture = side_by_side((first, second), (pair.lie.first, pair.lie.second), PICTURE_PX)
        with written_atomically(path) as temporary:
            Image.fromarray(picture).save(temporary, "png")
    if not drawn and folder.is_dir():
        folder.rmdir()


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        paths = zip(
            snakemake.params.shards,
            snakemake.input.tables,
            snakemake.input.pages,
            snakemake.input.landmarks,
            snakemake.input.tiles,
            strict=True,
        )
        main(
            [Shard(*of) for of in paths],
            [name for name, _ in snakemake.params.classes],
            [key for key in ("duplicates", "overlaps") if snakemake.params[key] == "allow"],
            snakemake.output.folds,
            snakemake.output.leaks,
        )
