"""Micrographs of two pixel sizes through the scripts: brought to one grid, scored on their own."""

import numpy as np
import pandas as pd
import pytest

import evaluate
import normalise
import tile
from builders import problems_of, texture
from tessera.classes import IGNORE
from tessera.files import map_pages, open_page, read_table, write_pages, write_table
from tessera.intensity import normalised
from tessera.tiles import TileGrid

SETTINGS = {
    "pixel_size_nm": 4.0,
    "method": "z-score",
    "low_percentile": 0.5,
    "high_percentile": 99.5,
}
SIZES_NM = [2.0, 4.0, 4.02]
SIDE_PX = 96


@pytest.fixture
def shard(tmp_path):
    """Three micrographs of one pattern and its mask, the first at twice the magnification."""
    coarse = np.round(1000 + 100 * texture(0, (SIDE_PX, SIDE_PX))).astype(np.uint16)
    pages = [np.kron(coarse, np.ones((2, 2), np.uint16)), coarse, coarse + np.uint16(7)]
    masks = [(page > np.median(page)).astype(np.uint8) for page in pages]
    for mask in masks:
        mask[: len(mask) // 24] = IGNORE
    write_pages(tmp_path / "raw.tif", zip(pages, SIZES_NM, strict=True), compressed=True)
    write_pages(tmp_path / "masks.tif", ((mask, np.nan) for mask in masks), compressed=True)
    known = pd.DataFrame(
        {
            "micrograph": ["fine", "coarse", "calibrated"],
            "page": range(3),
            "rows": [len(page) for page in pages],
            "columns": [len(page) for page in pages],
            "file": "raw.tif",
        }
    )
    write_table(tmp_path / "masks.tsv", known)
    write_table(tmp_path / "raw.tsv", known.assign(pixel_size_nm=SIZES_NM))
    return tmp_path, pages, masks


def brought(folder, **settings):
    """The pages and the table that normalise writes."""
    outputs = tuple(str(folder / f"normalised.{end}") for end in ("tif", "tsv"))
    raw = normalise.Recorded(*(str(folder / f"raw.{end}") for end in ("tif", "tsv")))
    normalise.main(raw, outputs, SETTINGS | settings)
    return map_pages(outputs[0], range(3)), read_table(outputs[1])


def tiled(folder):
    shard = tile.Shard(*(str(folder / of) for of in ("normalised.tsv", "raw.tsv")), *_masks(folder))
    tile.main(shard, folder / "tiles.parquet", folder / "tiles.tif", TileGrid(2, 32, 32, 1, 0))
    return map_pages(folder / "tiles.tif", range(3)), pd.read_parquet(folder / "tiles.parquet")


def _masks(folder):
    return str(folder / "masks.tif"), str(folder / "masks.tsv")


def test_two_pixel_sizes_meet_on_one_grid(shard):
    folder, _, masks = shard
    found, table = brought(folder)
    assert [page.shape for page in found] == [(SIDE_PX, SIDE_PX)] * 3
    assert table["pixel_size_nm"].tolist() == [4.0, 4.0, 4.02]
    fine, coarse = (np.array(page) for page in found[:2])
    assert np.corrcoef(fine.ravel(), coarse.ravel())[0, 1] > 0.99
    for page, row in zip(found, table.itertuples(), strict=True):
        assert page.mean() == pytest.approx(0, abs=1e-4)
        assert page.std() == pytest.approx(1, abs=1e-4)
        assert page.min() >= np.float32((row.low - row.mean) / row.deviation) - 1e-4
        assert page.max() <= np.float32((row.high - row.mean) / row.deviation) + 1e-4
    on_grid, tiles = tiled(folder)
    assert np.array_equal(on_grid[0], masks[1])
    assert np.array_equal(on_grid[1], masks[1])
    assert tiles.groupby("page").size().tolist() == [9, 9, 9]


def test_what_is_on_the_grid_already_stays_bit_for_bit(shard):
    folder, pages, masks = shard
    expected = [normalised(page, SETTINGS)[0] for page in pages]
    found, _ = brought(folder)
    for number in (1, 2):
        assert np.array_equal(found[number], expected[number])
    for stated in ("keep", 2.0):
        kept, table = brought(folder, pixel_size_nm=stated)
        assert np.array_equal(kept[0], expected[0])
    kept, table = brought(folder, pixel_size_nm="keep")
    assert table["rows"].tolist() == [2 * SIDE_PX, SIDE_PX, SIDE_PX]
    on_grid, _ = tiled(folder)
    assert all(np.array_equal(*pair) for pair in zip(on_grid, masks, strict=True))


def test_without_a_pixel_size_there_is_no_place_on_the_grid(shard):
    folder, *_ = shard
    known = read_table(folder / "raw.tsv")
    known.loc[1, "pixel_size_nm"] = np.nan
    write_table(folder / "raw.tsv", known)
    ((name, what),) = problems_of(brought, folder)
    assert name == "coarse"
    assert "its pixel size is unknown" in what
    brought(folder, pixel_size_nm="keep")


def test_settings_that_do_not_fit_a_micrograph_are_told_with_its_name(shard):
    folder, *_ = shard
    known = read_table(folder / "raw.tsv")
    write_table(folder / "raw.tsv", known.assign(pixel_size_nm=[2.0, np.nan, 4.02]))
    narrow = {"surface": "gaussian", "by": "subtract", "sigma_nm": 10.0}
    found = dict(problems_of(brought, folder, pixel_size_nm="keep", flatten=narrow))
    assert "its pixel size is unknown" in found["coarse"]
    assert "that is no illumination" in found["fine"]
    assert "that is no illumination" in found["calibrated"]
    assert not list(folder.glob("*normalised*"))


def test_one_scale_for_micrographs_of_several_shards(shard):
    folder, pages, _ = shard
    raw = normalise.Recorded(*(str(folder / f"raw.{end}") for end in ("tif", "tsv")))
    names = ["coarse", "calibrated"]
    outputs = tuple(str(folder / f"out.{end}") for end in ("tif", "tsv"))
    keep = SETTINGS | {"pixel_size_nm": "keep"}
    normalise.main(raw, outputs, keep, {raw: names})
    together = np.concatenate([page.ravel() for page in pages[1:]]).astype(np.float32)
    table = read_table(outputs[1])
    assert table["low"].tolist() == [np.percentile(together, 0.5)] * 3
    assert table[["mean", "deviation"]].drop_duplicates().shape == (1, 2)


def test_scores_are_counted_on_the_micrographs_own_grid(shard):
    folder, _, masks = shard
    brought(folder)
    for name, mask in zip(("fine", "coarse", "calibrated"), masks, strict=True):
        written = np.where(mask == IGNORE, 0, mask)
        write_pages(folder / f"{name}.mask.tif", [(written, 1.0)], compressed=True)
    evaluate.main(
        evaluate.Shard(str(folder), *_masks(folder), str(folder / "normalised.tif")),
        ["below", "above"],
        str(folder / "counts.parquet"),
    )
    counts = pd.read_parquet(folder / "counts.parquet").set_index(["micrograph", "method", "class"])
    for name, mask in zip(("fine", "coarse"), masks, strict=False):
        right = counts.loc[(name, "network", "above")]
        assert (right["tp"], right["fp"], right["fn"]) == ((mask == 1).sum(), 0, 0)
        otsu = counts.loc[(name, "otsu-bright", "above")]
        assert otsu["tp"] + otsu["fn"] == right["tp"]
        assert otsu["tp"] > 0.8 * right["tp"]
    assert open_page(folder / "fine.mask.tif", 0).shape == (2 * SIDE_PX, 2 * SIDE_PX)


@pytest.mark.parametrize("of_group", [False, True])
def test_each_channel_has_a_scale_of_its_own(shard, of_group):
    folder, pages, _ = shard
    second = [(page[::-1] // 3 + 9 * np.arange(page.shape[1])).astype(np.uint16) for page in pages]
    known = read_table(folder / "raw.tsv")

    def made(name, planes, n_channels, settings):
        raw = normalise.Recorded(*(str(folder / f"{name}.{end}") for end in ("tif", "tsv")))
        sized = zip(planes, np.repeat(SIZES_NM, n_channels), strict=True)
        write_pages(raw.pages, sized, compressed=True)
        write_table(raw.table, known.assign(page=known["page"] * n_channels))
        outputs = tuple(str(folder / f"{name}.out.{end}") for end in ("tif", "tsv"))
        references = {raw: known["micrograph"].tolist()} if of_group else {}
        normalise.main(raw, outputs, SETTINGS | settings, references)
        return map_pages(outputs[0], range(len(planes))), read_table(outputs[1])

    both = [plane for pair in zip(pages, second, strict=True) for plane in pair]
    found, table = made("both", both, 2, {"inputs": ["A", "B"]})
    assert table["page"].tolist() == [0, 2, 4]
    for at, (name, planes) in enumerate({"": pages, ".B": second}.items()):
        alone, own = made(f"alone{at}", planes, 1, {})
        for page, wanted in zip(found[at::2], alone, strict=True):
            np.testing.assert_array_equal(page, wanted)
        for column in ("low", "high", "mean", "deviation"):
            assert table[f"{column}{name}"].tolist() == own[column].tolist()
