"""Bad input, reported row by row and all at once.

Whoever finds a bad row appends a `Problem` and goes on; when all rows have been looked at,
`BadInput` raises them together. A failed step's log holds them in a form that `read_back` finds
again, so that the end of a run can list the bad rows of every job in one message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MARK = "FAULT "


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with one row.

    Parameters
    ----------
    micrograph : str
        Its id, or the group's or fold's name where the trouble is not of one micrograph.
    path : str
        The file, or the sheet.
    what : str
        What is wrong, with the value.
    """

    micrograph: str
    path: str
    what: str

    def __str__(self) -> str:
        # One line, whatever a library's message holds: `read_back` reads lines.
        return " ".join(f"{self.micrograph}: {self.path}: {self.what}".splitlines())


class UnreadableFile(ValueError):
    """The file is not what the sheet says it is."""


class BadInput(Exception):
    """Everything that is wrong with the user's input, one line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(f"{MARK}{problem}" for problem in self.problems))


def raise_if(problems: Iterable[Problem]) -> None:
    """Raise `BadInput` if there is a problem.

    Raises
    ------
    BadInput
    """
    problems = list(problems)
    if problems:
        raise BadInput(problems)


def read_back(logs: Iterable[str]) -> list[str]:
    """The bad rows that the texts of logs tell of, sorted, each once.

    Examples
    --------
    >>> read_back([f"started\\n{BadInput([Problem('a', 'a.tif', 'is missing')])}\\n"])
    ['a: a.tif: is missing']
    """
    lines = (line for log in logs for line in log.splitlines())
    return sorted({line.removeprefix(MARK) for line in lines if line.startswith(MARK)})


def summary(rows: list[str]) -> str:
    """One message for all faults."""
    number = "1 fault" if len(rows) == 1 else f"{len(rows)} faults"
    return f"{number}:\n" + "\n".join(f"  {row}" for row in rows)
