"""Start Snakemake again and again, each time in a fork of a process that has imported it once.

More than half of what a dry run of a tiny study costs is imports. A fork shares nothing with other
runs but what was imported here, and nothing of Tessera is: that is read anew each time, from the
folder of the Snakefile. Reads a line of JSON a run, writes its exit status when it has ended.
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence

import snakemake.cli

import graph

IMPORTED_BY_A_RUN = ["fastjsonschema", "jsonschema", "pandas", "requests", "rich", "scipy.ndimage"]
IMPORTED_BY_A_RUN += ["sklearn.model_selection", "tifffile"]
MAINS = {"snakemake": snakemake.cli.main, "graph": graph.main}


def run(main: str, arguments: Sequence[str], environment: dict[str, str], output: str) -> None:
    """Be that process: with its arguments and environment, both channels going to one file."""
    written = os.open(output, os.O_WRONLY)
    for source, channel in ((os.open(os.devnull, os.O_RDONLY), 0), (written, 1), (written, 2)):
        os.dup2(source, channel)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [main, *arguments]
    sys.exit(MAINS[main](arguments))


def serve() -> None:
    """Run what is asked for, one after the other, until nothing more can be."""
    sys.path.pop(0)  # Snakemake hands it on to its jobs
    for name in IMPORTED_BY_A_RUN:
        importlib.import_module(name)
    snakemake.cli.get_argument_parser()  # which imports all plugins
    while line := sys.stdin.readline():
        process = os.fork()
        if process == 0:
            run(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
