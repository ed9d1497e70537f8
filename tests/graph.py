"""Print the graph of a study as a line of JSON: of every output its job. Nothing is run.

Snakemake's summary knows the inputs of finished jobs only; its API builds the whole graph.
"""

import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from snakemake.api import ConfigSettings, OutputSettings, ResourceSettings, SnakemakeApi


def main(arguments: Sequence[str]) -> None:
    """Print the graph of a study, from the paths of its Snakefile, folder and config."""
    print(json.dumps(graph(*map(Path, arguments))))


def graph(snakefile: Path, folder: Path, config: Path) -> dict[str, dict]:
    """Input files, raw files, resources and lineage of the job that makes each output."""
    with SnakemakeApi(OutputSettings(dryrun=True)) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[config]),
            snakefile=snakefile,
            workdir=folder,
        )
        with contextlib.redirect_stdout(sys.stderr):
            workflow.dag().printd3dag()
        return {
            str(output): {
                "input": sorted(map(str, job.input)),
                "raw": [row["path"] for row in job.params.get("rows") or () if "path" in row],
                "resources": {name: str(value) for name, value in job.resources.items()},
                "lineage": job.params.get("lineage"),
            }
            for job in workflow._workflow.dag.jobs
            for output in job.output
        }
