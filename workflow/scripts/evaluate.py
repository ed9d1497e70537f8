"""Count, for every micrograph of a shard, the pixels that each method gets right and wrong."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from tessera.files import map_page, read_page, read_pages, read_table, written_atomically
from tessera.logs import LOG, logged_to
from tessera.metrics import class_counts, confusion
from tessera.thresholds import otsu_masks

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def main(
    predictions: str, masks: str, table: str, normalised: str, classes: Sequence[str], output: str
) -> None:
    """Write counts by micrograph, method and class to `output`."""
    known = read_table(table)
    counted = []
    for mask_true, row in zip(read_pages(masks), known.itertuples(), strict=True):
        page = map_page(normalised, row.page)
        for method, mask_pred in _methods(Path(predictions), row.micrograph, page, len(classes)):
            counts = class_counts(confusion(mask_true, mask_pred, len(classes)))
            counted.append(counts.assign(micrograph=row.micrograph, method=method))
    counts = pd.concat(counted, ignore_index=True)
    counts["class"] = counts["code"].map(dict(enumerate(classes)))
    with written_atomically(output) as temporary:
        counts.drop(columns="code").to_parquet(temporary, index=False)
    LOG.info("%d micrographs scored", len(known))


def _methods(
    folder: Path, micrograph: str, page: np.ndarray, n_classes: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Every predicted mask of a micrograph: the network's, each seed's, and the thresholds'."""
    yield "network", read_page(folder / f"{micrograph}.mask.tif", 0)
    for path in sorted(folder.glob(f"{micrograph}.mask.seed-*.tif")):
        yield path.name.split(".")[-2], read_page(path, 0)
    if n_classes == 2:
        yield from otsu_masks(page)


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(
            snakemake.input.predictions,
            snakemake.input.masks,
            snakemake.input.table,
            snakemake.input.normalised,
            [name for name, _ in snakemake.params.classes],
            snakemake.output[0],
        )
