"""Where and in which precision networks run, and what makes a device repeat itself bit by bit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")
# Names of native bf16 arithmetic in processors; without it bf16 is emulated, and slow.
CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Make a GPU compute the same bits each time, inside the block; a CPU does so anyway."""
    if device.type != "cuda":
        yield
        return
    # cuBLAS reads it when first used; without it PyTorch refuses deterministic products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    products = torch.backends.cuda.matmul
    before = torch.are_deterministic_algorithms_enabled(), products.allow_tf32
    try:
        torch.use_deterministic_algorithms(True)
        products.allow_tf32 = False
        # Said in full: left out, `enabled` would be False.
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        products.allow_tf32 = before[1]


def resolve_device(wanted: str) -> str:
    """Return 'cpu' or 'cuda' for 'auto', 'cpu' or 'cuda'; ValueError if CUDA is not there."""
    if wanted not in DEVICES:
        raise ValueError(f"device: {wanted!r} is none of {', '.join(DEVICES)}")
    present = torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise ValueError(
            f"device: cuda is asked for, but PyTorch {torch.__version__} finds no GPU here; "
            "say auto or cpu, or run where there is one"
        )
    return "cuda" if present and wanted != "cpu" else "cpu"


def resolve_precision(wanted: str, device: str) -> str:
    """Return 'fp32' or 'bf16'; 'auto' takes bf16 only where the device has it natively."""
    if wanted not in PRECISIONS:
        raise ValueError(f"precision: {wanted!r} is none of {', '.join(PRECISIONS)}")
    if wanted != "auto":
        return wanted
    if torch.device(device).type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = any(torch.cpu.get_capabilities().get(name) for name in CPU_BF16)
    return "bf16" if native else "fp32"
