"""A fork of Snakemake does what its command does, and nothing is handed on from one to the next."""

import re
import subprocess

from tiny_study import ONCE, jobs


def said(text):
    """The lines of a run, sorted, without the times."""
    return sorted(re.sub(r"\[.*\d\d:\d\d:\d\d.*\]", "", text).splitlines())


def test_a_fork_plans_and_says_what_the_command_does(study):
    study.configure(summarise={"draws": 500})
    channels = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    command = subprocess.run(study.command("-n"), **channels, text=True, check=True)
    forked = study.snakemake("-n")
    assert forked.returncode == 0
    assert said(forked.stdout) == said(command.stdout)
    assert study.plan() == jobs(**ONCE)


def test_the_status_and_the_config_of_one_run_are_not_those_of_the_next(study):
    assert study.snakemake("--no-such-option").returncode == 2
    study.configure(summarise={"draws": -1})
    assert study.snakemake("-n").returncode == 1
    study.configure(summarise={"draws": 10000})
    assert study.plan() == []
