"""Networks as they predict: batch norm and ReLU folded into convolutions, in one type and layout.

In evaluation mode batch norm multiplies and shifts each channel by fixed numbers, and so does the
convolution before it: both are one convolution. Its zeros outside the micrograph stay zeros, since
they enter before either, so folding changes nothing but the rounding. A ReLU after it is taken as
the numbers of the convolution are written, which changes nothing at all.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import nn


class RectifiedConv2d(nn.Conv2d):
    """A convolution and the ReLU after it in one pass over memory, to the same bits (oneDNN)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the features, shape (n, channels, h, w), none below 0."""
        geometry = (self.padding, self.stride, self.dilation, self.groups)
        return torch.ops.mkldnn._convolution_pointwise(
            images, self.weight, self.bias, *geometry, "relu", [], ""
        )


def folded(network: nn.Module) -> nn.Module:
    """Return a copy in which each batch norm right after a convolution has become part of it.

    Pairs are found in every `nn.Sequential`; all other layers stay. The products are formed in
    float64, so that a logit in float32 moves by no more than rounding does.

    Raises
    ------
    ValueError
        If a batch norm to be folded is in training mode or without running statistics.

    Examples
    --------
    >>> pair = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    >>> folded(pair)[1]
    Identity()
    """
    network = copy.deepcopy(network)
    for sequence in _sequences(network):
        for position in range(len(sequence) - 1):
            layer, norm = sequence[position], sequence[position + 1]
            if type(layer) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
                sequence[position] = _merged(layer, norm)
                # In its place, not removed: names of layers and weights stay as they were.
                sequence[position + 1] = nn.Identity().eval()
    return network


def _sequences(network: nn.Module) -> list[nn.Sequential]:
    """Every `nn.Sequential` in a network, as it is before any of them is changed."""
    return [module for module in network.modules() if isinstance(module, nn.Sequential)]


@torch.no_grad()
def _merged(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    if norm.training or norm.running_mean is None:
        raise ValueError(f"folding: {norm} has no fixed statistics to fold into {layer}")
    wide = torch.float64
    factor = (norm.running_var.to(wide) + norm.eps).rsqrt()
    shift = -norm.running_mean.to(wide)
    if layer.bias is not None:
        shift = shift + layer.bias.to(wide)
    if norm.affine:
        factor = factor * norm.weight.to(wide)
    shift = shift * factor
    if norm.affine:
        shift = shift + norm.bias.to(wide)
    merged = copy.deepcopy(layer)
    number = layer.weight.dtype
    weight = layer.weight.to(wide) * factor.view(-1, 1, 1, 1)
    merged.weight = nn.Parameter(weight.to(number), requires_grad=False)
    merged.bias = nn.Parameter(shift.to(number), requires_grad=False)
    return merged


def rectified(network: nn.Module) -> nn.Module:
    """Make each convolution that a ReLU follows a `RectifiedConv2d`, in place where oneDNN has it.

    That is on a CPU, for numbers of 32 bits, or 16 where the processor multiplies those. Pairs are
    found in every `nn.Sequential`, whether or not a batch norm between them has been folded.
    """
    for sequence in _sequences(network):
        rest = [place for place, layer in enumerate(sequence) if type(layer) is not nn.Identity]
        for place, after in pairwise(rest):
            layer, following = sequence[place], sequence[after]
            if type(layer) is nn.Conv2d and isinstance(following, nn.ReLU) and _is_of_onednn(layer):
                # Its weights, their names and their layout stay.
                layer.__class__ = RectifiedConv2d
                sequence[after] = nn.Identity().eval()
    return network


def _is_of_onednn(layer: nn.Conv2d) -> bool:
    """Whether a convolution is computed by oneDNN, which can take a ReLU along."""
    known = hasattr(torch.ops.mkldnn, "_convolution_pointwise")
    plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if not (known and plain and layer.weight.device.type == "cpu"):
        return False
    if layer.weight.dtype == torch.bfloat16:
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return layer.weight.dtype == torch.float32


def ready(network: nn.Module, device: str = "cpu", precision: str = "fp32") -> nn.Module:
    """Return a copy that predicts fastest: folded, on its device, channels last, in its precision.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    device : {'cpu', 'cuda'}
    precision : {'fp32', 'bf16'}
        With bf16 the weights are bfloat16 too, which is what autocast would make of them at each
        call; batch norm that nothing precedes keeps float32. With fp32 the type stays as it is.
    """
    copied = folded(network).requires_grad_(False)
    copied = copied.to(device, memory_format=torch.channels_last)
    if precision == "bf16":
        copied.bfloat16()
        for layer in copied.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.float()
    return rectified(copied)
