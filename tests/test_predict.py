"""The script of predict: its files agree with each other, and memory decides none of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

import predict
from predict import PROBABILITY_STEPS, Run, main
from tessera.files import write_pages, write_table
from tessera.grids import Axis, resampled
from tessera.network_files import save_network
from tessera.networks import Architecture, build
from tessera.stitching import entropy

SHAPES = [(300, 170), (40, 513)]
ENOUGH_MB, LITTLE_MB = 4000, 400


@pytest.fixture
def shard(tmp_path):
    """Two pages, their table and four networks: two seeds, two folds."""
    random = np.random.default_rng(0)
    pages = [random.normal(size=shape).astype(np.float32) for shape in SHAPES]
    write_pages(tmp_path / "pages.tif", [(page, 2.0) for page in pages], compressed=False)
    write_known(tmp_path, SHAPES)
    networks = []
    for number in range(4):
        networks.append(str(tmp_path / f"{number}.pt"))
        save_network(networks[-1], build(Architecture("unet", (4, 6), 1, 3), number), {})
    return tmp_path, networks


def write_known(folder, shapes):
    """The table of micrographs that were recorded in these shapes."""
    rows = [
        {"micrograph": f"m{i}", "page": i, "rows": rows, "columns": columns, "pixel_size_nm": 2.0}
        for i, (rows, columns) in enumerate(shapes)
    ]
    write_table(folder / "table.tsv", pd.DataFrame(rows))


def predicted(shard, seeds=("0",), mem_mb=ENOUGH_MB, symmetries=1, name="out"):
    folder, networks = shard
    out = folder / name
    run = Run(mem_mb, "cpu", "fp32", symmetries, threads=2)
    used = networks[: len(seeds)]
    main(str(folder / "pages.tif"), str(folder / "table.tsv"), used, seeds, str(out), run)
    return {path.name: tifffile.imread(path) for path in sorted(Path(out).iterdir())}


def test_mask_and_entropy_are_those_of_the_probability(shard):
    files = predicted(shard)
    assert len(files) == 6
    for number, shape in enumerate(SHAPES):
        probability = files[f"m{number}.probability.tif"]
        assert probability.shape == (*shape, 3)
        assert (probability * PROBABILITY_STEPS % 1 == 0).all()
        assert probability.sum(axis=-1) == pytest.approx(1, abs=2 / PROBABILITY_STEPS)
        assert np.array_equal(files[f"m{number}.mask.tif"], probability.argmax(axis=-1))
        expected = entropy(predict.torch.from_numpy(np.moveaxis(probability, -1, 0)))
        found = files[f"m{number}.entropy.tif"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1 / PROBABILITY_STEPS)


@pytest.mark.parametrize("symmetries", [1, 8])
def test_memory_decides_no_result(shard, monkeypatch, symmetries):
    large = predicted(shard, symmetries=symmetries)
    monkeypatch.setattr(predict, "core_of", lambda *_: 128)
    small = predicted(shard, symmetries=symmetries, name="small")
    for name in large:
        if ".mask." in name:
            assert (large[name] != small[name]).mean() < 1e-3
        else:
            np.testing.assert_allclose(small[name], large[name], rtol=0, atol=2 / PROBABILITY_STEPS)


@pytest.mark.parametrize("factor", [0.37, 0.8, 1.9])
def test_predictions_come_back_on_the_grid_of_the_micrograph(shard, monkeypatch, factor):
    """In one part or many: the probabilities of the whole, resampled, and all that follows."""
    folder, networks = shard
    recorded = [tuple(round(side / factor) for side in shape) for shape in SHAPES]
    write_known(folder, recorded)
    large = predicted(shard, ("0", "1"), name="large")
    monkeypatch.setattr(predict, "core_of", lambda *_: 128)
    small = predicted(shard, ("0", "1"), name="small")
    committees = [[predict.load_network(path)] for path in networks[:2]]
    for number, shape in enumerate(recorded):
        page = tifffile.imread(folder / "pages.tif", key=number)
        ((_, whole),) = predict.probabilities(committees, page, 1024)
        planes = whole.mean(0).numpy()
        expected = np.stack([resampled(plane, shape) for plane in planes], axis=-1)
        for files in (large, small):
            found = files[f"m{number}.probability.tif"]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1.01 / PROBABILITY_STEPS)
            assert np.array_equal(files[f"m{number}.mask.tif"], found.argmax(axis=-1))
            assert files[f"m{number}.entropy.tif"].shape == shape
            assert files[f"m{number}.mask.seed-1.tif"].shape == shape


def test_parts_on_another_grid_stay_within_the_cores_that_memory_allows():
    for shape, wanted in [((900, 900), (3000, 2990)), ((3000, 3100), (1000, 1000))]:
        side_px = predict.side_within(1024, 16, shape, wanted)
        assert side_px % 128 == 0
        for size, to in zip(shape, wanted, strict=True):
            spans = (slice(at, min(at + side_px, to)) for at in range(0, to, side_px))
            read = [Axis(size, to).read(span) for span in spans]
            assert max(-(-of.stop // 16) * 16 - of.start // 16 * 16 for of in read) <= 1024


def test_less_memory_makes_smaller_cores(shard):
    networks = {"0": [predict.ready(predict.load_network(path)) for path in shard[1]]}
    assert predict.core_of(networks, LITTLE_MB) < predict.core_of(networks, ENOUGH_MB)


def test_each_seed_gives_its_mask_and_all_give_the_mean(shard):
    both = predicted(shard, ("0", "1", "0", "1"))
    assert set(both) >= {"m0.mask.seed-0.tif", "m0.mask.seed-1.tif", "m0.mask.tif"}
    folder, networks = shard
    alone = {}
    for seed in ("0", "1"):
        own = networks[int(seed) :: 2]
        alone[seed] = predicted((folder, own), (seed, seed), name=f"alone-{seed}")
        mask = both[f"m0.mask.seed-{seed}.tif"]
        assert (mask != alone[seed]["m0.mask.tif"]).mean() < 1e-2
    mean = sum(alone[seed]["m0.probability.tif"] for seed in alone) / 2
    found = both["m0.probability.tif"]
    np.testing.assert_allclose(found, mean, rtol=0, atol=1.01 / PROBABILITY_STEPS)


def test_the_same_inputs_give_the_same_bytes(shard):
    for name in ("first", "second"):
        predicted(shard, name=name)
    first, second = (sorted((shard[0] / name).iterdir()) for name in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_failure_leaves_nothing_half_written(shard, monkeypatch):
    real = predict.probabilities

    def failing(*arguments):
        yield next(real(*arguments))
        raise OSError("the disk is gone")

    monkeypatch.setattr(predict, "probabilities", failing)
    monkeypatch.setattr(predict, "core_of", lambda *_: 128)
    with pytest.raises(OSError, match="the disk is gone"):
        predicted(shard)
    assert list((shard[0] / "out").iterdir()) == []
