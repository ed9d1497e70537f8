"""Memory: the peak of a whole prediction, from a file to files, whatever the size of the page.

Ours is `workflow/scripts/predict.py` as its rule calls it: mask, probabilities of three classes and
entropy, compressed. Theirs is MONAI's `sliding_window_inference` in the same precision, which holds
the page in memory; mask and probabilities are written as they are. Each prediction has a process
of its own; the peak is the kernel's (`VmHWM`): Python, PyTorch and mapped pages of files all count.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import tifffile

from benchmarks import peers, samples
from benchmarks.measuring import Comparison, Figures, Job, Options, Target, each, once
from tessera.devices import resolve_precision

GB = 1e9
BYTES_A_PIXEL_ON_DISK = 25
"""Page, mask, probabilities of three classes and entropy, if nothing could be compressed."""
GUESS_A_PIXEL = 100
"""Bytes that a peer is taken to need where nothing is measured yet."""
SHARE_OF_MEMORY = 0.8
"""A peer that would need more than this of what is free is not run."""
PROBE_PX = 2048


@dataclass(frozen=True)
class Size:
    """Sides of the pages, smallest first, and of the peer's window; None leaves the peer out.

    `mem_mb` is what our job is allowed, as `resources: predict` of the config says it.
    """

    channels: tuple[int, ...] = (32, 64, 128, 256)
    sides_px: tuple[int, ...] = (4096, 16384)
    window_px: int | None = 256
    mem_mb: int = 600


FULL = Size()
LARGE = Size(sides_px=(4096, 16384, 32768))
TINY = Size((4, 8), sides_px=(96, 160), window_px=None)
PEAK = {16384: Target("ours", "<", 0.6)}
GROWTH = (32768, 16384, Target("ratio", "<=", 1.1))


def comparisons(options: Options) -> list[Comparison]:
    """Rows of the table."""
    size = TINY if options.tiny else LARGE if options.large else FULL
    network = samples.network_file(options.scratch, size.channels)
    precision = resolve_precision(samples.config()["predict"]["precision"], "cpu")
    monai = Monai(network, size.window_px, precision, options) if size.window_px else None
    if monai is not None:
        with _page(options.scratch, PROBE_PX) as page:
            monai.figures(page, PROBE_PX)
    rows: list[Comparison] = []
    peaks: dict[int, list[float]] = {}
    for side_px in size.sides_px:
        with _page(options.scratch, side_px) as page:
            arguments = {"network": network, "page": str(page), "side_px": side_px}
            arguments |= {"mem_mb": size.mem_mb, "precision": precision}
            job = Job("benchmarks.ours:memory", arguments)
            ours = [_predicted(job, options) for _ in range(options.repeats)]
            theirs, note = monai.figures(page, side_px) if monai is not None else ([], "")
        peaks[side_px] = each(ours, "peak_gb")
        said = f"ours {precision}, allowed {size.mem_mb} MB"
        rows += _rows(side_px, ours, theirs, "; ".join(filter(None, (said, note))))
    after, before, target = GROWTH
    if after in peaks:
        case = f"our peak, {after} px a side against {before}"
        rows.append(Comparison("memory", case, "GB", peaks[after], peaks[before], target))
    return rows


def _rows(
    side_px: int, ours: Sequence[Figures], theirs: Sequence[Figures], note: str
) -> list[Comparison]:
    case = f"{side_px} x {side_px} px, three classes, file to files"
    units = {"peak_gb": ("peak", "GB"), "megapixels_per_s": ("speed", "Mpx/s")}
    return [
        Comparison(
            "memory",
            f"{what}, {case}",
            unit,
            each(ours, name),
            each(theirs, name),
            PEAK.get(side_px) if name == "peak_gb" else None,
            note,
        )
        for name, (what, unit) in units.items()
    ]


@contextmanager
def _page(folder: Path, side_px: int) -> Iterator[Path]:
    """A page on the disk, if there is room for it and all that is made of it; removed after use."""
    needed = BYTES_A_PIXEL_ON_DISK * side_px**2
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"{folder}: {side_px} x {side_px} px need up to {needed / GB:.0f} GB on disk, "
            f"{free / GB:.0f} GB are free"
        )
    path = folder / f"page-{side_px}.tif"
    samples.large_page(path, side_px)
    try:
        yield path
    finally:
        path.unlink()


def _predicted(job: Job, options: Options) -> Figures:
    """Figures of one prediction into a folder, which is removed."""
    with TemporaryDirectory(dir=options.scratch) as folder:
        return once(replace(job, arguments={**job.arguments, "folder": folder}), options)


class Monai:
    """MONAI's figures, for the pages that it survives on this machine."""

    def __init__(self, network: str, window_px: int, precision: str, options: Options) -> None:
        self._fixed = {
            "peer": "monai",
            "network": network,
            "window_px": window_px,
            "precision": precision,
        }
        self._options = options
        self._peaks_gb: dict[int, float] = {}

    def figures(self, page: Path, side_px: int) -> tuple[list[Figures], str]:
        """Figures and a note; no figures where the page would need too much.

        Once only: a large page takes minutes, and memory hardly varies.
        """
        need_gb, free_gb = self._need_gb(side_px), available_bytes() / GB
        if need_gb > SHARE_OF_MEMORY * free_gb:
            return [], f"MONAI needs {need_gb:.0f} GB, {free_gb:.0f} GB are free: not run"
        with tifffile.TiffFile(page) as file:
            (offset,) = file.pages[0].dataoffsets
        arguments = {"page": str(page), "offset": offset, "side_px": side_px}
        arguments |= {"limit_bytes": available_bytes(), **self._fixed}
        job = Job("benchmarks.windows:memory", arguments, peers.environment("monai"))
        figures = _predicted(job, self._options)
        self._peaks_gb[side_px] = figures["peak_gb"]
        note = "theirs: MONAI {precision}, windows of {window_px} px"
        return [figures], note.format(**self._fixed)

    def _need_gb(self, side_px: int) -> float:
        """From the line through the peaks of the two largest pages so far."""
        if len(self._peaks_gb) < 2:
            return GUESS_A_PIXEL * side_px**2 / GB
        (small, low), (large, high) = sorted(self._peaks_gb.items())[-2:]
        return high + (high - low) / (large**2 - small**2) * (side_px**2 - large**2)


def available_bytes() -> int:
    """Memory that Linux could give out now."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kib) * 1024
