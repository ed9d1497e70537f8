"""Every Python that starts with this folder on its path tells, at its end, what memory it took.

A line of JSON in a file of its own in the folder $MEMORY_PROBE: the command, the seconds, those of
the processor, the most that was resident (`VmHWM`, of the kernel: pages of mapped files count) and
the most that no file stands behind (`RssAnon`, looked at all the time, since the kernel keeps no
peak of it).
"""

import atexit
import json
import os
import sys
import threading
import time
from pathlib import Path

EVERY_SECONDS = 0.02


def status(*names):
    """Bytes that the kernel says of this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    of = dict(line.split(":", 1) for line in lines)
    return [int(of[name].split()[0]) * 1024 for name in names]


def watch(folder):
    """Look until the process ends, then tell."""
    start, most = time.monotonic(), [0]

    def look():
        while True:
            most[0] = max(most[0], *status("RssAnon"))
            time.sleep(EVERY_SECONDS)

    def tell():
        resident, anonymous = status("VmHWM", "RssAnon")
        said = {"command": sys.argv, "seconds": time.monotonic() - start}
        said |= {"computing": time.process_time()}
        said |= {"resident": resident, "anonymous": max(most[0], anonymous)}
        Path(folder, f"{os.getpid()}.json").write_text(json.dumps(said), encoding="utf-8")

    threading.Thread(target=look, daemon=True).start()
    atexit.register(tell)


if "MEMORY_PROBE" in os.environ:
    watch(os.environ["MEMORY_PROBE"])
