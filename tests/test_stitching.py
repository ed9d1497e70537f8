"""Stitching: in parts or as a whole, the prediction is the same."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy as scipy_entropy
from torch import nn

from tessera.cores import cores, stitch
from tessera.files import write_pages
from tessera.folding import ready
from tessera.stitching import (
    check_local,
    entropy,
    logits_of_whole,
    predict,
    probabilities,
    stitched_logits,
)
from tessera.streams import StreamedPage
from trained_networks import page_of, trained_like


# Up to 170 px, so that windows of four levels also end in the interior on both sides.
@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["unet", "encoder-decoder"]),
    st.integers(1, 4),
    st.integers(1, 170),
    st.integers(1, 170),
    st.data(),
    st.integers(0, 1000),
)
def test_parts_equal_the_whole(name, levels, height, width, data, seed):
    network = trained_like(name, levels, seed)
    stride = network.stride
    most = -(-max(height, width) // stride) + 1
    # At least 16 px: smaller cores prove no more, and take as many windows as there are pixels.
    core_px = data.draw(st.integers(min(-(-16 // stride), most), most)) * stride
    page = page_of(height, width, seed)
    for number, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        network.to(number)
        whole = logits_of_whole(network, page)
        parts = stitch(stitched_logits(network, page, core_px), height, width)
        assert whole.shape == (2, height, width)
        np.testing.assert_allclose(parts, whole, rtol=0, atol=tolerance * max(1, abs(whole).max()))


@pytest.mark.parametrize("core_units", range(1, 8))
@pytest.mark.parametrize("size", [(1, 1), (1, 23), (17, 24), (24, 16)])
def test_parts_equal_the_whole_for_every_core(core_units, size):
    network = trained_like(levels=3).double()
    page = page_of(*size)
    parts = stitch(stitched_logits(network, page, core_units * network.stride), *size)
    np.testing.assert_allclose(parts, logits_of_whole(network, page), rtol=0, atol=1e-10)


def test_the_whole_is_what_the_network_gives():
    network, page = trained_like(levels=3).double(), page_of(16, 24)
    with torch.no_grad():
        expected = network(torch.from_numpy(page).double().view(1, 1, 16, 24))[0]
    np.testing.assert_allclose(logits_of_whole(network, page), expected, rtol=0, atol=1e-12)


def test_a_halo_too_small_would_show():
    """The tests above are able to fail: with half of the halo the parts differ."""
    network, page = trained_like(levels=3).double(), page_of(64, 64)
    whole = logits_of_whole(network, page)
    network.halo_px -= 3 * network.stride  # of 6
    parts = stitch(stitched_logits(network, page, 16), 64, 64)
    assert abs(parts - whole).max() > 1e-6


def test_channels_in_pages_of_their_own_are_stitched_like_the_whole(tmp_path):
    network, page = trained_like(levels=3, n_inputs=3).double(), page_of(53, 34, n_inputs=3)
    pages = [(plane, 1.0) for plane in (*page_of(9, 9, n_inputs=3), *page)]
    write_pages(tmp_path / "pages.tif", pages, compressed=False)
    with StreamedPage(tmp_path / "pages.tif", 3, 3) as streamed:
        assert streamed.shape == page.shape
        parts = stitch(stitched_logits(network, streamed, 16), 53, 34)
    np.testing.assert_allclose(parts, logits_of_whole(network, page), rtol=0, atol=1e-10)


def test_several_inputs_and_memory_maps(tmp_path):
    network, page = trained_like(levels=2, n_inputs=2).double(), page_of(21, 34, n_inputs=2)
    np.save(tmp_path / "page.npy", page)
    mapped = np.load(tmp_path / "page.npy", mmap_mode="r")
    parts = stitch(stitched_logits(network, mapped, 8), 21, 34)
    np.testing.assert_allclose(parts, logits_of_whole(network, page), rtol=0, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 150), st.integers(1, 150), st.integers(2, 5), st.data())
def test_folded_and_batched_parts_equal_the_whole(levels, height, width, batch, data):
    network = trained_like(levels=levels, seed=levels)
    page = page_of(height, width)
    least = -(-16 // network.stride)
    core_px = data.draw(st.integers(least, least + 6)) * network.stride
    for number, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        network.to(number)
        whole = logits_of_whole(network, page)
        parts = stitched_logits(ready(network), page, core_px, batch=batch)
        found = stitch(parts, height, width)
        np.testing.assert_allclose(found, whole, rtol=0, atol=tolerance * max(1, abs(whole).max()))


def test_batches_leave_the_order_of_cores():
    network, page = trained_like(levels=2), page_of(50, 70)
    singly = [core for core, _ in stitched_logits(network, page, 16)]
    assert [core for core, _ in stitched_logits(network, page, 16, batch=3)] == singly
    assert singly == list(cores(50, 70, 16, network.halo_px, network.stride))


def test_committees_share_the_reading_of_windows():
    committees = [[trained_like(seed=2 * i + k) for k in range(2)] for i in range(3)]
    page, windows = page_of(40, 40), []

    class Counted:
        shape = page.shape

        def __getitem__(self, window):
            windows.append(window)
            return page[window]

    together = list(probabilities(committees, Counted(), 16))
    assert len(windows) == len(together) == 9
    for index, networks in enumerate(committees):
        alone = probabilities([networks], page, 16)
        for (_, of_all), (_, of_one) in zip(together, alone, strict=True):
            torch.testing.assert_close(of_all[index], of_one[0])


def test_what_fails_in_reading_is_told_and_leaves_no_thread():
    class Damaged:
        shape = (40, 40)

        def __getitem__(self, window):
            if window[-2].start:
                raise OSError("damaged")
            return page_of(40, 40)[window]

    before = threading.active_count()
    with pytest.raises(OSError, match="damaged"):
        list(probabilities([[trained_like()]], Damaged(), 16))
    assert threading.active_count() == before


def assembled(parts, height, width):
    return np.moveaxis(
        stitch(((core, np.moveaxis(p, -1, 0)) for core, p in parts), height, width), 0, -1
    )


def test_prediction_is_the_mean_of_the_softmax_of_the_networks():
    networks = [trained_like(levels=3, seed=seed, n_classes=3) for seed in range(3)]
    page = page_of(37, 50)
    each = [torch.softmax(torch.from_numpy(logits_of_whole(n, page)), 0) for n in networks]
    expected = (sum(each) / 3).permute(1, 2, 0)
    found = assembled(predict(networks, page, 16, "cpu", "fp32"), 37, 50)
    assert (found.shape, found.dtype) == ((37, 50, 3), np.float32)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


def test_prediction_in_bf16_is_close_and_in_float32():
    network, page = trained_like(levels=3), page_of(40, 40)
    exact = assembled(predict([network], page, 40, "cpu", "fp32"), 40, 40)
    rough = assembled(predict([network], page, 16, "cpu", "bf16"), 40, 40)
    assert rough.dtype == np.float32
    assert abs(rough - exact).max() < 0.1
    assert abs(rough - exact).max() > 0


def test_predicting_leaves_gradients_of_the_caller_on():
    for _ in predict([trained_like()], page_of(20, 20), 16, "cpu", "fp32"):
        assert not torch.is_inference_mode_enabled()


def test_networks_of_another_grid_cannot_be_averaged():
    networks = [trained_like(levels=2), trained_like(levels=3)]
    with pytest.raises(ValueError, match=r"\(2, .*\(4, "):
        predict(networks, page_of(20, 20), 16, "cpu", "fp32")
    with pytest.raises(ValueError, match=r"not \[\]"):
        predict([], page_of(20, 20), 16, "cpu", "fp32")


@pytest.mark.parametrize(
    "layer",
    [
        nn.InstanceNorm2d(3),
        nn.GroupNorm(1, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.BatchNorm2d(3, track_running_stats=False),
    ],
)
def test_layers_that_see_the_whole_window_are_refused(layer):
    network = trained_like()
    network.down[0].append(layer.eval())
    with pytest.raises(ValueError, match=r"down\.0\.6"):
        stitched_logits(network, page_of(20, 20), 16)


def test_networks_in_training_are_refused():
    network = trained_like()
    network.down[0][1].train()
    with pytest.raises(ValueError, match=r"down\.0\.1 is in training mode"):
        check_local(network)
    with pytest.raises(ValueError, match="the network is in training mode"):
        predict([network.train()], page_of(20, 20), 16, "cpu", "fp32")


def test_entropy_is_that_of_scipy_in_units_of_the_largest():
    probability = np.random.default_rng(0).dirichlet(np.ones(4), (5, 6)).astype(np.float32)
    expected = scipy_entropy(probability, base=4, axis=-1)
    found = entropy(torch.from_numpy(probability).permute(2, 0, 1))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert entropy(torch.eye(3)).tolist() == [0, 0, 0]
    assert entropy(torch.full((3, 2), 1 / 3)).tolist() == pytest.approx([1, 1])
