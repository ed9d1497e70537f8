"""Networks: how far they see, that a seed makes them, and their bytes and digests."""

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tessera import networks
from tessera.networks import Architecture, build, plain, to_bytes, weights_digest
from trained_networks import page_of, trained_like

SHAPES = [(name, levels) for name in ("unet", "encoder-decoder") for levels in (1, 2, 3, 4)]


def architecture(name="unet", levels=2, n_inputs=1, n_classes=2):
    return Architecture(name, tuple(4 + level for level in range(levels)), n_inputs, n_classes)


def test_halo_and_stride_of_the_default_are_those_of_the_design():
    default = Architecture("unet", (32, 64, 128, 256), 1, 2)
    assert (default.stride, default.halo_px) == (8, 48)
    network = build(architecture(levels=4), seed=0)
    assert (network.stride, network.halo_px) == (8, 48)


@pytest.mark.parametrize(("name", "levels"), SHAPES)
def test_an_aligned_core_depends_on_nothing_beyond_the_halo(name, levels):
    network = build(architecture(name, levels), seed=levels).double().eval()
    halo_px, stride = network.halo_px, network.stride
    side_px = stride + 2 * (halo_px + stride)
    core = slice(halo_px + stride, halo_px + 2 * stride)
    generator = torch.Generator().manual_seed(levels)
    page = torch.randn(
        1, 1, side_px, side_px, dtype=torch.float64, generator=generator, requires_grad=True
    )
    network(page)[..., core, core].sum().backward()
    rows, columns = torch.nonzero(page.grad[0, 0], as_tuple=True)
    for found in (rows, columns):
        assert found.min() >= core.start - halo_px
        assert found.max() < core.stop + halo_px


@pytest.mark.parametrize(("name", "levels"), SHAPES)
def test_the_radius_is_reached_and_never_passed(name, levels):
    """With weights and pixels above 0 nothing is cut off by ReLU, and a bright pixel wins pools."""
    shape = architecture(name, levels)
    network = build(shape, seed=0).double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    radius_px, stride = shape.radius_px, shape.stride
    margin_px = shape.halo_px + 2 * stride
    core = slice(margin_px, margin_px + stride)
    page = torch.ones(1, 1, stride + 2 * margin_px, stride + 2 * margin_px, dtype=torch.float64)

    def change(index, axis):
        bright = page.clone()
        bright.select(axis, index).fill_(1e3)
        with torch.no_grad():
            return (network(bright) - network(page))[..., core, core].abs().max()

    for axis in (2, 3):
        distances = []
        for index in range(page.shape[axis]):
            if change(index, axis) > 0:
                distances.append(max(core.start - index, index - core.stop + 1))
        assert max(distances) == radius_px


spans = st.tuples(st.integers(0, 39), st.integers(1, 40)).map(lambda of: slice(of[0], sum(of)))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(5, 10), st.integers(5, 10), spans, spans)
def test_what_is_wanted_is_that_part_of_all(shape, down, across, rows, columns):
    network = trained_like(*shape).double()
    size = down * network.stride, across * network.stride
    wanted = tuple(
        slice(span.start % length, min(span.start % length + span.stop - span.start, length))
        for span, length in zip((rows, columns), size, strict=True)
    )
    page = torch.from_numpy(page_of(*size)).double()[None, None]
    with torch.inference_mode():
        part, whole = network(page, wanted), network(page)[..., *wanted]
    torch.testing.assert_close(part, whole, rtol=0, atol=1e-12)


def test_no_more_is_computed_on_the_way_up_than_is_wanted():
    network = build(Architecture("unet", (8, 16, 32, 64), 1, 2), seed=0).eval()
    side_px = 128 + 2 * network.halo_px

    def operations(wanted):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 1, side_px, side_px), wanted)
        return counter.get_total_flops()

    core = slice(network.halo_px, side_px - network.halo_px)
    whole = slice(0, side_px)
    assert operations((whole, whole)) == operations(None)
    assert operations((core, whole)) < 0.8 * operations(None)
    assert operations((core, core)) < 0.65 * operations(None)


