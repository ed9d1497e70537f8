"""Reads files one after another, within bounds of memory: for `test_fuzz`, which kills what hangs.

Each line of the input is a JSON list of path, key and frame; each line of the output says what came
of it: the pixels' shape, type and digest, the refusal, or the error that should have been one.
"""

import hashlib
import importlib
import json
import os
import resource
import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "lib"))

from tessera import readers
from tessera.readers import UnreadableFile, read_micrograph

MOST_BYTES = 2**30


def outcome(path, key, frame):
    try:
        pixels = read_micrograph(path, key, frame).pixels
    except UnreadableFile as error:
        return {"refused": str(error)}
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}"}
    data = np.ascontiguousarray(pixels).tobytes()
    kind = [list(pixels.shape), pixels.dtype.newbyteorder("=").str]
    return {"pixels": [*kind, hashlib.sha256(data).hexdigest()]}


def main():
    warnings.simplefilter("ignore")
    # The libraries print; what is said to the test goes out by a way of its own.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # What is imported is no file's; what comes on top of it is.
    for module in (Path(readers.__file__).parent).glob("[a-z]*.py"):
        importlib.import_module(f"tessera.readers.{module.stem}")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for line in sys.stdin:
        before = sum(os.times()[:4])
        result = outcome(*json.loads(line))
        both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        peak = max(resource.getrusage(of).ru_maxrss for of in both)
        used = {"peak_mb": peak // 1024, "seconds": sum(os.times()[:4]) - before}
        answers.write(json.dumps({**result, **used}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
