"""Manifests: digests that anyone can make again, and what two of them do not agree on."""

import hashlib

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from tessera.manifests import (
    COLUMNS,
    differences,
    inputs_digest,
    raw_name,
    remade_otherwise,
    with_records,
)

NAMES = st.dictionaries(st.text("abc/.", min_size=1), st.text("0123456789abcdef", min_size=64))


def table(*rows):
    return pd.DataFrame(rows, columns=COLUMNS)


def row(path, sha256="1", rule="tile", inputs="i", params="p", code="c"):
    return (path, sha256, 1, rule, inputs, params, code)


@given(NAMES, st.randoms())
def test_inputs_have_the_digest_of_sha256sum_lines_in_any_order(sha256, random):
    lines = sorted((name, f"{digest}  {name}\n") for name, digest in sha256.items())
    text = "".join(line for _, line in lines)
    shuffled = list(sha256.items())
    random.shuffle(shuffled)
    assert inputs_digest(dict(shuffled)) == hashlib.sha256(text.encode()).hexdigest()


@given(NAMES.filter(bool), st.data())
def test_any_other_input_is_another_digest(sha256, data):
    name = data.draw(st.sampled_from(sorted(sha256)))
    other = {**sha256, name: sha256[name] + "0"}
    less = {key: value for key, value in sha256.items() if key != name}
    assert len({inputs_digest(sha256), inputs_digest(other), inputs_digest(less)}) == 3


def test_a_raw_file_is_named_by_row_and_column_not_by_its_path():
    assert raw_name("a-1", "mask") != raw_name("a-1", "image")


def test_records_are_rows_of_the_audit_among_the_others():
    found = with_records(table(row("a"), row("t")), {"study/x": ("2", 5)})
    assert found["path"].tolist() == ["a", "study/x", "t"]
    assert found.loc[1].tolist() == ["study/x", "2", 5, "audit", "", "", ""]


def test_what_changed_without_its_job_is_found_and_what_was_made_again_is_not():
    before = table(row("a"), row("b"), row("c"), row("d"), row("plan.yaml", rule="plan"))
    now = table(
        row("a", sha256="2"),  # edited
        row("b", sha256="2"),  # its job has run
        row("c", sha256="2", inputs="j"),  # made from other inputs
        row("d"),
        row("plan.yaml", sha256="2", rule="plan"),  # the user's to edit
        row("e"),
    )
    assert remade_otherwise(before, now, lambda path: path == "b") == ["a"]


def test_differences_name_what_differs_and_leave_out_the_records():
    one = table(row("a"), row("b"), row("c"), row("study/x", rule="audit"))
    other = table(row("a"), row("b", sha256="2", code="d"), row("e"))
    assert differences(one, one) == []
    assert differences(one, other) == [
        ("b", "another sha256, code"),
        ("c", "is missing in the second"),
        ("e", "is missing in the first"),
    ]
