"""The networks: a U-Net and its twin without skips, which state how far they see.

Stitching is exact only because a network knows two numbers: its ``stride`` (the grid on which
it is equivariant) and its ``halo_px`` (how far from a pixel an input can still change it).
Both follow from the architecture alone, by interval arithmetic through its layers. Here too:
the bytes and the digest under which weights are stored and compared.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

NAMES = ("unet", "encoder-decoder")
KERNEL_RADIUS_PX = 1
CONVOLUTIONS_A_BLOCK = 2
BLOCK_RADIUS_PX = KERNEL_RADIUS_PX * CONVOLUTIONS_A_BLOCK


@dataclass(frozen=True)
class Architecture:
    """What a network is made of, without its weights.

    Parameters
    ----------
    name : {'unet', 'encoder-decoder'}
        'encoder-decoder' is the U-Net without its skip connections.
    channels : tuple of int
        Feature maps of each level, finest first; its length is the number of levels.
    n_inputs : int
        Input channels; 1 for a grey micrograph.
    n_classes : int
        Classes of the softmax, at least two.

    Raises
    ------
    ValueError
        If a value is outside what is stated above.
    """

    name: str
    channels: tuple[int, ...]
    n_inputs: int
    n_classes: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if self.name not in NAMES:
            raise ValueError(f"architecture: {self.name!r} is none of {', '.join(NAMES)}")
        if not self.channels or min(self.channels) < 1:
            raise ValueError(f"channels: {self.channels} needs one or more positive numbers")
        if self.n_inputs < 1:
            raise ValueError(f"n_inputs: {self.n_inputs} is less than 1")
        if self.n_classes < 2:
            raise ValueError(f"n_classes: {self.n_classes} is less than 2")

    @property
    def stride(self) -> int:
        """Pixels by which an input may shift so that the output shifts with it."""
        return 2 ** (len(self.channels) - 1)

    @property
    def radius_px(self) -> int:
        """Pixels beyond a core aligned to the stride that can change it, not rounded."""
        start, stop = _seen((0, self.stride), len(self.channels))
        return max(-start, stop - self.stride)

    @property
    def halo_px(self) -> int:
        """``radius_px`` rounded up to a multiple of the stride, so that windows stay aligned."""
        return -(-self.radius_px // self.stride) * self.stride


def _seen(wanted: tuple[int, int], levels: int) -> tuple[int, int]:
    """Return the half-open input interval that an output interval depends on.

    A block of 3 x 3 convolutions widens the interval by one pixel each; going down a level
    rounds it outwards to whole pixels of the coarser grid. The skip connection adds nothing:
    what it carries lies inside what the coarser level needs.
    """
    start, stop = wanted[0] - BLOCK_RADIUS_PX, wanted[1] + BLOCK_RADIUS_PX
    if levels == 1:
        return start, stop
    coarse_start, coarse_stop = _seen((start // 2, -(-stop // 2)), levels - 1)
    return 2 * coarse_start - BLOCK_RADIUS_PX, 2 * coarse_stop + BLOCK_RADIUS_PX


class UNet(nn.Module):
    """Predict class logits (n, classes, h, w) from images (n, inputs, h, w).

    Two 3 x 3 convolutions with batch normalisation a level, maximum pooling down, transposed
    convolution up, skips by concatenation. Unlike the original, convolutions are padded with
    zeros, so that the output has the size of the input.

    References
    ----------
    Ronneberger, Fischer, Brox 2015, DOI 10.1007/978-3-319-24574-4_28.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.stride = architecture.stride
        self.halo_px = architecture.halo_px
        self.has_skips = architecture.name == "unet"
        channels = architecture.channels
        wider, finer = channels[:0:-1], channels[-2::-1]
        n_joined = 2 if self.has_skips else 1
        self.down = nn.ModuleList(
            _block(n, m) for n, m in zip((architecture.n_inputs, *channels), channels, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(n, m, 2, stride=2) for n, m in zip(wider, finer, strict=True)
        )
        self.join = nn.ModuleList(_block(n_joined * m, m) for m in finer)
        self.head = nn.Conv2d(channels[0], architecture.n_classes, 1)

    def forward(
        self, images: torch.Tensor, wanted: tuple[slice, slice] | None = None
    ) -> torch.Tensor:
        """Return the logits, all or those of the wanted rows and columns alone.

        On the way up no more is computed than those depend on. Of a window whose halo is there for
        the coarser levels, that saves most of the halo.

        Raises
        ------
        ValueError
            If height or width is not a multiple of the stride.
        """
        if images.shape[-2] % self.stride or images.shape[-1] % self.stride:
            raise ValueError(
                f"images: {tuple(images.shape)} must have height and width in multiples "
                f"of the network's stride, {self.stride}"
            )
        features, skips = self.down[0](images), []
        for block in list(self.down)[1:]:
            if self.has_skips:
                skips.append(features)
            features = block(self.pool(features))
        reads, first = self._reads(wanted, images.shape[-2:]), (0, 0)
        for up, join, read in zip(self.up, self.join, reads, strict=True):
            features = _part(_doubled(up, features), read, [2 * n for n in first])
            if skips:  # each is dropped as soon as it is used: at full size they fill the memory
                features = torch.cat([_part(skips.pop(), read), features], 1)
            features = join(features)
            first = [span.start for span in read] if read else first
        return _part(self.head(features), wanted, first)

    def _reads(
        self, wanted: tuple[slice, slice] | None, shape: Sequence[int]
    ) -> list[tuple[slice, slice] | None]:
        """What each join reads for what is wanted, coarsest first, in pixels of its level."""
        if wanted is None:
            return [None] * len(self.join)
        reads = []
        for level in range(len(self.join)):
            sizes = (size // 2**level for size in shape)
            read = tuple(_around(*of) for of in zip(wanted, sizes, strict=True))
            reads.append(read)
            wanted = tuple(slice(span.start // 2, span.stop // 2) for span in read)
        return reads[::-1]


def _around(span: slice, size: int) -> slice:
    """What a block reads for a span of an axis, from and to pixels of the next coarser level."""
    start, stop = span.start - BLOCK_RADIUS_PX, span.stop + BLOCK_RADIUS_PX
    return slice(max(start // 2 * 2, 0), min(-(-stop // 2) * 2, size))


def _part(
    features: torch.Tensor, wanted: tuple[slice, slice] | None, first: Sequence[int] = (0, 0)
) -> torch.Tensor:
    """Rows and columns of features whose first pixel is `first`; all if none are wanted."""
    if wanted is None:
        return features
    rows, columns = (
        slice(span.start - start, span.stop - start)
        for span, start in zip(wanted, first, strict=True)
    )
    return features[..., rows, columns]


def build(architecture: Architecture, seed: int) -> UNet:
    """Return a network whose weights are a pure function of the architecture and the seed.

    Convolutions start from a normal distribution that keeps the variance through ReLU (He et
    al. 2015, DOI 10.1109/ICCV.2015.123). The global random state is left as it was.

    Examples
    --------
    >>> network = build(Architecture("unet", (32, 64, 128, 256), 1, 2), seed=0)
    >>> network.stride, network.halo_px
    (8, 48)
    """
    # Not torch.manual_seed: that would also reseed the GPUs, which fork_rng does not restore
    # when told to leave them alone.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        network = UNet(architecture)
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return network


def _doubled(layer: nn.ConvTranspose2d, features: torch.Tensor) -> torch.Tensor:
    """Apply a transposed convolution whose kernel is its stride: no two outputs share a pixel.

    In training it is a matrix product instead, the same bits, whose gradient takes a quarter of
    the time on a CPU (oneDNN 3, bf16).
    """
    if not layer.training:
        return layer(features)
    (n, n_in, height, width), k, n_out = features.shape, layer.stride[0], layer.out_channels
    weight = layer.weight.permute(2, 3, 1, 0).reshape(k * k * n_out, n_in)
    cells = functional.linear(features.permute(0, 2, 3, 1), weight, layer.bias.repeat(k * k))
    cells = cells.view(n, height, width, k, k, n_out).transpose(2, 3)
    return cells.reshape(n, k * height, k * width, n_out).permute(0, 3, 1, 2)


class _ReLU(nn.ReLU):
    """In place, but for bf16 on a CPU: there PyTorch takes twice as long in place."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        slow = features.dtype == torch.bfloat16 and features.device.type == "cpu"
        return functional.relu(features, inplace=not slow)


def _block(n_in: int, n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in (n_in, *[n_out] * (CONVOLUTIONS_A_BLOCK - 1)):
        size = 2 * KERNEL_RADIUS_PX + 1
        layers += [
            nn.Conv2d(n, n_out, size, padding=KERNEL_RADIUS_PX, bias=False),
            nn.BatchNorm2d(n_out),
            _ReLU(),
        ]
    return nn.Sequential(*layers)


def plain(value: Any) -> Any:
    """Return a copy made of what `torch.load(weights_only=True)` reads, tensors on the CPU.

    Equal values give equal bytes when saved: text is interned, since a pickle stores equal
    texts once or twice depending on whether they are one object. Layouts of tensors are kept.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    if isinstance(value, str):
        return sys.intern(str(value))
    if value is None or isinstance(value, bool | int | float):
        return value
    raise TypeError(f"state: {type(value).__name__} {value!r} cannot be stored")


def to_bytes(value: dict[str, Any]) -> bytes:
    """Return the file of a state or network; equal values give equal bytes."""
    buffer = io.BytesIO()
    torch.save(plain(value), buffer)
    return buffer.getvalue()


def weights_digest(weights: dict[str, torch.Tensor]) -> str:
    """Return the SHA-256 of names, types, shapes and values, whatever device or layout."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
