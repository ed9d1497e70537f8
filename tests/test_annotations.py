"""Annotations of every kind end as codes; known pixels of public data; bad rows are all told."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image as Picture

import annotate
from builders import problems_of
from tessera.annotations import Image, read_mask
from tessera.classes import IGNORE, ClassTable
from tessera.crops import COLUMNS, Crop
from tessera.digests import file_digest
from tessera.files import open_page, read_table
from tessera.frames import NO_FRAME

DATA = Path(os.environ.get("TESSERA_BENCH_DATA", "."))
CLASSES = {"background": 0, "particle": 1, "edge": 2}
TABLE = ClassTable.from_config(CLASSES)
APART = ClassTable.from_config(CLASSES, instances={"class": "particle", "boundary": "edge"})
LABELS = np.array([[0, 3, 3, 9, 9], [0, 3, 3, 9, 9], [0, 0, 0, 0, 9]], np.uint8)
TOUCHING = [[0, 1, 2, 2, 1], [0, 1, 2, 2, 1], [0, 0, 0, 0, 1]]
SHAPE = LABELS.shape


def row(path, key="", frame=NO_FRAME, micrograph="m"):
    return {"micrograph": micrograph, "path": str(path), "key": key, "frame": frame}


def coco(folder, *names, category="particle", shape=SHAPE):
    """A JSON in which a square of 2 px is drawn on each picture, one to the right each time."""
    data = {"images": [], "annotations": [], "categories": [{"id": 4, "name": category}]}
    for number, name in enumerate(names):
        size = {"height": shape[0], "width": shape[1]}
        data["images"].append({"id": number, "file_name": name, **size})
        left, right = number, number + 2
        outline = [left, 0, right, 0, right, 2, left, 2]
        annotation = {"id": number, "image_id": number, "category_id": 4}
        data["annotations"].append({**annotation, "segmentation": [outline]})
    path = folder / "annotations.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"imagej": True},  # Fiji
        {"imagej": True, "metadata": {"LUTs": [np.zeros((3, 256), np.uint8)]}},
        {"photometric": "palette", "colormap": np.full((3, 256), 65535, np.uint16)},
        {"photometric": "miniswhite"},
        {"compression": "zlib", "ome": True},
    ],
    ids=str,
)
def test_label_maps_are_read_by_number_whatever_they_look_like(tmp_path, settings):
    tifffile.imwrite(tmp_path / "labels.tif", LABELS, **settings)
    assert read_mask(row(tmp_path / "labels.tif"), APART).codes.tolist() == TOUCHING


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_label_maps_of_any_integer_type(tmp_path, dtype):
    # napari writes the type that its labels have.
    tifffile.imwrite(tmp_path / "labels.tif", LABELS.astype(dtype))
    assert read_mask(row(tmp_path / "labels.tif"), APART).codes.tolist() == TOUCHING


def palette_png(path):
    picture = Picture.fromarray(np.array([[0, 1, 2, 1]], np.uint8), mode="P")
    picture.putpalette([0, 0, 0, 2, 2, 2, 200, 0, 0])
    picture.save(path)


def test_numbers_of_a_palette_count_unless_a_colour_is_declared(tmp_path):
    palette_png(tmp_path / "a.png")
    by_number = ClassTable.from_config({"none": 0, "one": 2, "two": 1})
    assert read_mask(row(tmp_path / "a.png"), by_number).codes.tolist() == [[0, 2, 1, 2]]
    by_colour = ClassTable.from_config({"none": 0, "one": 2, "two": [200, 0, 0]})
    assert read_mask(row(tmp_path / "a.png"), by_colour).codes.tolist() == [[0, 1, 2, 1]]


def test_who_declares_colours_of_a_palette_as_grey_levels_is_told_why_they_are_not_found(tmp_path):
    palette_png(tmp_path / "a.png")
    table = ClassTable.from_config({"none": 0, "one": 255})
    with pytest.raises(ValueError, match=r"1 \(2 px\), 2 \(1 px\): these are numbers of its pal"):
        read_mask(row(tmp_path / "a.png"), table)


def test_moved_pixels_are_counted(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0, 99, 100, 101, 180]], np.uint8))
    table = ClassTable.from_config({"none": 0, "one": 100, "two": 200}, nearest=True)
    mask = read_mask(row(tmp_path / "a.npy"), table)
    assert (mask.codes.tolist(), mask.moved_px) == ([[0, 1, 1, 1, 2]], 3)


def test_regions_are_drawn_in_the_shape_of_the_micrograph(tmp_path):
    path = coco(tmp_path, "a.tif", "b.tif")
    expected = [[0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]
    for key, name in (("b.tif", "m.tif"), ("", "b.tif")):
        mask = read_mask(row(path, key), TABLE, Image(name, SHAPE))
        assert mask.codes.tolist() == expected
    with pytest.raises(ValueError, match=r"a\.tif has 3 x 5 px, the micrograph has 4 x 5"):
        read_mask(row(path, "a.tif"), TABLE, Image("a.tif", (4, 5)))


# ---------------------------------------------------------------------------------- the script


def annotated(folder, rows, classes=TABLE, images=None):
    """What the script makes of rows: its table, and its pages."""
    micrographs = None
    if images is not None:
        cells = [{"micrograph": name, "file": of.name, "rows": of.shape[0], "columns": of.shape[1]}
                 for name, of in images.items()]  # fmt: skip
        cells = [{**of, **dict.fromkeys(COLUMNS, 0)} for of in cells]
        micrographs = str(folder / "micrographs.tsv")
        pd.DataFrame(cells).to_csv(micrographs, sep="\t", index=False)
    sha256 = [file_digest(of["path"]) for of in rows]
    pages, table = str(folder / "masks.tif"), str(folder / "masks.tsv")
    annotate.main(rows, sha256, classes, micrographs, pages, table)
    known = read_table(table)
    return known, [open_page(pages, page) for page in known["page"]]


def test_kinds_may_be_mixed_in_a_shard(tmp_path):
    path = coco(tmp_path, "a.tif", "b.tif")
    np.save(tmp_path / "c.npy", LABELS // 4)
    rows = [row(path, micrograph="a"), row(path, "b.tif", micrograph="b")]
    rows.append(row(tmp_path / "c.npy", micrograph="c"))
    images = {name: Image(f"{name}.tif", SHAPE) for name in "abc"}
    known, pages = annotated(tmp_path, rows, images=images)
    assert known["micrograph"].tolist() == ["a", "b", "c"]
    assert known["particle_px"].tolist() == [4, 4, 0]
    assert known["edge_px"].tolist() == [0, 0, 5]
    assert known["overlaid_px"].tolist() == known["moved_px"].tolist() == [0, 0, 0]
    assert pages[1].tolist() == [[0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]


def test_what_was_moved_covered_or_lost_is_written_down(tmp_path, caplog):
    caplog.set_level("INFO", logger="tessera")
    np.save(tmp_path / "a.npy", np.array([[0, 3, 2]], np.uint8))
    nearest = ClassTable.from_config(CLASSES, nearest=True)
    known, _ = annotated(tmp_path, [row(tmp_path / "a.npy")], nearest)
    assert (known["moved_px"].item(), known["edge_px"].item()) == (1, 2)
    np.save(tmp_path / "a.npy", np.array([[4, 7]], np.uint8))
    annotated(tmp_path, [row(tmp_path / "a.npy")], APART)
    assert "m: 1 px moved to the nearest declared value" in caplog.text
    assert "m: nothing but boundary is left of instance 4, 7" in caplog.text


def test_all_rows_that_do_not_fit_are_told_at_once(tmp_path):
    good = coco(tmp_path, "a.tif", "b.tif")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    far = json.loads(good.read_text())
    far["annotations"][0]["segmentation"] = [[0, 0, 9, 0, 9, 2]]
    (tmp_path / "far.json").write_text(json.dumps(far), encoding="utf-8")
    (tmp_path / "other").mkdir()
    unknown = coco(tmp_path / "other", "a.tif", category="pore")
    np.save(tmp_path / "stray.npy", LABELS)
    rows = {
        "broken": row(tmp_path / "broken.json"),
        "far": row(tmp_path / "far.json", "a.tif"),
        "good": row(good, "a.tif"),
        "larger": row(good, "a.tif"),
        "missing": row(good, "c.tif"),
        "stray": row(tmp_path / "stray.npy"),
        "unknown": row(unknown),
    }
    images = {name: Image("a.tif", (4, 5) if name == "larger" else SHAPE) for name in rows}
    rows = [{**of, "micrograph": name} for name, of in rows.items()]
    found = dict(problems_of(annotated, tmp_path, rows, images=images))
    assert found.keys() == {"broken", "far", "larger", "missing", "stray", "unknown"}
    assert "no JSON" in found["broken"]
    assert "annotation 0: its corner at row 0, column 9 is outside" in found["far"]
    assert "the micrograph has 4 x 5 px" in found["larger"]
    assert found["missing"] == "holds a.tif, b.tif, not c.tif"
    assert "undeclared mask value 9 (5 px), 3 (4 px)" in found["stray"]
    assert "'pore' is none of the classes background, particle, edge" in found["unknown"]
    assert not (tmp_path / "masks.tif").exists()
    assert not (tmp_path / "masks.tsv").exists()


# --------------------------------------------------------------------------------- public data


def public(folder, path):
    file = DATA / folder / path
    if not file.is_file():
        pytest.skip(f"needs {folder}, see TESSERA_BENCH_DATA in tests/benchmarks/README.md")
    return row(file)


PRECIPITATES = {"matrix": 0, "secondary": [0, 0, 255], "tertiary": [255, 0, 0]}


@pytest.mark.parametrize(
    ("path", "pixels", "known"),
    [
        # RGBA over the micrograph, with a second series that is none.
        (
            "train_annot/spot3_0d_3_mask.tif",
            [132532, 124609, 5003],
            {(221, 105): 0, (278, 492): 1, (154, 176): 2, (100, 100): 0},
        ),
        ("test_annot/spot2_180d_5_mask.tif", [134391, 120637, 7116], {(100, 100): 2}),
        # The same of 16 bits, and with blanks in its name.
        (
            "other_alloys_annot/45kx_SE_15kV-etched_0_mask.tif",
            [132284, 127441, 2419],
            {(267, 414): 0, (244, 194): 1, (137, 75): 2, (100, 100): 0},
        ),
        (
            "other_alloys_annot/SE_15kv_50kx_precip - untested-2_0_mask.tif",
            [129249, 123534, 9361],
            {(250, 71): 0, (265, 65): 1, (212, 87): 2},
        ),
    ],
)
def test_drawings_over_superalloys(path, pixels, known):
    where = public("superalloy", path)
    codes = read_mask(where, ClassTable.from_config(PRECIPITATES, other="matrix")).codes
    assert codes.shape == (512, 512)
    assert np.bincount(codes.ravel()).tolist() == pixels
    assert {at: codes[at] for at in known} == known
    only_drawn = ClassTable.from_config(PRECIPITATES, unlabelled="ignore")
    partial = read_mask(where, only_drawn).codes
    np.testing.assert_array_equal(partial[codes > 0], codes[codes > 0])
    assert (partial == IGNORE).sum() + (partial == 0).sum() == pixels[0]
    assert (partial == IGNORE).sum() > 0.99 * pixels[0]  # what was recorded as black is declared


def test_stray_values_of_axons_count_as_the_nearest():
    path = "derivatives/labels/sub-rat2/micr/sub-rat2_sample-data5_SEM_seg-axonmyelin-manual.png"
    where, classes = public("axondeepseg_sem", path), {"background": 0, "myelin": 127, "axon": 255}
    with pytest.raises(ValueError, match=r"128 \(488611 px\), 130 \(5 px\), 233 \(4 px\)"):
        read_mask(where, ClassTable.from_config(classes))
    mask = read_mask(where, ClassTable.from_config(classes, nearest=True))
    assert mask.moved_px == 488611 + 5 + 4
    assert np.bincount(mask.codes.ravel()).tolist() == [377956, 488611 + 5, 354544 + 4]
    strays = [(234, 1275), (408, 888), (425, 1279), (449, 665), (452, 451)]
    assert {mask.codes[at] for at in strays} <= {1, 2}


# --------------------------------------------------------------------- micrographs that are cropped

CROPPED = Image("a.tif", (5, 6), Crop(top=1, bottom=1, left=1))
"""Of a picture of which `LABELS` is what is left."""


@pytest.mark.parametrize("table", [TABLE, APART], ids=["values", "instances"])
def test_a_mask_of_the_whole_picture_is_cropped_and_any_other_is_not(tmp_path, table):
    drawn = LABELS if table is APART else (LABELS > 0).astype(np.uint8)
    whole = np.full(CROPPED.shape, 77, np.uint8)  # stands for nothing, nor has it to
    whole[1:4, 1:] = drawn
    found = []
    for name, mask in {"whole": whole, "left": drawn}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", mask)
        found.append(read_mask(row(tmp_path / f"{name}.tif"), table, CROPPED).codes.tolist())
    assert found[0] == found[1] == (TOUCHING if table is APART else drawn.tolist())
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((4, 6), np.uint8))
    # Tile tells that it does not fit.
    assert read_mask(row(tmp_path / "other.tif"), table, CROPPED).codes.shape == (4, 6)


def test_regions_are_in_the_coordinates_of_the_whole_picture(tmp_path):
    path = coco(tmp_path, "b.tif", "a.tif", shape=CROPPED.shape)
    codes = read_mask(row(path, "a.tif"), TABLE, CROPPED).codes
    assert codes.tolist() == [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    left = coco(tmp_path, "a.tif", shape=SHAPE)
    with pytest.raises(ValueError, match="has 3 x 5 px, the micrograph has 5 x 6 px"):
        read_mask(row(left, "a.tif"), TABLE, CROPPED)
