"""Reads in a process of its own what may hang or crash the library that reads it.

A damaged HDF5 file can send libhdf5 round in circles, where nothing but the end of the process ends
it. So such files are read by a process beside this one, which is kept for the next file. It may
compute for some seconds and a second more for every 20 MB of the file; waiting for a slow disk
does not count. Only numbers and JSON come back from it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tessera.readers.recordings import Recording, UnreadableFile
from tessera.strips import STRIP_BYTES, LazyPage

COMPUTES_S = 3
BYTES_A_SECOND = 20_000_000
STATED = ("axes", "instrument", "voltage_kv", "magnification", "recorded", "detector", "metadata")
STATED += ("channels",)


class Apart:
    """The process, started when the first file is asked for, and again after it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, path: str, key: str, frame: int) -> Recording:
        """Read a file there.

        Raises
        ------
        UnreadableFile
            If the file cannot be read; or if the process has died of it.
        """
        asked = (str(Path(path).absolute()), key, frame)
        said, data = self._asked(*asked, None)
        shape, dtype = tuple(said["shape"]), np.dtype(said["dtype"])

        def rows_of(top: int, end: int) -> np.ndarray:
            _, rows = self._asked(*asked, (top, end))
            return np.ndarray((end - top, *shape[1:]), dtype, rows)

        if "block_rows" in said:
            pixels = LazyPage(shape, dtype, rows_of, said["block_rows"])
        else:
            pixels = np.ndarray(shape, dtype, data)
        sizes = tuple(float(side) for side in said["pixel_sizes_nm"])
        return Recording(pixels, sizes, **{name: said[name] for name in STATED})

    def _asked(self, *what: Any) -> tuple[dict[str, Any], bytearray]:
        if self._process is None or self._process.poll() is not None:
            self._process = _started()
        ask, answer = self._process.stdin, self._process.stdout
        try:
            ask.write(json.dumps(what).encode() + b"\n")
            ask.flush()
            said = json.loads(answer.readline())
            data = bytearray(said.get("n_bytes", 0))
            if answer.readinto(data) != len(data):
                raise ValueError("the process has died")
        except (OSError, ValueError) as error:
            raise UnreadableFile(self._end()) from error
        if "refused" in said:
            raise UnreadableFile(said["refused"])
        return said, data

    def _end(self) -> str:
        """What the process has died of."""
        self._process.kill()
        status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            pipe.close()
        self._process = None
        if status == -signal.SIGXCPU:
            return "cannot be read: it keeps its library busy without end"
        return f"cannot be read: its library has crashed (exit status {status})"


@cache
def reader() -> Apart:
    """The one process of this one."""
    return Apart()


def _started() -> subprocess.Popen[bytes]:
    library = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (library, os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        [sys.executable, "-m", "tessera.readers.apart"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the library's own words on every damaged byte
        env={**os.environ, "PYTHONPATH": paths},
    )


def _answer(recording: Recording) -> tuple[dict[str, Any], bytes]:
    """What is said of a recording, and its pixels unless they are asked for by rows."""
    pixels = recording.pixels
    said = {name: getattr(recording, name) for name in (*STATED, "pixel_sizes_nm")}
    said |= {"dtype": pixels.dtype.str, "shape": pixels.shape}
    if isinstance(pixels, LazyPage):
        return said | {"block_rows": pixels.block_rows}, b""
    return said, np.ascontiguousarray(pixels).tobytes()


def _allowed(path: str, rows: tuple[int, int] | None) -> float:
    """Seconds that reading may take; of rows, what is to be unfolded counts, not the file."""
    n_bytes = Path(path).stat().st_size if rows is None else STRIP_BYTES
    return COMPUTES_S + n_bytes / BYTES_A_SECOND


def _may_compute(seconds: float) -> None:
    """Let this process compute for so many seconds more, and then end it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    if most == resource.RLIM_INFINITY or soft < most:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, most))


def main() -> None:
    """Answer each line of the input: a JSON list of path, key and frame."""
    # All that reading imports comes first, so that no file has to answer for it.
    from tessera.readers import hdf5, read_here, rosetta  # noqa: F401

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    last: tuple[list[Any], Recording | None] = ([], None)
    for line in sys.stdin:
        *asked, rows = json.loads(line)
        _may_compute(_allowed(asked[0], rows))
        data = b""
        try:
            if rows is None or last[0] != asked:
                last = asked, read_here(*asked)
            if rows is None:
                said, data = _answer(last[1])
            else:
                said, data = {}, np.ascontiguousarray(last[1].pixels[slice(*rows)]).tobytes()
        except UnreadableFile as error:
            said = {"refused": str(error)}
        answers.write(json.dumps(said | {"n_bytes": len(data)}).encode() + b"\n" + data)
        answers.flush()


if __name__ == "__main__":
    main()
