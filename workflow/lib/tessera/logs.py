"""Where a script's words go: the terminal and the rule's log, the error last.

Snakemake leaves `log:` empty for scripts, so the scripts write it themselves. What the terminal
shows of a failed job is then the log, and what the log ends with is the one line that says what was
wrong. A log begins with the machine that the job runs on, which the crate reads back.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tessera.machines import line, machine
from tessera.problems import BadInput

LOG = logging.getLogger("tessera")


@contextmanager
def logged_to(path: str) -> Iterator[None]:
    """Send the log of the block to the terminal and to `path`, and end it with the error, if any.

    Bad input ends the process with its message alone: a traceback says nothing to whoever has to
    mend a row of the sheet. Anything else is our fault, and the traceback comes before the error.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(path, mode="w", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    logging.captureWarnings(True)
    LOG.setLevel(logging.DEBUG)
    terminal.setLevel(logging.INFO)
    for handler in (file, terminal):
        LOG.addHandler(handler)
    logging.getLogger("py.warnings").addHandler(file)
    LOG.debug("%s", line(machine()))
    try:
        yield
    except BadInput as error:
        file.stream.write(f"{error}\n")
        sys.exit(1)
    except Exception as error:
        file.stream.write(traceback.format_exc())
        file.stream.write(f"ERROR: {error}\n")
        sys.exit(1)
    finally:
        for handler in (file, terminal):
            LOG.removeHandler(handler)
        logging.getLogger("py.warnings").removeHandler(file)
        file.close()
