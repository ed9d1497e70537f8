"""Say why each job would run, in the words of what was changed: `make explain`.

Takes the arguments of `snakemake` that say which study is meant, plans it as `snakemake -n` does,
and runs nothing.
"""

import contextlib
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snakemake.api import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    ResourceSettings,
    SnakemakeApi,
)
from snakemake.cli import parse_args, parse_config
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import Quietness

from tessera.ancestries import ANCESTRY
from tessera.explanations import Cause, Explainer, Product, told
from tessera.lineages import LineageBook
from tessera.preparation import LINEAGES

LINEAGE = re.compile(r"'([0-9a-f]{64})'")


def main(arguments: list[str]) -> str:
    """What would run and why, as text."""
    _, said = parse_args([*arguments, "--dry-run"])
    with SnakemakeApi(OutputSettings(dryrun=True, quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(parse_config(said.config), configfiles=said.configfile),
            snakefile=Path(said.snakefile or "Snakefile"),
            workdir=said.directory and Path(said.directory),
        )
        settings = DAGSettings(
            targets=set(said.targets),
            forceall=said.forceall,
            forcerun=set(said.forcerun or ()),
            rerun_triggers=said.rerun_triggers,
            max_checksum_file_size=said.max_checksum_file_size,
        )
        # Of what the API offers, this one builds the graph without forcing any job.
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            workflow.dag(settings).summary()
        return explanation(workflow._workflow.dag, workflow._workflow.globals["study"])


def explanation(dag: Any, study: Any) -> str:
    """What a graph would run and why, change by change."""
    made = {
        product_of(job): lineage
        for job in dag.jobs
        if (lineage := recorded(dag.workflow.persistence, job))
    }
    in_order = (job for level in dag.toposorted() for job in sorted(level, key=product_of))
    due = [job for job in in_order if job.output and dag.needrun(job)]
    if not due:
        return "Nothing would run: all is as the study says."
    if not made:
        return f"{jobs_in_words(len(due))} would run: nothing has been made yet."
    explainer = Explainer(study, LineageBook(LINEAGES).read(), made)
    causes: dict[Product, set[Cause]] = {}
    for job in due:
        causes[product_of(job)] = causes_of(job, explainer, dag, causes)
    lines = [f"{jobs_in_words(len(due))} would run."]
    for change, run in told(causes):
        lines += ["", change, f"    {run}"]
    return "\n".join(lines)


def causes_of(
    job: Any, explainer: Explainer, dag: Any, found: Mapping[Product, set[Cause]]
) -> set[Cause]:
    """Causes of a job: of its lineage, else of its files, else of the jobs that it waits for."""
    product, reason = product_of(job), dag.reason(job)
    causes = explainer.causes(product) if job.rule.name in ANCESTRY else set()
    if reason.forced:
        causes = causes | {Cause("asked for by force")}
    if not causes:
        absent = (path for path in map(str, job.output) if not Path(path).exists())
        causes = {Cause("{} is missing", path) for path in absent}
    if not causes and reason.incomplete_output:
        causes = {Cause("{} was not finished", str(path)) for path in reason.incomplete_output}
    if not causes and reason.params_changed:
        causes = {Cause("what {} is told changed", f"`{job.rule.name}`")}
    if not causes:
        causes = set().union(*(found.get(product_of(one), ()) for one in dag.dependencies[job]))
    return causes


def product_of(job: Any) -> Product:
    """Step, and what of it."""
    return (job.rule.name, *map(str, job.wildcards))


def recorded(persistence: Any, job: Any) -> str | None:
    """The lineage that the product of a job had when it was made; it is among the job's params."""
    if job.rule.name not in ANCESTRY:
        return None
    found = (LINEAGE.fullmatch(str(text)) for text in persistence.params(job.output[0]) or ())
    return next((match[1] for match in found if match), None)


def jobs_in_words(number: int) -> str:
    """How many jobs."""
    return "1 job" if number == 1 else f"{number} jobs"


if __name__ == "__main__":
    try:
        print(main(sys.argv[1:]))
    except WorkflowError as error:
        sys.exit(str(error))
