"""Fingerprints: the same picture is found again, another never, and no pair is missed."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import resize

from builders import texture
from tessera import fingerprints
from tessera.fingerprints import NEAR_BITS, fingerprint, near_pairs


def bits_between(first, second):
    return (int(first, 16) ^ int(second, 16)).bit_count()


def grey(page, levels=255, dtype=np.uint8):
    """A page of mean 0 and deviation 1 as a detector would record it."""
    return np.clip((page / 8 + 0.5) * levels, 0, levels).astype(dtype)


def noisy(page):
    return page + np.random.default_rng(9).normal(0, 0.5, page.shape)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "changed",
    [
        lambda page: grey(page),
        lambda page: grey(page, 65535, np.uint16),
        lambda page: grey(page, 4095, ">u2"),
        lambda page: grey(page * 0.4),
        lambda page: 1000 + 7 * page,
        lambda page: grey(noisy(page)),
        lambda page: resize(page, (150, 130), anti_aliasing=True),
        lambda page: page[1:, 1:],
    ],
    ids=["8 bit", "16 bit", "big-endian", "contrast", "offset", "noise", "smaller", "cropped"],
)
def test_the_same_picture_recorded_otherwise_is_near(seed, changed):
    page = texture(seed)
    assert bits_between(fingerprint(page), fingerprint(changed(page))) <= NEAR_BITS


def test_other_pictures_differ_in_about_half_the_bits():
    prints = [fingerprint(texture(seed)) for seed in range(30)]
    distances = [bits_between(a, b) for a, b in combinations(prints, 2)]
    assert min(distances) > 4 * NEAR_BITS
    assert np.mean(distances) == pytest.approx(128, abs=5)
    assert near_pairs(prints, range(30)) == []


def test_a_picture_in_the_negative_is_another():
    page = texture(0)
    assert bits_between(fingerprint(page), fingerprint(-page)) > 200


def test_a_fingerprint_has_256_bits_even_of_a_tiny_page():
    for page in (np.arange(12.0).reshape(3, 4), texture(1), texture(1, (1500, 40))):
        assert len(bytes.fromhex(fingerprint(page))) == 32


def test_a_page_without_anything_to_see_is_near_to_none():
    holed = texture(0)
    holed[3, 3] = np.inf
    blank = [np.zeros((50, 60)), np.full((64, 64), 65535, np.uint16), holed]
    assert [fingerprint(page) for page in blank] == [""] * 3
    assert near_pairs(["", "", f"{1:064x}"], "abc") == []


@given(
    st.lists(st.integers(0, 2**256 - 1), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 255), max_size=20)), max_size=8),
)
@settings(max_examples=60)
def test_pairs_are_those_of_comparing_each_with_each_in_other_groups(numbers, planted):
    numbers = numbers + [numbers[i % len(numbers)] ^ sum(1 << bit for bit in b) for i, b in planted]
    prints = [f"{number:064x}" for number in dict.fromkeys(numbers)]
    groups = [int(f, 16) % 3 for f in prints]
    distances = ((i, j, bits_between(prints[i], prints[j]))
                 for i, j in combinations(range(len(prints)), 2) if groups[i] != groups[j]
                 )  # fmt: skip
    assert near_pairs(prints, groups) == [pair for pair in distances if pair[2] <= NEAR_BITS]


def test_equal_fingerprints_are_paired_with_the_first():
    same, near = f"{5:064x}", f"{7:064x}"
    found = near_pairs([same, same, same, near, same], ["a", "a", "b", "c", "d"])
    assert found == [(0, 2, 0), (0, 3, 1), (0, 4, 0)]


@pytest.mark.parametrize("kind", ["equal", "near", "one band", "one group"])
def test_no_crowd_makes_the_comparisons_grow_with_the_square(kind, monkeypatch):
    """Counted, not timed: how often fingerprints are compared, for four times as many."""
    compared = []
    whole = fingerprints._compared

    def counted(*args):
        for a, b in whole(*args):
            compared.append(len(a))
            yield a, b

    monkeypatch.setattr(fingerprints, "_compared", counted)
    counts = []
    for n in (300, 1200):
        compared.clear()
        near_pairs(*crowd(kind, n))
        counts.append(sum(compared))
    assert counts[1] <= max(6 * counts[0], 1200)


def crowd(kind, n):
    random = np.random.default_rng(0)
    packed = random.integers(0, 256, (n, 32), dtype=np.uint8)
    if kind == "one band":
        packed[:, :2] = 7
    elif kind == "equal":
        packed[:] = 7
    else:
        bits = np.zeros((n, 256), np.uint8)
        bits[np.arange(n)[:, None], random.integers(0, 256, (n, 4))] = 1
        packed = np.packbits(bits, axis=1)
    groups = np.zeros(n, int) if kind == "one group" else np.arange(n)
    return [row.tobytes().hex() for row in packed], groups


def test_a_near_pair_is_found_in_a_crowd_of_another_kind():
    prints, groups = crowd("one band", 1500)
    twin = f"{int(prints[700], 16) ^ 0b1011:064x}"
    assert near_pairs([*prints, twin], [*groups, -1]) == [(700, 1500, 3)]


def test_one_flipped_bit_a_band_leaves_one_band_to_find_the_pair_by():
    """The worst case of `NEAR_BITS` bits: each in another of the 16 bands."""
    every = sum(1 << (16 * band) for band in range(16))
    for shared in range(16):
        flips = every - (1 << (16 * shared))
        assert near_pairs([f"{0:064x}", f"{flips:064x}"], "ab") == [(0, 1, NEAR_BITS)]
    assert near_pairs([f"{0:064x}", f"{every:064x}"], "ab") == []


def test_nothing_has_no_pairs():
    assert near_pairs([], []) == []