@pytest.mark.parametrize("name", ["unet", "encoder-decoder"])
@pytest.mark.parametrize("levels", [1, 3])
def test_output_has_the_size_of_the_input(name, levels):
    network = build(architecture(name, levels, n_inputs=2, n_classes=3), seed=0)
    assert network(torch.zeros(2, 2, 8, 12)).shape == (2, 3, 8, 12)


def test_size_off_the_stride_is_refused_with_the_values():
    with pytest.raises(ValueError, match=r"\(1, 1, 8, 6\).*stride, 4"):
        build(architecture(levels=3), seed=0)(torch.zeros(1, 1, 8, 6))


def test_seed_alone_makes_the_weights_and_the_global_state_is_left_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = weights_digest(build(architecture(), seed=5).state_dict())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert weights_digest(build(architecture(), seed=5).state_dict()) == first
    assert weights_digest(build(architecture(), seed=6).state_dict()) != first


def test_skips_are_the_only_difference_between_the_twins():
    unet, plain_twin = (build(architecture(name, 3), 0) for name in ("unet", "encoder-decoder"))
    channels = [(4, 4), (5, 5)]
    assert [block[0].in_channels for block in unet.join] == [m + n for m, n in channels[::-1]]
    assert [block[0].in_channels for block in plain_twin.join] == [m for m, _ in channels[::-1]]


@pytest.mark.parametrize(
    "values",
    [
        ("resnet", (4,), 1, 2),
        ("unet", (), 1, 2),
        ("unet", (0,), 1, 2),
        ("unet", (4,), 0, 2),
        ("unet", (4,), 1, 1),
    ],
)
def test_impossible_architectures_are_refused(values):
    with pytest.raises(ValueError, match=r"architecture|channels|n_inputs|n_classes"):
        Architecture(*values)


def test_digest_sees_values_and_names_but_not_the_layout():
    weights = build(architecture(), seed=0).state_dict()
    digest = weights_digest(weights)
    other_layout = {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in reversed(weights.items())
    }
    assert weights_digest(other_layout) == digest
    name = "head.bias"
    assert weights_digest({**weights, name: weights[name] + 1e-7}) != digest
    assert weights_digest({"x": torch.zeros(2)}) != weights_digest({"x": torch.zeros(1, 2)})


def test_equal_values_are_saved_as_equal_bytes_and_read_back_safely():
    weights = build(architecture(), seed=0).state_dict()
    value = {"weights": weights, "history": [{"loss": 0.5}], "name": "unet", "channels": (2, 3)}
    first = to_bytes(value)
    assert to_bytes(value) == first
    loaded = torch.load(io.BytesIO(first), weights_only=True)
    assert weights_digest(loaded["weights"]) == weights_digest(weights)
    assert loaded["channels"] == (2, 3)
    assert to_bytes(loaded) == first


def test_what_could_not_be_read_back_is_not_saved():
    with pytest.raises(TypeError, match="object"):
        plain({"x": object()})


@pytest.mark.parametrize("shape", [(16, 8), (3, 5)])
def test_doubling_in_training_is_the_transposed_convolution(shape):
    n_in, n_out = shape
    layer = nn.ConvTranspose2d(n_in, n_out, 2, stride=2)
    features = torch.randn(2, n_in, 6, 10).to(memory_format=torch.channels_last)
    weights = (features.requires_grad_(), layer.weight, layer.bias)
    slope = torch.randn(2, n_out, 12, 20)

    ours, oracle = networks._doubled(layer.train(), features), layer(features)
    ours_back = torch.autograd.grad(ours, weights, slope)
    oracle_back = torch.autograd.grad(oracle, weights, slope)

    assert ours.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ours, oracle)
    for ours_part, oracle_part in zip(ours_back, oracle_back, strict=True):
        torch.testing.assert_close(ours_part, oracle_part)
