"""Augmentation: image and mask move alike, strengths are kept, zero is the identity."""

import math

import pytest
import torch

from tessera.augmentation import Augmentation, augment, dihedral
from tessera.batches import sample_generators

NONE = Augmentation(dihedral=False, contrast=0.0, brightness=0.0, noise=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def generators(images, seed=0):
    return sample_generators(seed, 0, range(len(images)))


def batch(n=64, side=6):
    codes = torch.randint(0, 255, (n, side, side), generator=generator(), dtype=torch.uint8)
    return codes.unsqueeze(1).float(), codes


def test_zero_settings_are_the_identity():
    images, codes = batch()
    moved = augment(images, codes, generators(images), NONE)
    assert torch.equal(moved[0], images)
    assert torch.equal(moved[1], codes)


def test_mask_and_image_move_alike():
    images, codes = batch()
    moved_images, moved_codes = augment(
        images, codes, generators(images), Augmentation(True, 0.0, 0.0, 0.0)
    )
    assert torch.equal(moved_images[:, 0], moved_codes.float())
    assert not torch.equal(moved_codes, codes)


def test_channels_move_together_and_each_has_its_own_strengths():
    images, codes = batch()
    images = images.expand(-1, 3, -1, -1).contiguous()
    alike, _ = augment(images, codes, generators(images), Augmentation(True, 0.0, 0.0, 0.0))
    assert torch.equal(alike[:, 0], alike[:, 1])
    assert torch.equal(alike[:, 0], alike[:, 2])
    ones = torch.ones_like(images)
    for settings in (
        Augmentation(False, 0.5, 0.0, 0.0),
        Augmentation(False, 0.0, 0.5, 0.0),
        Augmentation(False, 0.0, 0.0, 0.5),
    ):
        found, _ = augment(ones, codes, generators(ones), settings)
        level = found.std((2, 3)) if settings.noise else found.mean((2, 3))
        assert (level[:, 0] - level[:, 1]).abs().min() > 0
        assert abs(torch.corrcoef(level.T)[0, 2]) < 0.5


def test_one_channel_is_drawn_as_it_always_was():
    """Six numbers a sample, then its noise: no network of one channel is another."""
    images, codes = batch(n=8)
    found, _ = augment(images, codes, generators(images), Augmentation(False, 0.2, 0.3, 0.4))
    for image, sample, own in zip(found, images, generators(images), strict=True):
        *_, contrast, brightness, noise = torch.rand(6, generator=own)
        wanted = sample * (1 + 0.2 * (2 * contrast - 1)) + 0.3 * (2 * brightness - 1)
        wanted += 0.4 * noise * torch.empty(sample.shape).normal_(generator=own)
        torch.testing.assert_close(image, wanted)


def test_the_moves_are_the_eight_symmetries_of_the_square():
    square = torch.arange(9).view(1, 3, 3)
    moves = torch.tensor([[i & 1, i & 2, i & 4] for i in range(8)]).bool().T
    found = {tuple(s.flatten().tolist()) for s in dihedral(square.expand(8, 3, 3), moves)}
    turned = [torch.rot90(square[0], k) for k in range(4)]
    expected = {tuple(s.flatten().tolist()) for t in turned for s in (t, t.T)}
    assert found == expected
    assert len(found) == 8


def test_every_symmetry_is_about_as_frequent():
    images = torch.arange(4.0).view(1, 1, 2, 2).expand(4000, 1, 2, 2)
    moved, _ = augment(images, images[:, 0], generators(images), Augmentation(True, 0.0, 0.0, 0.0))
    counts = moved.flatten(1).unique(dim=0, return_counts=True)[1]
    assert len(counts) == 8
    assert (counts - 500).abs().max() < 5 * math.sqrt(500)


def test_the_input_is_left_alone():
    images, codes = batch()
    before = images.clone(), codes.clone()
    augment(images, codes, generators(images), Augmentation(True, 0.2, 0.2, 0.2))
    assert torch.equal(images, before[0])
    assert torch.equal(codes, before[1])


def test_contrast_and_brightness_stay_in_their_range_and_fill_it():
    images = torch.tensor([0.0, 1.0]).expand(5000, 1, 1, 2)
    codes = torch.zeros(5000, 1, 2)
    moved, _ = augment(images, codes, generators(images), Augmentation(False, 0.2, 0.5, 0.0))
    offset, factor = moved[..., 0], moved[..., 1] - moved[..., 0]
    for values, low, high in ((factor, 0.8, 1.2), (offset, -0.5, 0.5)):
        assert low - 1e-6 <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high + 1e-6


def test_noise_has_a_deviation_of_its_own_in_each_sample():
    images = torch.zeros(400, 1, 40, 40)
    moved, _ = augment(images, images[:, 0], generators(images), Augmentation(False, 0.0, 0.0, 0.3))
    deviations = moved.std((1, 2, 3))
    assert deviations.max() < 0.3 * 1.1
    assert deviations.mean().item() == pytest.approx(0.15, abs=0.015)
    assert abs(moved.mean()) < 1e-3


def test_the_generators_alone_decide():
    images, codes = batch()
    settings = Augmentation(True, 0.2, 0.2, 0.2)
    first = augment(images, codes, generators(images, 3), settings)
    torch.manual_seed(9)
    again = augment(images, codes, generators(images, 3), settings)
    other = augment(images, codes, generators(images, 4), settings)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("rows", [slice(0, 3), slice(3, 8), slice(5, 6)])
def test_a_sample_is_the_same_in_any_company(rows):
    images, codes = batch(n=8)
    settings = Augmentation(True, 0.2, 0.2, 0.2)
    whole = augment(images, codes, generators(images), settings)
    part = augment(images[rows], codes[rows], generators(images)[rows], settings)
    assert torch.equal(part[0], whole[0][rows])
    assert torch.equal(part[1], whole[1][rows])


def test_switching_one_off_leaves_the_others_as_they_are():
    images, codes = batch()
    all_on = augment(images, codes, generators(images, 3), Augmentation(True, 0.2, 0.2, 0.2))
    no_grey = augment(images, codes, generators(images, 3), Augmentation(True, 0.0, 0.0, 0.0))
    assert torch.equal(all_on[1], no_grey[1])


def test_tiles_that_are_not_square_cannot_be_turned():
    with pytest.raises(ValueError, match=r"\(2, 3\) px are not square"):
        dihedral(torch.zeros(1, 2, 3), torch.zeros(3, 1, dtype=torch.bool))


@pytest.mark.parametrize("strengths", [(-0.1, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, -1.0)])
def test_impossible_strengths_are_refused(strengths):
    with pytest.raises(ValueError, match="strengths"):
        Augmentation(True, *strengths)
