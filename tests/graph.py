"""Print the graph of a study as JSON, of every output its job, without running anything.

Snakemake's summary knows the inputs of finished jobs only; its API builds the whole graph.
"""

import contextlib
import json
import sys
from pathlib import Path

from snakemake.api import ConfigSettings, OutputSettings, ResourceSettings, SnakemakeApi


def main(snakefile: Path, folder: Path, config: Path) -> dict[str, dict]:
    """Input files, resources and lineage of the job that makes each output in the graph."""
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
                "resources": {name: str(value) for name, value in job.resources.items()},
                "lineage": job.params.get("lineage"),
            }
            for job in workflow._workflow.dag.jobs
            for output in job.output
        }


if __name__ == "__main__":
    print(json.dumps(main(*map(Path, sys.argv[1:]))))
