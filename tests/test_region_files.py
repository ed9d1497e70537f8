"""JSON files of regions: the right picture of many, and a clear word where there is none."""

import json

import pytest

from tessera.readers import UnreadableFile
from tessera.region_files import picture_of, read_json


def coco(*names):
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    return {"images": images, "annotations": [], "categories": []}


@pytest.mark.parametrize(
    ("names", "key", "image", "found"),
    [
        (["a.tif", "b.tif"], "b.tif", "a.tif", "b.tif"),
        (["a.tif", "b.tif"], "", "b.tif", "b.tif"),
        (["only.png"], "", "b.tif", "only.png"),
        (["one/a.tif", "two/b.tif"], "", "b.tif", "two/b.tif"),
        (["one/a.tif", "two/a.tif"], "two/a.tif", "a.tif", "two/a.tif"),
        (["a.tif", "two/a.tif"], "", "a.tif", "a.tif"),
        ([r"C:\one\a.tif", "b.tif"], "", "a.tif", r"C:\one\a.tif"),
    ],
)
def test_a_picture_is_found_by_key_or_by_the_micrographs_file(names, key, image, found):
    assert picture_of(coco(*names), key, image).name == found
    entries = {name: {"filename": name, "regions": []} for name in names}
    assert picture_of(entries, key, image).name == found


@pytest.mark.parametrize(
    ("names", "key", "what"),
    [
        (["a.tif", "b.tif"], "c.tif", "holds a.tif, b.tif, not c.tif"),
        (["a.tif", "b.tif"], "", "holds a.tif, b.tif, not m.tif"),
        (["only.png"], "a.tif", "holds only.png, not a.tif"),
        (["one/m.tif", "two/m.tif"], "", "holds 2 pictures called m.tif: one/m.tif, two/m.tif"),
        ([f"{number}.tif" for number in range(7)], "", "4.tif and 2 more, not m.tif"),
    ],
)
def test_if_there_is_none_or_several_the_error_lists_them(names, key, what):
    with pytest.raises(UnreadableFile, match=what):
        picture_of(coco(*names), key, "m.tif")


@pytest.mark.parametrize("data", [[], {}, {"shapes": []}, 3, None, "text"])
def test_other_jsons_are_refused(data):
    with pytest.raises(UnreadableFile, match="neither COCO nor of the VGG"):
        picture_of(data, "", "a.tif")


@pytest.mark.parametrize(
    "data",
    [
        {"images": [{}], "annotations": [], "categories": []},
        {"images": [{"id": 1, "file_name": "a"}], "annotations": [{}], "categories": []},
        {"images": [{"id": 1, "file_name": "a"}], "annotations": [3], "categories": []},
        {"a": {"filename": "a", "regions": [{"region_attributes": {"type": "b"}}]}},
        {"a": {"filename": "a", "regions": [[]]}},
        {"a": {"filename": "a", "regions": None}},
    ],
)
def test_what_is_broken_is_told(data):
    with pytest.raises(UnreadableFile, match="is broken"):
        picture_of(data, "", "a")


def test_texts_that_are_no_json(tmp_path):
    path = tmp_path / "a.json"
    for content in (b"", b"{", b"\xff\xfe{", b"II*\0"):
        path.write_bytes(content)
        with pytest.raises(UnreadableFile, match="is no JSON"):
            read_json(str(path))
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(coco("a")).encode())
    assert picture_of(read_json(str(path)), "", "x").name == "a"
