"""Logs: the last line says what was wrong, and a failure fails the job."""

import logging
import platform
import warnings

import pytest

from tessera import problems
from tessera.logs import LOG, logged_to
from tessera.machines import read_back
from tessera.problems import BadInput, Problem


@pytest.fixture(autouse=True)
def _warnings_as_before():
    yield
    logging.captureWarnings(False)


@pytest.fixture
def failed(tmp_path):
    """A function that fails with an error inside a log, and gives the log's text."""

    def log_of(error):
        path = tmp_path / "step" / "shard.log"
        with pytest.raises(SystemExit) as caught, logged_to(str(path)):
            LOG.info("begun")
            raise error
        assert caught.value.code == 1
        return path.read_text(encoding="utf-8")

    return log_of


def test_a_good_block_logs_what_it_says(tmp_path, capsys):
    path = tmp_path / "step" / "shard.log"
    with logged_to(str(path)):
        LOG.info("%d micrographs", 3)
        LOG.debug("in the file alone")
        warnings.warn("careful", stacklevel=1)
    text = path.read_text(encoding="utf-8")
    assert read_back(text)["host"] == platform.node()
    assert text.splitlines()[1].endswith(" 3 micrographs")
    assert "in the file alone" in text
    assert "careful" in text
    assert capsys.readouterr().err == "3 micrographs\n"


def test_bad_input_ends_the_log_without_a_traceback(failed):
    faults = [Problem("b", "b.tif", "is torn"), Problem("a", "a µm.tif", "is missing")]
    text = failed(BadInput(faults))
    assert "Traceback" not in text
    assert text.splitlines()[-1] == "FAULT b: b.tif: is torn"
    assert problems.read_back([text]) == ["a: a µm.tif: is missing", "b: b.tif: is torn"]


def test_any_other_error_ends_the_log_with_its_message(failed):
    text = failed(ValueError("no such layer"))
    assert "Traceback" in text
    assert text.splitlines()[-1] == "ERROR: no such layer"


def test_a_new_run_starts_a_new_log(failed):
    failed(ValueError("first"))
    assert "first" not in failed(ValueError("second"))


def test_nothing_stays_open_behind_a_block(failed):
    before = list(LOG.handlers), list(logging.getLogger("py.warnings").handlers)
    failed(ValueError("x"))
    assert (LOG.handlers, logging.getLogger("py.warnings").handlers) == before
