"""Each format: its pixels exactly, what it states of its recording, and nothing else."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zarr

from samples_of_formats import NAN, SAMPLES, STACK, levels
from tessera.readers import FORMATS, STORE, UnreadableFile, format_of, read_here, read_micrograph

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


@pytest.mark.parametrize(
    ("shape", "frame"), [((1, 1, 19, 31), -1), ((1, 3, 1, 19, 31), 2), ((3, 1, 1, 19, 31), 2)]
)
def test_axes_of_length_one_are_no_frames(tmp_path, shape, frame):
    stack = levels(shape=shape)
    zarr.create_array(str(tmp_path / "a.zarr"), data=stack, chunks=shape)
    pixels = read_micrograph(str(tmp_path / "a.zarr"), frame=frame).pixels
    np.testing.assert_array_equal(pixels, stack.reshape(-1, 19, 31)[frame])


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.large])
def test_a_stack_is_refused_where_no_frame_is_named(tmp_path, name):
    SAMPLES[name].large(tmp_path / "file", STACK)
    with pytest.raises(UnreadableFile, match="frames"):
        read_micrograph(str(tmp_path / "file"), SAMPLES[name].key)


# --------------------------------------------------------------------------- the table in the docs

PAGE_DOCS = Path(__file__).parents[1] / "docs" / "formats.md"
HEAD = "| format | values exact | pixel size | also stated | stack | a frame without the others |"
WORDS = {
    "instrument": "instrument", "voltage_kv": "voltage", "magnification": "magnification",
    "recorded": "date", "detector": "detector",
}  # fmt: skip
LARGE = np.zeros((16, 256, 256), np.uint16)


def is_stated(value, name):
    return bool(value) if isinstance(STATED[name], str) else not np.any(np.isnan(value))


def takes_one_frame(sample, path):
    """Whether reading a frame of a stack takes no more than a few frames of memory; None: no stack.

    Measured as what is allocated, where a file that is mapped allocates nothing.
    """
    if sample.large is None:
        return None
    stack = LARGE + np.arange(1, len(LARGE) + 1, dtype=np.uint16)[:, None, None]
    sample.large(path, stack)
    read_here(str(path), sample.key, 3)  # what is imported takes memory too
    tracemalloc.start()
    pixels = read_here(str(path), sample.key, 9).pixels
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(pixels, stack[9])
    return peak < 4 * stack[0].nbytes


def row(family, folder):
    """What is measured of a format: a line of the table."""
    samples = {name: sample for name, sample in SAMPLES.items() if sample.family == family}
    exact, stated, framed, alone = [], set(), [], []
    for name, sample in samples.items():
        sample.write(folder / name)
        recording = read(sample, folder / name)
        exact.append(np.array_equal(recording.pixels, sample.pixels))
        stated |= {key for key in STATED if is_stated(getattr(recording, key), key)}
        framed.append(sample.frame >= 0 or sample.large is not None)
        alone.append(takes_one_frame(sample, folder / f"{name}, large"))
    others = [word for key, word in WORDS.items() if key in stated]
    cells = [
        family,
        "yes" if all(exact) else "as near as the codec",
        "yes" if "pixel_sizes_nm" in stated else "",
        ", ".join(others),
        "yes" if any(framed) else "",
        "yes" if any(alone) else "no" if False in alone else "",
    ]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")


def test_the_table_in_the_docs_is_what_is_measured(tmp_path):
    """`TESSERA_WRITE_DOCS=1` writes it."""
    families = dict.fromkeys(sample.family for sample in SAMPLES.values())
    rows = [row(family, tmp_path) for family in families]
    table = "\n".join([HEAD, "|---|---|---|---|---|---|", *rows])
    before, _, rest = PAGE_DOCS.read_text(encoding="utf-8").partition(HEAD)
    after = rest.partition("\n\n")[2]
    if os.environ.get("TESSERA_WRITE_DOCS"):
        PAGE_DOCS.write_text(f"{before}{table}\n\n{after}", encoding="utf-8")
    assert table in PAGE_DOCS.read_text(encoding="utf-8")


def test_every_family_of_files_has_a_sample(tmp_path):
    told = set()
    for name, sample in SAMPLES.items():
        sample.write(tmp_path / name)
        told.add(format_of(tmp_path / name).name)
    assert told == {known.name for known in (*FORMATS, STORE)}
