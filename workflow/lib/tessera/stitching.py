"""Exact stitching: a prediction in parts equals the prediction of the whole micrograph.

Each core (`cores`) is predicted in a window that adds the halo of the network.
Three things make the result exact rather than blended. Windows start on the stride, so that
pooling pairs the same pixels. The halo covers all that a core depends on. And a window ends
where the micrograph ends, so that the network pads it with the same zeros there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import nn

from tessera.batches import prefetched
from tessera.cores import Core, cores, extended, stitch, window
from tessera.devices import reproducible
from tessera.folding import ready
from tessera.symmetries import Symmetry
from tessera.symmetries import symmetries as images_under

# Layers whose output at a pixel, in evaluation mode, depends on nearby pixels only.
LOCAL_LAYERS = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.BatchNorm2d,
    nn.ReLU,
    nn.LeakyReLU,
    nn.SiLU,
    nn.GELU,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
)
# Told apart from layers because they may be empty, as in a network of one level.
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def logits_of_whole(network: nn.Module, page: np.ndarray, precision: str = "fp32") -> np.ndarray:
    """Return the logits (classes, h, w) of a page (h, w) or (inputs, h, w) in one piece.

    The definition that `stitched_logits` must equal. Memory grows with the page.
    """
    height, width = page.shape[-2:]
    side_px = extended(max(height, width), network.stride)
    return stitch(stitched_logits(network, page, side_px, precision), height, width)


def stitched_logits(
    network: nn.Module,
    page: np.ndarray,
    core_px: int,
    precision: str = "fp32",
    batch: int = 1,
) -> Iterator[tuple[Core, np.ndarray]]:
    """Yield each core with its logits (classes, rows, columns).

    In fp32 the network is taken as it is, on its device and in its type; `folding.ready` makes the
    faster one that `predict` uses. Raises ValueError for what `cores` refuses and for a network
    that cannot be stitched: in training mode, or with a layer that sees the whole window at once,
    such as instance or group normalisation.
    """
    check_local(network)
    if precision == "bf16":
        network = ready(network, next(network.parameters()).device.type, precision)
    parts = cores(*page.shape[-2:], core_px, network.halo_px, network.stride)
    return (
        (core, logits.cpu().numpy())
        for group, images in _windows(page, parts, batch)
        for core, logits in zip(group, _logits(network, images, group[0].within), strict=True)
    )


def predict(
    networks: Sequence[nn.Module],
    page: np.ndarray,
    core_px: int,
    device: str,
    precision: str,
    symmetries: int = 1,
) -> Iterator[tuple[Core, np.ndarray]]:
    """Yield each core with its class probabilities (rows, columns, classes) in float32.

    The networks are folded and prepared by `folding.ready`; their softmax probabilities are
    averaged. For several pages prepare them once and use `probabilities`.

    Parameters
    ----------
    networks : sequence of nn.Module
        In evaluation mode, of one stride and halo; told what is wanted like `networks.UNet`.
    page : array, shape (h, w) or (inputs, h, w)
        Normalised micrograph, possibly a memory map or a `files.StreamedPage`; one window at a
        time is in memory, and the next one.
    core_px : int
        Side of a core, a multiple of the stride; changes the memory and time, not the result.
    device : {'cpu', 'cuda'}
    precision : {'fp32', 'bf16'}
    symmetries : {1, 4, 8}
        See `probabilities`.

    Raises
    ------
    ValueError
        If there is no network, they differ in stride or halo, or `stitched_logits` would.
    """
    for network in networks:
        check_local(network)
    prepared = [ready(network, device, precision) for network in networks]
    parts = probabilities([prepared], page, core_px, symmetries)
    return ((core, part[0].permute(1, 2, 0).contiguous().cpu().numpy()) for core, part in parts)


def probabilities(
    committees: Sequence[Sequence[nn.Module]],
    page: np.ndarray,
    parts: int | Iterable[Core],
    symmetries: int = 1,
    batch: int = 1,
) -> Iterator[tuple[Core, torch.Tensor]]:
    """Yield each core with the mean probabilities of each committee of networks.

    All networks share the reading of a window, and the next ones are read meanwhile. With several
    symmetries each network sees the window in each of them: the mean is that of probabilities, as
    it is over networks, so that a symmetry weighs like one more network.

    Parameters
    ----------
    committees : sequence of sequences of nn.Module
        As `folding.ready` gives them, of one stride and halo; for example the folds of each seed.
    page
        As for `predict`.
    parts : int or iterable of Core
        The side of cores that tile the page; or the cores themselves, such as `covering` gives.
    symmetries : {1, 4, 8}
        As it is, also mirrored, also turned by a right angle. Defined on the micrograph extended
        to the stride: the mean over its images, each predicted as a whole and turned back.
    batch : int
        Windows of one shape, cut alike, that pass the network together.

    Yields
    ------
    Core, Tensor of float32, shape (committees, classes, rows, columns), on the networks' device

    Raises
    ------
    ValueError
        If there is no network, they differ in stride or halo, or `stitched_logits` would.
    """
    networks = [network for committee in committees for network in committee]
    grids = sorted({(network.stride, network.halo_px) for network in networks})
    if len(grids) != 1:
        raise ValueError(f"networks: (stride, halo_px) must be one and the same, not {grids}")
    for network in networks:
        check_local(network)
    images_of = images_under(symmetries)
    if isinstance(parts, int):
        stride, halo_px = grids[0]
        parts = cores(*page.shape[-2:], parts, halo_px, stride)
    return (
        pair
        for group, images in _windows(page, parts, batch)
        for pair in zip(group, _means(committees, group, images, images_of), strict=True)
    )


def _windows(
    page: np.ndarray, parts: Iterable[Core], batch: int
) -> Iterator[tuple[list[Core], torch.Tensor]]:
    """Yield up to `batch` cores that lie alike in their windows, and these: (n, inputs, h, w).

    The next ones are read in a thread.
    """
    groups = _alike(parts, batch)

    def at(step: int) -> torch.Tensor:
        windows = [window(page, core) for core in groups[step]]
        height, width = windows[0].shape[-2:]
        return torch.from_numpy(np.stack(windows).reshape(len(windows), -1, height, width))

    return zip(groups, prefetched(at, 0, len(groups)), strict=True)


def _alike(parts: Iterable[Core], batch: int) -> list[list[Core]]:
    """Group neighbours in order that lie alike in windows of one shape, up to `batch` of them."""
    groups: list[list[Core]] = []
    known = None
    for core in parts:
        alike = core.read_shape, core.within
        if alike != known or len(groups[-1]) >= batch:
            groups.append([])
        groups[-1].append(core)
        known = alike
    return groups


@torch.inference_mode()
def _means(
    committees: Sequence[Sequence[nn.Module]],
    group: Sequence[Core],
    images: torch.Tensor,
    images_of: Sequence[Symmetry],
) -> list[torch.Tensor]:
    """Return, for each core of a group, (committees, classes, rows, columns)."""
    means: list[list[torch.Tensor]] = [[] for _ in group]
    within, shape = group[0].within, group[0].read_shape
    for networks in committees:
        passes = [(network, symmetry) for network in networks for symmetry in images_of]
        sums: list[torch.Tensor | None] = [None] * len(group)
        for network, symmetry in passes:
            wanted = symmetry.of_spans(within, shape)
            logits = symmetry.undone(_logits(network, symmetry.of(images), wanted))
            for index, of_core in enumerate(logits):
                # Contiguous by class: a softmax over neighbours in memory is several times slower.
                share = torch.softmax(of_core.contiguous(), 0)
                sums[index] = share if sums[index] is None else sums[index].add_(share)
            del logits
        for mean, total in zip(means, sums, strict=True):
            mean.append(total.div_(len(passes)).float())
    return [torch.stack(mean) if len(mean) > 1 else mean[0][None] for mean in means]


@torch.inference_mode()
def _logits(network: nn.Module, images: torch.Tensor, wanted: tuple[slice, slice]) -> torch.Tensor:
    """Return logits (n, classes, rows, columns) wanted, in fp32 if the network runs in bf16."""
    weight = next(network.parameters())
    images = images.to(weight.device, weight.dtype).contiguous(memory_format=torch.channels_last)
    with reproducible(weight.device):
        logits = network(images, wanted)
    return logits.float() if logits.dtype == torch.bfloat16 else logits


def check_local(network: nn.Module) -> None:
    """Raise ValueError, with the layer, if a network cannot be evaluated in parts."""
    for name, layer in network.named_modules():
        if layer.training:
            raise ValueError(f"stitching: {name or 'the network'} is in training mode")
        if isinstance(layer, CONTAINERS) or next(layer.children(), None) is not None:
            continue
        if not isinstance(layer, LOCAL_LAYERS):
            raise ValueError(f"stitching: layer {name}, {layer}, is not known to be local")
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is None:
            raise ValueError(f"stitching: layer {name}, {layer}, has no running statistics")
        if getattr(layer, "padding_mode", "zeros") == "circular":
            raise ValueError(f"stitching: layer {name}, {layer}, wraps around")


def entropy(probability: torch.Tensor) -> torch.Tensor:
    """Return how undecided each pixel is: 0 for one certain class, 1 for all alike.

    Shannon entropy over the first axis, divided by the logarithm of the number of classes.

    Examples
    --------
    >>> entropy(torch.tensor([[1.0, 0.5], [0.0, 0.5]])).tolist()
    [0.0, 1.0]
    """
    n_classes = probability.shape[0]
    if n_classes < 2:
        raise ValueError(f"entropy: {n_classes} classes in an array of {tuple(probability.shape)}")
    nats = torch.special.entr(probability).sum(0)
    # The absolute value only turns -0.0 into 0.0.
    return nats.div_(math.log(n_classes)).abs_().clamp_(max=1)
