"""Count, for every micrograph of a shard, the pixels that each method gets right and wrong."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from tessera.channels import n_pages
from tessera.files import open_page, open_pages, read_table, written_atomically
from tessera.grids import nearest
from tessera.logs import LOG, logged_to
from tessera.metrics import class_counts, confusion
from tessera.strips import Page
from tessera.thresholds import otsu_masks

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


@dataclass(frozen=True)
class Shard:
    """Paths of a shard's products."""

    predictions: str
    masks: str
    table: str
    normalised: str


def main(
    shard: Shard,
    classes: Sequence[str],
    output: str,
    micrographs: Sequence[str] | None = None,
    n_channels: int = 1,
) -> None:
    """Write counts by micrograph, method and class to `output`; of all micrographs by default.

    Thresholds look at the first channel of a micrograph.
    """
    known = read_table(shard.table)
    counted = []
    for mask_true, row in zip(open_pages(shard.masks), known.itertuples(), strict=True):
        if micrographs is not None and row.micrograph not in micrographs:
            continue
        first = int(row.page) * n_channels
        page, folder = open_page(shard.normalised, first), Path(shard.predictions)
        if page.shape != mask_true.shape:
            page = nearest(page, mask_true.shape)
        for method, mask_pred in _methods(folder, row.micrograph, page, len(classes)):
            counts = class_counts(confusion(mask_true, mask_pred, len(classes)))
            counted.append(counts.assign(micrograph=row.micrograph, method=method))
    counts = pd.concat(counted, ignore_index=True)
    counts["class"] = counts["code"].map(dict(enumerate(classes)))
    with written_atomically(output) as temporary:
        counts.drop(columns="code").to_parquet(temporary, index=False)
    LOG.info("%d micrographs scored", counts["micrograph"].nunique())


def _methods(
    folder: Path, micrograph: str, page: Page, n_classes: int
) -> Iterator[tuple[str, Page]]:
    """Every predicted mask of a micrograph: the network's, each seed's, and the thresholds'."""
    yield "network", open_page(folder / f"{micrograph}.mask.tif", 0)
    for path in sorted(folder.glob(f"{micrograph}.mask.seed-*.tif")):
        yield path.name.split(".")[-2], open_page(path, 0)
    if n_classes == 2:
        yield from otsu_masks(page)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        names = ("predictions", "masks", "table", "normalised")
        main(
            Shard(*(snakemake.input[name] for name in names)),
            [name for name, _ in snakemake.params.classes],
            snakemake.output[0],
            snakemake.params.micrographs,
            n_pages(snakemake.params.get("inputs")),
        )
