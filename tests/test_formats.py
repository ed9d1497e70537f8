"""Each format: its pixels exactly, what it states of its recording, and nothing else."""

import json

import numpy as np
import pytest

from samples_of_formats import NAN, SAMPLES
from tessera.readers import read_micrograph

STATED = {
    "pixel_sizes_nm": (NAN, NAN), "instrument": "", "voltage_kv": NAN, "magnification": NAN,
    "recorded": "", "detector": "",
}  # fmt: skip
"""What a recording says where its file says nothing."""


@pytest.fixture(params=SAMPLES)
def sample(request):
    return SAMPLES[request.param]


def read(sample, path):
    return read_micrograph(str(path), sample.key, sample.frame)


def test_pixels_are_those_that_were_written(sample, tmp_path):
    sample.write(tmp_path / "file")
    recording = read(sample, tmp_path / "file")
    assert recording.axes == "YX"
    if sample.exact:
        np.testing.assert_array_equal(recording.pixels, sample.pixels)
        assert recording.pixels.dtype.newbyteorder("=") == sample.pixels.dtype
    else:
        off = np.abs(recording.pixels.astype(int) - sample.pixels)
        assert off.mean() < 4


def test_what_a_file_states_is_read_and_nothing_else(sample, tmp_path):
    sample.write(tmp_path / "file")
    recording = read(sample, tmp_path / "file")
    wanted = STATED | sample.known
    for name in ("instrument", "recorded", "detector"):
        assert getattr(recording, name) == wanted[name], name
    for name in ("pixel_sizes_nm", "voltage_kv", "magnification"):
        assert getattr(recording, name) == pytest.approx(wanted[name], rel=1e-6, nan_ok=True), name


def test_metadata_is_json_and_says_nothing_of_the_machine(sample, tmp_path):
    sample.write(tmp_path / "file")
    said = json.dumps(read(sample, tmp_path / "file").metadata, allow_nan=False)
    assert str(tmp_path) not in said
    assert " at 0x" not in said
    again = json.dumps(read(sample, tmp_path / "file").metadata, allow_nan=False)
    assert said == again
