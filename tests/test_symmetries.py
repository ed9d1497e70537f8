"""Symmetries: the mean over images is that of the whole micrograph, in parts too."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from tessera.cores import stitch
from tessera.stitching import logits_of_whole, probabilities
from tessera.symmetries import symmetries
from trained_networks import page_of, trained_like


def symmetric_whole(network, page, count):
    """Mean probability over images of the extended micrograph, each predicted in one piece."""
    pads = [(0, -size % network.stride) for size in page.shape[-2:]]
    extended = np.pad(page, [(0, 0)] * (page.ndim - 2) + pads, mode="edge")
    shares = []
    for transposed in (False, True)[: 1 + count // 8]:
        for up, left in ((1, 1), (-1, 1), (1, -1), (-1, -1))[:count]:
            image = extended[..., ::up, ::left]
            image = np.ascontiguousarray(image.swapaxes(-1, -2) if transposed else image)
            share = softmax(logits_of_whole(network, image), axis=0)
            share = share.swapaxes(-1, -2) if transposed else share
            shares.append(share[..., ::up, ::left])
    return np.mean(shares, axis=0)[:, : page.shape[-2], : page.shape[-1]]


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([1, 4, 8]),
    st.integers(1, 3),
    st.integers(1, 100),
    st.integers(1, 100),
    st.sampled_from([None, 2]),
    st.integers(4, 10),
)
def test_symmetries_in_parts_equal_those_of_the_whole(
    count, levels, height, width, n_inputs, units
):
    network = trained_like(levels=levels, n_inputs=n_inputs or 1).double()
    page = page_of(height, width, n_inputs=n_inputs)
    parts = probabilities([[network]], page, units * network.stride, count, batch=2)
    found = stitch(((core, part[0].numpy()) for core, part in parts), height, width)
    expected = symmetric_whole(network, page, count)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("symmetry", symmetries(8))
def test_spans_move_with_the_image(symmetry):
    page, spans = page_of(9, 7), (slice(1, 4), slice(2, 7))
    image, moved = torch.from_numpy(page), symmetry.of_spans(spans, page.shape)
    assert torch.equal(symmetry.of(image)[moved], symmetry.of(image[spans]))


@pytest.mark.parametrize("count", [4, 8])
def test_symmetries_of_the_micrograph_are_those_of_its_prediction(count):
    network, page = trained_like(levels=2).double(), page_of(24, 32)

    def share(image):
        parts = probabilities([[network]], np.ascontiguousarray(image), 16, count)
        return stitch(((core, part[0].numpy()) for core, part in parts), *image.shape)

    np.testing.assert_allclose(share(page[::-1])[:, ::-1], share(page), rtol=0, atol=1e-6)
    turned = share(page.T).swapaxes(1, 2)
    assert np.allclose(turned, share(page), rtol=0, atol=1e-6) == (count == 8)


def test_symmetries_of_another_number_are_refused():
    with pytest.raises(ValueError, match="symmetries: 2 is none of"):
        probabilities([[trained_like()]], page_of(20, 20), 16, symmetries=2)
