"""Batches: a pure function of seed and step that visits every tile once an epoch."""

import threading

import numpy as np
import pytest
import torch

from tessera.batches import TileBatches, on_device, prefetched, sample_generators
from tessera.classes import IGNORE


def study(
    n_tiles=10,
    batch=4,
    seed=0,
    jitter_px=0,
    size_px=4,
    sizes=((20, 30), (16, 8)),
    part=slice(None),
):
    """Pages whose pixels tells page, row and column; masks that hold their last digits."""
    pages, masks = [], []
    for index, (height, width) in enumerate(sizes):
        rows, columns = np.mgrid[:height, :width]
        pages.append((10_000 * index + 100 * rows + columns).astype(np.float32))
        masks.append((pages[-1] % 251).astype(np.uint8))
    generator = np.random.default_rng(1)
    tiles = [
        (page, generator.integers(0, h), generator.integers(0, w))
        for page, (h, w) in ((i % len(sizes), sizes[i % len(sizes)]) for i in range(n_tiles))
    ]
    return TileBatches(pages, masks, np.array(tiles), size_px, batch, seed, jitter_px, part)


def test_steps_fill_the_last_batch():
    assert study(n_tiles=10, batch=4).n_steps(epochs=1) == 3
    assert study(n_tiles=10, batch=4).n_steps(epochs=2) == 5
    assert study(n_tiles=3, batch=8).n_steps(epochs=1) == 1


def test_every_epoch_visits_every_tile_once_in_another_order():
    batches = study(n_tiles=10, batch=4, size_px=1)
    visits = np.concatenate([batches.origins(step) for step in range(10)]).reshape(4, 10, 3)
    for visit in visits:
        assert sorted(map(tuple, visit)) == sorted(map(tuple, batches.tiles))
    assert len({visit.tobytes() for visit in visits}) == 4


def test_a_batch_larger_than_the_study_is_full():
    images, codes = study(n_tiles=3, batch=8).at(0)
    assert images.shape == (8, 1, 4, 4)
    assert codes.shape == (8, 4, 4)
    assert (images.dtype, codes.dtype) == (torch.float32, torch.uint8)


def test_a_step_does_not_depend_on_what_was_asked_before():
    forwards, backwards = study(jitter_px=2), study(jitter_px=2)
    there = [forwards.at(step) for step in range(6)]
    back = [backwards.at(step) for step in reversed(range(6))][::-1]
    for first, second in zip(there, back, strict=True):
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])


def test_another_seed_is_another_order():
    assert not np.array_equal(study(seed=0).origins(0), study(seed=1).origins(0))


def test_pixels_and_codes_come_from_the_same_place():
    batches = study(jitter_px=3)
    for step in range(5):
        images, codes = batches.at(step)
        origins = batches.origins(step)
        values = 10_000 * origins[:, 0] + 100 * origins[:, 1] + origins[:, 2]
        assert images[:, 0, 0, 0].tolist() == values.tolist()
        assert torch.equal((images[:, 0] % 251).to(torch.uint8), codes)


def test_jitter_is_uniform_and_stays_inside_the_page():
    batches = TileBatches(
        [np.zeros((9, 40))], [np.zeros((9, 40), np.uint8)], [(0, 4, 20)], 4, 500, 0, jitter_px=2
    )
    shifts = batches.origins(0)[:, 1:] - (4, 20)
    assert set(shifts[:, 1]) == {-2, -1, 0, 1, 2}
    assert set(shifts[:, 0]) == {-2, -1, 0, 1}
    counts = np.bincount(shifts[:, 1] + 2)
    assert abs(counts - 100).max() < 5 * 10


def test_origins_at_the_edge_move_inwards_so_that_no_pixel_is_made_up():
    batches = study(n_tiles=40, jitter_px=5)
    for step in range(10):
        assert not (batches.at(step)[1] == IGNORE).any()


def test_pages_smaller_than_a_tile_are_padded():
    page = np.arange(6, dtype=np.float32).reshape(2, 3)
    batches = TileBatches([page], [page.astype(np.uint8)], [(0, 1, 1)], 4, 1, 0, jitter_px=3)
    images, codes = batches.at(0)
    assert images[0, 0].tolist() == np.pad(page, [(0, 2), (0, 1)], mode="edge").tolist()
    assert codes[0, :2, :3].tolist() == page.tolist()
    assert (codes[0, 2:] == IGNORE).all()
    assert (codes[0, :, 3:] == IGNORE).all()


