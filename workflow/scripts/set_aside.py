"""List the products that a study has no more, and move them away if that is wanted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tessera.asides import set_aside
from tessera.logs import LOG, logged_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

RESULTS = "results"


def main(files: Sequence[str], within: str | None) -> None:
    """Name every file, and move it into a folder of results/, if one is given."""
    for path in files:
        LOG.info("%s/%s", RESULTS, path)
    if files and within is not None:
        LOG.info("moved to %s", set_aside(RESULTS, files, within))
    LOG.info("%d files that the study has no more", len(files))


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(snakemake.params.files, snakemake.params.within)
