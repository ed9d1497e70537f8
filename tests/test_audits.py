"""What was done is held against what the study says."""

import pandas as pd

from tessera.audits import edited, misread, recorded_reads
from tessera.crate_entities import moment
from tessera.job_records import JobRecord
from tessera.manifests import COLUMNS, Contents
from tessera.products import Job

TRAIN = Job(
    "train",
    {"seed": "0", "fold": "1"},
    ("networks/seed-0/fold-1.pt",),
    ("normalised/a.tif", "predictions/p/"),
    (),
    (),
)
CONTENTS = Contents({"normalised/a.tif": ("1", 1)}, {"predictions/p/": []})
READ = ("results/normalised/a.tif", "results/predictions/p")


def ran(*inputs, started=0.0, **sha256):
    digests = {f"results/normalised/{name}.tif": value for name, value in sha256.items()}
    return JobRecord(inputs, digests, started, started + 1, None)


def faults(record):
    return [
        problem.what.split(";")[0] for problem in misread([TRAIN], {TRAIN.id: record}, CONTENTS)
    ]


def test_a_job_that_read_what_it_should_is_right():
    assert faults(ran(*READ, a="1")) == []
    assert faults(ran(*READ)) == []  # no digest was recorded
    assert faults(None) == []
    gates = ("results/folds.tsv", "results/plan.yaml", "results/calibration.yaml", "data/x.tif")
    assert faults(ran(*READ, *gates, a="1")) == []


def test_a_job_that_read_too_much_or_too_little_is_named():
    assert faults(ran(*READ, "results/normalised/b.tif")) == [
        "was made from normalised/b.tif, which the study does not give it"
    ]
    assert faults(ran(READ[0])) == ["was made without predictions/p/, which the study gives it"]


def test_what_changed_since_it_was_read_is_named():
    assert faults(ran(*READ, a="2")) == ["has changed since it was read"]


def test_reads_are_as_recorded_and_else_as_the_study_says():
    assert recorded_reads(TRAIN, None) == list(TRAIN.reads)
    read = recorded_reads(TRAIN, ran(*READ, "results/folds.tsv", "data/raw.tif"))
    assert read == ["normalised/a.tif", "predictions/p/", "folds.tsv"]


def test_what_changed_since_the_last_audit_is_named_unless_its_job_ran_again():
    def manifest(sha256):
        row = (TRAIN.writes[0], sha256, 1, "train", "i", "p", "c")
        return pd.DataFrame([row], columns=COLUMNS)

    actions = {TRAIN.id: {"startTime": moment(100.0)}}
    cases = [(ran(started=100.0), 1), (None, 1), (ran(started=200.0), 0)]
    for record, expected in cases:
        known = {TRAIN.id: record}
        found = list(edited(manifest("1"), actions, manifest("2"), [TRAIN], known))
        assert len(found) == expected
        assert list(edited(manifest("1"), actions, manifest("1"), [TRAIN], known)) == []
