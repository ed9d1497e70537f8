"""Damaged files: a clear refusal within 5 s and 1 GB each time, and no picture that is not there.

Each sample is cut off, has bits turned, numbers put to extremes, parts blanked or doubled, by
hypothesis with a fixed seed. `TESSERA_FUZZ=1000` makes 2,000 files of each sample, which takes some
minutes; without it there are few.
"""

import json
import os
import select
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samples_of_formats import SAMPLES, Sample

EXAMPLES = int(os.environ.get("TESSERA_FUZZ", "10"))
SECONDS, HANGS_AFTER = 5, 60
"""Of computing, and of waiting: another process may be given the processor."""
WORKER = Path(__file__).with_name("fuzz_worker.py")
EXTREMES = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1]


class Worker:
    """A process that reads files for us, started again when it has died or hangs."""

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.stop()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def ask(self, path, sample):
        self.process.stdin.write(json.dumps([str(path), sample.key, sample.frame]) + "\n")
        self.process.stdin.flush()
        ready = select.select([self.process.stdout], [], [], HANGS_AFTER)[0]
        answer = self.process.stdout.readline() if ready else ""
        if answer:
            found = json.loads(answer)
            if found["peak_mb"] > 1024 or found["seconds"] > SECONDS:
                found["error"] = "takes too much memory or time"
            return found
        status = self.process.poll()
        self.stop()
        self.start()
        return {"error": f"crashes: exit status {status}" if ready else "hangs"}


@pytest.fixture(scope="module")
def worker():
    with Worker() as process:
        yield process


PLACE = st.floats(0, 1, exclude_max=True)
NEAR_THE_HEAD = PLACE.map(lambda place: place**4)
CUT = st.tuples(st.just("cut"), PLACE)
FLIP = st.tuples(st.just("flip"), PLACE | NEAR_THE_HEAD, st.integers(0, 7))
NUMBER = st.tuples(
    st.just("number"), PLACE | NEAR_THE_HEAD, st.sampled_from(EXTREMES),
    st.sampled_from(["<H", ">H", "<I", ">I", "<Q", ">Q"]),
)  # fmt: skip
BLANK = st.tuples(st.just("blank"), PLACE, st.integers(1, 2000), st.sampled_from([0, 255]))
NOISE = st.tuples(st.just("noise"), PLACE, st.binary(min_size=1, max_size=400))
DOUBLE = st.tuples(st.just("double"), PLACE, st.integers(1, 400))
DAMAGES = st.lists(FLIP | NUMBER | BLANK | NOISE | DOUBLE, min_size=1, max_size=3)


def damaged(data, damages):
    """Bytes with some damage done to them, one after the other."""
    for kind, place, *how in damages:
        at, data = int(place * len(data)), bytearray(data)
        if kind == "cut":
            del data[at:]
        elif kind == "flip":
            data[at] ^= 1 << how[0]
        elif kind == "number":
            form = struct.Struct(how[1])
            new = form.pack(how[0] & (256**form.size - 1))
            data[at : at + form.size] = new[: max(len(data) - at, 0)]
        elif kind == "blank":
            data[at : at + how[0]] = bytes([how[1]]) * len(data[at : at + how[0]])
        elif kind == "noise":
            data[at : at + len(how[0])] = how[0]
        else:
            data[at:at] = data[at : at + how[0]]
    return bytes(data)


def files_of(path):
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


@dataclass(frozen=True)
class Case:
    """A sample, the folder of its whole file, what is read of that, and who reads."""

    sample: Sample
    folder: Path
    expected: list
    worker: Worker

    def read(self, damages, which):
        """What comes of the file, or of one file of the folder, after some damage."""
        whole, path = self.folder / "whole", self.folder / "damaged"
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.copytree(whole, path) if whole.is_dir() else shutil.copy(whole, path)
        parts = files_of(path)
        part = parts[which % len(parts)]
        part.write_bytes(damaged(part.read_bytes(), damages))
        return self.worker.ask(path, self.sample)


@pytest.fixture(params=SAMPLES)
def case(request, tmp_path, worker):
    sample = SAMPLES[request.param]
    sample.write(tmp_path / "whole")
    found = worker.ask(tmp_path / "whole", sample)
    assert "pixels" in found, found
    return Case(sample, tmp_path, found["pixels"], worker)


def fuzzed(examples):
    return settings(
        max_examples=examples, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def test_what_is_cut_off_is_refused_or_whole(case):
    @fuzzed(EXAMPLES // 2)
    @given(CUT, st.integers(0, 50))
    def check(cut, which):
        found = case.read([cut], which)
        assert "error" not in found
        assert found.get("pixels", case.expected) == case.expected

    check()


def test_what_is_damaged_is_refused_or_a_picture_of_the_same_sides(case):
    """Where there are checksums, of the same pixels. Without them no one can tell a turned bit."""

    @fuzzed(EXAMPLES)
    @given(DAMAGES, st.integers(0, 50))
    def check(damages, which):
        found = case.read(damages, which)
        assert "error" not in found
        compared = slice(None if case.sample.checked else 1 if case.sample.sided else 0)
        assert found.get("pixels", case.expected)[compared] == case.expected[compared]

    check()


def test_random_bytes_after_the_first_few_are_refused_in_time(case):
    whole, path = case.folder / "whole", case.folder / "noise"

    @fuzzed(EXAMPLES // 2)
    @given(st.binary(min_size=0, max_size=4000), st.sampled_from([4, 8, 16, 64, 300]))
    def check(noise, kept):
        head = b"" if whole.is_dir() else whole.read_bytes()[:kept]
        path.write_bytes(head + noise)
        assert "error" not in case.worker.ask(path, case.sample)

    check()
