"""What several test files share."""

import subprocess

import pytest
from hypothesis import settings

from tiny_study import TinyStudy, make_study

# A busy machine is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> TinyStudy:
    """A tiny study that the real Snakefile has run to the end; copy it before you change it."""
    study = make_study(tmp_path_factory.mktemp("finished") / "study")
    # By the command itself, as a user does; what follows is forked, see `snakemake_forks.py`.
    done = subprocess.run(study.command(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return study


@pytest.fixture
def study(finished, tmp_path) -> TinyStudy:
    """A finished study of the test's own."""
    return finished.copy(tmp_path / "study")


@pytest.fixture
def fresh(tmp_path) -> TinyStudy:
    """A study that nothing has run on."""
    return make_study(tmp_path / "study")
