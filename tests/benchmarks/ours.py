"""Our job of which the memory is measured: it imports what the script of the rule does, no more."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import predict as script

PIXEL_SIZE_NM = 0.1


def memory(
    network: str, page: str, side_px: int, mem_mb: int, precision: str, folder: str
) -> Callable[[], dict[str, Any]]:
    """Prepare `predict.py` for a square page; a trial predicts it into `folder`."""
    table = Path(folder) / "table.tsv"
    known = {"micrograph": "large", "page": 0, "rows": side_px, "columns": side_px}
    cells = zip(*(known | {"pixel_size_nm": PIXEL_SIZE_NM}).items(), strict=True)
    table.write_text("".join("\t".join(map(str, row)) + "\n" for row in cells), encoding="utf-8")
    run = script.Run(mem_mb, "cpu", precision, threads=torch.get_num_threads())

    def trial() -> dict[str, Any]:
        start = time.perf_counter()
        script.main(page, str(table), [network], ["0"], folder, run)
        return {"megapixels_per_s": side_px**2 / 1e6 / (time.perf_counter() - start)}

    return trial