def test_memory_maps_and_several_inputs_give_what_arrays_do(tmp_path):
    plain = study(jitter_px=2)
    mapped = []
    for index, page in enumerate(plain.pages):
        np.save(tmp_path / f"{index}.npy", np.stack([page, -page]))
        mapped.append(np.load(tmp_path / f"{index}.npy", mmap_mode="r"))
    batches = TileBatches(mapped, plain.masks, plain.tiles, 4, 4, 0, jitter_px=2)
    images, codes = batches.at(3)
    expected = plain.at(3)
    assert torch.equal(images[:, :1], expected[0])
    assert torch.equal(images[:, 1:], -expected[0])
    assert torch.equal(codes, expected[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": []}, "1 pages, but 0 masks"),
        ({"masks": [np.zeros((5, 4), np.uint8)]}, r"page 0: \(5, 5\) px.*\(5, 4\) px"),
        ({"masks": [np.zeros((5, 5))]}, "mask 0: float64"),
        ({"tiles": np.empty((0, 3))}, "none to train on"),
        ({"tiles": [(0, 0, 0), (1, 0, 0)]}, r"\[1, 0, 0\].*1 of 2"),
        ({"tiles": [(0, 0, 5)]}, r"\[0, 0, 5\]"),
        ({"batch": 0}, "batch 0"),
        ({"jitter_px": -1}, "jitter_px -1"),
    ],
)
def test_impossible_studies_are_refused(changes, message):
    good = {
        "pages": [np.zeros((5, 5))],
        "masks": [np.zeros((5, 5), np.uint8)],
        "tiles": [(0, 0, 0)],
        "size_px": 4,
        "batch": 1,
        "seed": 0,
        "jitter_px": 0,
    }
    with pytest.raises(ValueError, match=message):
        TileBatches(**{**good, **changes})


@pytest.mark.parametrize("rows", [slice(0, 2), slice(2, 7), slice(6, 7)])
def test_a_part_of_a_batch_is_that_part_of_the_whole(rows):
    whole, part = study(batch=7, jitter_px=2), study(batch=7, jitter_px=2, part=rows)
    for step in range(5):
        for expected, found in zip(whole.at(step), part.at(step), strict=True):
            assert torch.equal(found, expected[rows])


def test_sample_generators_are_functions_of_seed_step_and_row():
    drawn = [
        tuple(torch.rand(3, generator=generator).tolist())
        for seed, step in ((0, 0), (0, 1), (1, 0))
        for generator in sample_generators(seed, step, range(4))
    ]
    assert len(set(drawn)) == 12
    (again,) = sample_generators(0, 1, [2])
    assert tuple(torch.rand(3, generator=again).tolist()) == drawn[6]


def test_a_batch_is_made_ready_by_its_step():
    ready = on_device(lambda step: (torch.ones(2), torch.zeros(2)), prepared_at, "cpu")
    assert [part.tolist() for part in ready(5)] == [[6, 6], [5, 5]]


def prepared_at(step, first, second):
    return first + step, second + step


def test_prefetching_changes_nothing_but_the_thread():
    threads = set()

    def at(step):
        threads.add(threading.current_thread().name)
        return step

    assert list(prefetched(at, 3, 8)) == [3, 4, 5, 6, 7]
    assert threading.current_thread().name not in threads
    assert list(prefetched(at, 3, 3)) == []


def test_the_thread_of_batches_computes_alone_and_all_others_as_before():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    found = {}

    def at(step):
        torch.ones(300_000).add_(1)  # large enough to be shared among threads
        return torch.get_num_threads()

    def look(name):
        found[name] = torch.get_num_threads()

    try:
        assert list(prefetched(at, 0, 3)) == [1, 1, 1]
        look("this")
        later = threading.Thread(target=look, args=["later"])
        later.start()
        later.join()
        assert found == {"this": 3, "later": 3}
    finally:
        torch.set_num_threads(before)


def test_the_next_batch_is_made_while_this_one_is_used():
    begun = [threading.Event() for _ in range(4)]

    def at(step):
        begun[step].set()
        return step

    for step in prefetched(at, 0, 4):
        assert step == 3 or begun[step + 1].wait(timeout=10)


def test_an_error_is_raised_at_its_own_step():
    def at(step):
        if step == 2:
            raise OSError("page 7 is gone")
        return step

    batches = prefetched(at, 0, 5)
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(OSError, match="page 7 is gone"):
        next(batches)


def test_closing_ends_the_thread():
    before = threading.active_count()
    batches = prefetched(lambda step: step, 0, 100)
    next(batches)
    batches.close()
    assert threading.active_count() == before
