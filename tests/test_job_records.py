"""Records of jobs are read as Snakemake writes them."""

import pytest
from snakemake.persistence import MetadataRecord
from snakemake.persistence.file import FilePersistence

from tessera.job_records import job_record
from tessera.machines import line

KNOWN = {"host": "node7", "cpus": 4}


@pytest.fixture
def written(tmp_path):
    """A function that lets Snakemake write a record, and gives the folder of its records."""
    persistence = FilePersistence(nolock=True, path=tmp_path / ".snakemake")

    def write(output, **known):
        persistence._write_record(output, MetadataRecord(**known))
        return tmp_path / ".snakemake" / "metadata"

    return write


@pytest.mark.parametrize("length", [1, 150, 190, 191, 400, 1000])
def test_a_record_is_found_under_names_of_any_length(written, length):
    output = f"results/{'x' * length}"
    folder = written(output, input=["b", "a"], starttime=1.5, endtime=2.5)
    record = job_record(output, folder)
    assert (record.inputs, record.started, record.ended) == (("b", "a"), 1.5, 2.5)


def test_digests_and_machine_are_told(written, tmp_path):
    log = tmp_path / "job.log"
    log.write_text(f"2026-01-01 00:00:00 {line(KNOWN)}\nbegun\n", encoding="utf-8")
    sums = {"a": "sha256:12", "b": "md5:34"}
    times = {"starttime": 1.0, "endtime": 2.0}
    folder = written("out", input=["a"], input_checksums=sums, log=[str(log)], **times)
    record = job_record("out", folder)
    assert record.sha256 == {"a": "12"}
    assert record.machine == KNOWN


def test_what_is_not_recorded_is_not_claimed(written, tmp_path):
    folder = written("out", input=["a"])  # of a job that has not ended
    assert job_record("out", folder) is None
    assert job_record("other", folder) is None
    (folder / "b3V0").write_text("{", encoding="utf-8")
    assert job_record("out", folder) is None
    folder = written("done", input=[], starttime=1.0, endtime=2.0, log=[str(tmp_path / "gone.log")])
    assert job_record("done", folder).machine is None


def test_the_jobs_of_a_run_are_recorded(finished):
    folder = finished.folder / ".snakemake" / "metadata"
    record = job_record("results/predictions/u+unlabelled", folder)
    assert "results/networks/seed-0/fold-2.pt" in record.inputs
    assert record.started < record.ended
    network = job_record("results/networks/seed-0/fold-0.pt", folder)
    assert {"results/tiles/b.tif", "results/tiles/c.tif"} <= set(network.sha256)
