"""How large a core fits into a memory budget: from the network alone, never from what is free.

What a window needs is counted, not guessed: the network runs once on a small one, and all tensors
that it holds at one time are added up. So any network is covered, whatever its blocks. The rest of
the estimate is measured overhead, held against real runs by the tests.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from tessera.devices import keep_freed_memory, return_freed_memory
from tessera.networks import UNet
from tessera.streams import TILE_PX

LARGEST_CORE_PX = 1024
"""Beyond it the halo costs under a tenth of the work; memory is better left to other jobs."""

PROGRAM_MB = 370
"""Python, PyTorch, pandas and Snakemake's preamble."""

OVERHEAD = 1.05
"""What oneDNN and the rounding to pages take, relative to the tensors of a window."""

CORES_IN_FLIGHT = 3
"""Results that wait for their encoders, or are being made, at one time."""

MB = 1e6


KEPT = 2.5
"""The same where freed memory is kept: windows of several shapes break it into pieces."""

HUGE_PAGES_BELOW_MB = 2000
RETURNED_BYTES = 2**20


@dataclass(frozen=True)
class Demand:
    """What predicting needs: bytes, and how far the networks see.

    Parameters
    ----------
    networks : float
        Weights, all networks together.
    per_window_px : float
        Tensors of one network at its peak, if it computed all of a window; the wider the halo is
        beside the core, the less it holds.
    per_core_px : float
        Results of a core.
    halo_px, stride : int
        Of the networks.
    """

    networks: float
    per_window_px: float
    per_core_px: float
    halo_px: int
    stride: int

    def mb(self, core_px: int, overhead: float = OVERHEAD) -> float:
        """Return the memory, in MB, of a job whose cores have this side."""
        window_px = (core_px + 2 * self.halo_px) ** 2
        held = window_px * self.per_window_px * overhead + core_px**2 * self.per_core_px
        return PROGRAM_MB + (self.networks + held) / MB


def demand(committees: Collection[Sequence[UNet]]) -> Demand:
    """Return what networks of one architecture need.

    Parameters
    ----------
    committees : collection of sequences of UNet
        As `folding.ready` gives them; the precision is that of their weights. The mean probability
        of each committee is held by itself.
    """
    networks = [network for committee in committees for network in committee]
    first, n_committees = networks[0], len(committees)
    n_inputs, n_classes = first.architecture.n_inputs, first.architecture.n_classes
    # Probabilities in float32, entropy as well, a mask for each committee and one for all.
    written = 4 * n_classes + 4 + 1 + (n_committees if n_committees > 1 else 0)
    return Demand(
        networks=sum(weight.nbytes for network in networks for weight in network.parameters()),
        per_window_px=peak_bytes_per_px(first, n_inputs),
        per_core_px=CORES_IN_FLIGHT * written + 4 * n_classes * n_committees,
        halo_px=first.halo_px,
        stride=first.stride,
    )


def core_within(mem_mb: float, needed: Demand) -> int:
    """Return the side of the largest core whose job stays within `mem_mb`.

    Raises
    ------
    ValueError
        If the smallest core needs more, with what it needs.
    """
    # No tile of the file lies in two cores.
    unit = max(TILE_PX, needed.stride)
    sides = range(max(LARGEST_CORE_PX, unit), 0, -unit)
    for core_px in sides:
        if needed.mb(core_px) <= mem_mb:
            return core_px
    raise ValueError(
        f"resources.predict.mem_mb: {mem_mb} is too little for this network, "
        f"which needs {needed.mb(sides[-1]):.0f} at least"
    )


def ask_for_huge_pages(mem_mb: float) -> None:
    """Before any tensor is made: let large ones lie in huge pages, if the budget is small.

    Memory that is returned has to be filled with zeros anew, a quarter to a third of the time; in
    huge pages it is less. Where there is memory to keep, they would only be in the way.
    """
    if mem_mb < HUGE_PAGES_BELOW_MB:
        os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def keep_or_give_back(mem_mb: float, needed: Demand, core_px: int) -> None:
    """Let this process keep what it frees, which is faster, if the budget allows; else return it.

    Left alone, glibc keeps freed blocks of up to 32 MB: measured, 270 MB more than is in use. Where
    there is no glibc this changes nothing.
    """
    if mem_mb >= max(needed.mb(core_px, KEPT), HUGE_PAGES_BELOW_MB):
        keep_freed_memory()
        return
    return_freed_memory(RETURNED_BYTES)


@torch.no_grad()
def peak_bytes_per_px(network: nn.Module, n_inputs: int = 1) -> float:
    """Return the most bytes that a network holds at one time, input included, a pixel of it.

    Examples
    --------
    >>> peak_bytes_per_px(nn.Sequential(nn.Conv2d(1, 4, 1, bias=False), nn.ReLU()))
    36.0
    """
    # Neither tensors without content nor PyTorch's dispatch modes: loading those takes 65 MB.
    side_px = 8 * getattr(network, "stride", 1)
    with _Held() as held:
        network(next(network.parameters()).new_zeros(1, n_inputs, side_px, side_px))
    return held.peak / side_px**2


class _Held(TorchFunctionMode):
    """Adds up the storage of all tensors made inside the block, while they are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        self.peak = max(self.peak, self._now)
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self._now += size
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size
