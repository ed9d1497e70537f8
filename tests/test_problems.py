"""Problems: all bad rows in one error, found again in any log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.problems import BadInput, Problem, raise_if, read_back, summary

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
problems = st.lists(st.builds(Problem, st.from_regex("[a-z]+", fullmatch=True), words, words))


@given(problems, st.lists(words))
def test_what_is_raised_is_read_back_from_logs(rows, chatter):
    """Whatever else the logs say, and even where a message has several lines."""
    half = len(rows) // 2
    logs = ["\n".join([*chatter, str(BadInput(part))]) for part in (rows[:half], rows[half:])]
    assert set(read_back(logs)) == {str(row) for row in rows}


def test_rows_are_sorted_and_each_is_told_once():
    rows = [Problem("b", "b.tif", "x"), Problem("a", "a.tif", "y"), Problem("b", "b.tif", "x")]
    assert str(BadInput(rows)) == "FAULT a: a.tif: y\nFAULT b: b.tif: x"


def test_nothing_is_raised_for_nothing():
    raise_if([])
    with pytest.raises(BadInput, match=r"a: a[.]tif: what"):
        raise_if(Problem("a", "a.tif", "what") for _ in range(2))


def test_the_summary_counts():
    assert summary(["x"]) == "1 fault:\n  x"
    assert summary(["x", "y"]) == "2 faults:\n  x\n  y"
