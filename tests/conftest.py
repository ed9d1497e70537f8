"""What several test files share."""

import os
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

from tiny_study import TinyStudy, make_study

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of each process beside the others

# A busy machine is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def common(tmp_path_factory) -> Path:
    """A folder of all processes that run tests side by side."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def finished(common) -> TinyStudy:
    """A tiny study that the real Snakefile has run to the end, to be read; `study` is a copy."""
    study, whole = TinyStudy(common / "finished/study"), common / "finished/whole"
    with FileLock(common / "finished.lock"):
        if not whole.exists():
            make_study(study.folder)
            # By the command itself, as a user does; others are forked, see `snakemake_forks.py`.
            done = subprocess.run(study.command(), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            whole.touch()
    return study


@pytest.fixture
def study(finished, tmp_path) -> TinyStudy:
    """A finished study of the test's own."""
    return finished.copy(tmp_path / "study")


@pytest.fixture
def fresh(tmp_path) -> TinyStudy:
    """A study that nothing has run on."""
    return make_study(tmp_path / "fresh")
