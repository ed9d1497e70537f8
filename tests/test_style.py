"""The checkers have nothing to say: ruff, snakefmt, `snakemake --lint`."""

import subprocess
import sys

import pytest

from tiny_study import ROOT


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["snakefmt", "--check", "Snakefile", "workflow/rules"],
    ],
    ids=" ".join,
)
def test_code_is_in_its_standard_form(command):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_snakemake_finds_nothing_to_improve(fresh):
    assert "in a good condition" in fresh.run("--lint")
