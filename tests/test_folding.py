"""Folding: the same network with fewer layers, to rounding."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tessera.folding import RectifiedConv2d, folded, ready, rectified
from tessera.networks import NAMES
from tessera.stitching import check_local
from trained_networks import trained_like


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(NAMES), st.integers(1, 4), st.integers(1, 3), st.integers(0, 1000))
def test_a_folded_network_gives_the_logits_of_the_plain_one(name, levels, n_inputs, seed):
    network = trained_like(name, levels, seed, n_inputs)
    images = torch.randn(1, n_inputs, 40, 56, generator=torch.Generator().manual_seed(seed))
    for number, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        network.to(number)
        with torch.inference_mode():
            plain, found = network(images.to(number)), folded(network)(images.to(number))
        atol = tolerance * max(1.0, float(plain.abs().max()))
        torch.testing.assert_close(found, plain, rtol=0, atol=atol)


def test_the_network_itself_stays_as_it_was():
    network = trained_like()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    ready(network, "cpu", "bf16")
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def norms_of(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


def test_no_batch_norm_is_left_and_what_is_left_is_local():
    network = folded(trained_like(levels=4))
    assert norms_of(network) == []
    check_local(network)
    assert not network.training
    assert (network.stride, network.halo_px) == (8, 48)


class Residual(nn.Module):
    """A block as another might be: pairs within it, a batch norm that nothing precedes."""

    def __init__(self):
        super().__init__()
        self.first = nn.BatchNorm2d(4)
        self.body = nn.Sequential(
            nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4, affine=False), nn.ReLU()
        )
        self.side = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)])

    def forward(self, images):
        features = self.first(images)
        return self.body(features) + self.side[1](self.side[0](features))


def test_pairs_are_found_within_any_block_and_others_are_left():
    network = Residual()
    network(torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)))
    network.eval()
    images = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(folded(network)(images), network(images), rtol=0, atol=1e-5)
    assert len(norms_of(folded(network))) == 2
    assert isinstance(folded(network).body[1], nn.Identity)
    # Statistics keep their digits where the weights do not.
    assert {norm.running_var.dtype for norm in norms_of(ready(network, "cpu", "bf16"))} == {
        torch.float32
    }


def relus_of(network):
    return [layer for layer in network.modules() if isinstance(layer, nn.ReLU)]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", NAMES)
def test_relu_taken_along_changes_no_bit(name, precision):
    if precision == "bf16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("no arithmetic of 16 bits here")
    network = trained_like(name, levels=3, n_inputs=2)
    number = torch.bfloat16 if precision == "bf16" else torch.float32
    # Large enough for oneDNN, which nn.Conv2d does not take for a few pixels in fp32.
    images = torch.randn(1, 2, 136, 120, generator=torch.Generator().manual_seed(0)).to(number)
    images = images.contiguous(memory_format=torch.channels_last)
    apart = folded(network).to(memory_format=torch.channels_last).to(number)
    found = ready(network, "cpu", precision)
    with torch.inference_mode():
        assert torch.equal(found(images), apart(images))
    assert relus_of(apart)
    assert not relus_of(found)
    assert found.state_dict().keys() == apart.state_dict().keys()
    check_local(found)


def test_relu_is_taken_along_only_where_it_follows_and_onednn_computes():
    alone = nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.ReLU())
    wide = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU()).double()
    mirrored = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), nn.ReLU())
    for network in (alone, wide, mirrored):
        assert len(relus_of(rectified(network))) == 1
        assert not any(isinstance(layer, RectifiedConv2d) for layer in network.modules())


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm2d(2), nn.BatchNorm2d(2, track_running_stats=False).eval()]
)
def test_statistics_that_are_not_fixed_are_refused(norm):
    with pytest.raises(ValueError, match="no fixed statistics"):
        folded(nn.Sequential(nn.Conv2d(1, 2, 3), norm))


def test_bf16_is_that_of_autocast():
    network = trained_like(levels=3)
    images = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 64, 64))).float()
    with torch.inference_mode():
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            cast = network(images).float()
        found = ready(network, "cpu", "bf16")(images.bfloat16()).float()
    of_cast, of_found = ((logits - exact).abs().mean() for logits in (cast, found))
    assert 0 < of_found < 1.5 * of_cast
