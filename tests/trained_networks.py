"""Networks with the statistics of trained ones, and micrographs for them."""

import numpy as np
import torch
from torch import nn

from tessera.networks import Architecture, build


def trained_like(name="unet", levels=3, seed=0, n_inputs=1, n_classes=2, channels=3):
    """A network with the statistics of a trained one: an offset at the border would show."""
    network = build(
        Architecture(name, tuple(channels + i for i in range(levels)), n_inputs, n_classes), seed
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.5, generator=generator)
                layer.running_var.uniform_(0.5, 2, generator=generator)
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.normal_(0, 0.5, generator=generator)
    return network.eval()


def page_of(height, width, seed=0, n_inputs=None):
    """A normalised micrograph of noise, or several inputs of it."""
    shape = (height, width) if n_inputs is None else (n_inputs, height, width)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
