"""One training in several processes: each takes a part of every batch, all take the same steps.

What one process would sum over the batch is summed over all of them: the statistics of the batch
norms, the numerators and denominators of the loss, the gradients. So the result is that of one
process with the whole batch, but for rounding. In a process alone nothing here does anything.

Every process computes the same loss from the same sums. `DistributedDataParallel` takes the mean of
their gradients, and the derivative of a global sum is a global sum too, so both together give the
gradient of that one loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


def place() -> tuple[int, int]:
    """Return which process this is, and of how many; (0, 1) alone."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def own_rows(batch: int) -> slice:
    """Return which samples of a batch this process takes.

    Raises
    ------
    ValueError
        If there are fewer samples than processes.
    """
    rank, n = place()
    if batch < n:
        raise ValueError(f"batch: {batch} tiles cannot be shared by {n} devices")
    return slice(rank * batch // n, (rank + 1) * batch // n)


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Join the processes that torchrun has started, for the block."""
    # Both: numbers on the CPU are agreed on without waiting for a GPU.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def any_process(said: bool) -> bool:
    """Whether any of the processes says yes; each must ask as often as the others."""
    if place()[1] == 1:
        return said
    votes = torch.tensor([int(said)])
    distributed.all_reduce(votes)
    return bool(votes.item())


class _GlobalSum(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: torch.Tensor) -> torch.Tensor:
        return _summed(values)

    @staticmethod
    def backward(context: Any, slope: torch.Tensor) -> torch.Tensor:
        return _summed(slope)


def _summed(values: torch.Tensor) -> torch.Tensor:
    values = values.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(values)
    return values


def global_sum(values: torch.Tensor) -> torch.Tensor:
    """Return the sum over all processes, elementwise and differentiable; the values if alone."""
    return values if place()[1] == 1 else _GlobalSum.apply(values)


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation by the statistics of the whole batch, whichever process holds it.

    As `nn.SyncBatchNorm`, which is for GPUs only; parameters and statistics have the same names.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the normalised images, shape (n, channels, h, w), in their own precision."""
        if not self.training:
            return super().forward(images)
        half = images.dtype in (torch.bfloat16, torch.float16)
        values = images.float() if half else images
        n_px = global_sum(values.new_tensor(values.numel() // values.shape[1]))
        mean = global_sum(values.sum((0, 2, 3))) / n_px
        centred = values - mean.view(1, -1, 1, 1)
        # In two passes: the difference of large sums of squares would lose digits.
        variance = global_sum(centred.square().sum((0, 2, 3))) / n_px
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n_px / (n_px - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(images.dtype)


@contextmanager
def parallel(network: nn.Module, device: torch.device) -> Iterator[nn.Module]:
    """Give what to call in place of the network, inside the block; the network itself if alone.

    Weights, gradients and statistics are those of the network, which is left as it was otherwise.
    """
    if place()[1] == 1:
        yield network
        return
    cuda = device.type == "cuda"
    kind = nn.SyncBatchNorm if cuda else GlobalBatchNorm2d
    norms = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.BatchNorm2d)
    ]
    try:
        for parent, name, child in norms:
            setattr(parent, name, _twin(child, kind))
        yield DistributedDataParallel(
            network,
            device_ids=[torch.cuda.current_device()] if cuda else None,
            forward_sync_buffers=False,  # each process has the same statistics
            gradient_as_bucket_view=True,
        )
    finally:
        for parent, name, child in norms:
            setattr(parent, name, child)


def _twin(norm: nn.BatchNorm2d, kind: type[nn.Module]) -> nn.Module:
    """A norm of another kind that shares its weights and statistics."""
    twin = kind(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    twin.weight, twin.bias = norm.weight, norm.bias
    for name, statistic in norm.named_buffers(recurse=False):
        setattr(twin, name, statistic)
    return twin.train(norm.training)
