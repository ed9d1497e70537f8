"""Files that microscopes wrote, where they are at hand: known pixels, known calibrations.

`TESSERA_BENCH_DATA` names the folder of `superalloy/micrographs.tsv`, `TESSERA_FORMAT_DATA` the
folder `rsciio/tests/data` of RosettaSciIO's sources, unpacked.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tessera.data_bars import bar_px
from tessera.readers import UnreadableFile, read_annotation, read_micrograph

BLUE, RED = (0, 0, 255), (255, 0, 0)


def folder(variable, *parts):
    place = Path(os.environ.get(variable, "")) / Path(*parts)
    if variable not in os.environ or not place.exists():
        pytest.skip(f"no {'/'.join(parts) or 'folder'} in ${variable}")
    return place


@pytest.fixture(scope="module")
def superalloy():
    return folder("TESSERA_BENCH_DATA", "superalloy")


@pytest.mark.parametrize(
    ("files", "least"),
    [("superalloy/*/*.tif", 18), ("axondeepseg_sem/**/*.png", 10), ("neu_det/images/*.jpg", 1000)],
)
def test_micrographs_without_a_data_bar_keep_all_their_rows(files, least):
    pages = (micrograph(path) for path in sorted(folder("TESSERA_BENCH_DATA").glob(files)))
    found = [bar_px(page) for page in pages if page is not None]
    assert len(found) >= least
    assert not any(found)


def micrograph(path):
    try:
        return read_micrograph(str(path)).pixels
    except UnreadableFile:
        return None  # a drawing, in colours


@pytest.mark.parametrize(
    ("image", "dtype", "known", "mask", "drawn"),
    [
        ("train/spot3_0d_3.tif", "u1", (142, 138, 130), "train_annot/spot3_0d_3_mask.tif", 138),
        ("train/spot4_0d_3.tif", "u1", (147, 144, 135), "train_annot/spot4_0d_3_mask.tif", BLUE),
        (
            "other_alloys/45kx_SE_15kV-etched_0.tif", "u2", (32300, 8520, 15586),
            "other_alloys_annot/45kx_SE_15kV-etched_0_mask.tif", (0, 0, 65535),
        ),
        (
            "other_alloys/SE_15kv_50kx_precip - untested-2_0.tif", "u2", (40302, 36162, 40023),
            "other_alloys_annot/SE_15kv_50kx_precip - untested-2_0_mask.tif", 36162,
        ),
        (
            "other_alloys/lshr_15kx_3kv_0.tif", "u1", (145, 116, 91),
            "other_alloys_annot/lshr_15kx_3kv_0_mask.tif", RED,
        ),
    ],
)  # fmt: skip
def test_superalloys_pixels_are_those_that_are_known(superalloy, image, dtype, known, mask, drawn):
    """Of 8 and of 16 bit; tifffile sees a second series in the masks, half as large."""
    grey = read_micrograph(str(superalloy / image)).pixels
    assert (grey.shape, grey.dtype) == ((512, 512), np.dtype(dtype))
    assert (grey[0, 0], grey[100, 200], grey[-1, -1]) == known
    drawing = read_annotation(str(superalloy / mask))
    assert (drawing.shape, drawing.dtype) == ((512, 512, 4), np.dtype(dtype))
    assert tuple(drawing[100, 200, :3]) == (drawn if isinstance(drawn, tuple) else (drawn,) * 3)


def test_superalloys_8_bit_files_as_pillow_reads_them(superalloy):
    sheet = pd.read_csv(superalloy / "micrographs.tsv", sep="\t")
    compared = 0
    for row in sheet.itertuples():
        drawing = read_annotation(str(superalloy / row.mask))
        assert drawing.shape == (512, 512, 4)
        if drawing.dtype == np.uint8:
            with Image.open(superalloy / row.image) as image:
                grey = np.asarray(image)[..., 0]
            np.testing.assert_array_equal(read_micrograph(str(superalloy / row.image)).pixels, grey)
            with Image.open(superalloy / row.mask) as image:
                np.testing.assert_array_equal(drawing, np.asarray(image))
            compared += 1
    assert compared == len(sheet) - 2


@pytest.fixture(scope="module")
def formats():
    return folder("TESSERA_FORMAT_DATA")


@pytest.mark.parametrize(
    ("name", "where", "shape", "pixel_size_nm", "known"),
    [
        ("digitalmicrograph/2D/test_STEM_image.dm3", {}, (68, 68), 0.24853801727294922,
         {"voltage_kv": 200, "magnification": 225_000, "recorded": "2016-08-08T16:26:37",
          "instrument": "FEI Tecnai Remote", "detector": "DigiScan"}),
        ("digitalmicrograph/2D/multi_signal.dm3", {}, (512, 512), 0.017751578241586685, {}),
        ("digitalmicrograph/2D/test_diffraction_pattern.dm3", {}, (87, 87), np.nan, {}),
        ("digitalmicrograph/test_stackbuilder_imagestack.dm3", {"frame": 1}, (2, 16),
         59.98290330171585, {}),
        ("tia/old/64x64_TEM_images_acquire_1.ser", {}, (64, 64), 6.281833616298531, {}),
        ("tia/old/64x64x5_TEM_preview_1.ser", {"frame": 4}, (64, 64), 6.281833616298531, {}),
        ("tia/new/128x128_TEM_acquire-sum1_1.ser", {}, (128, 128), 21.479317511461325, {}),
        ("tia/old/64x64_diffraction_acquire_1.ser", {}, (64, 64), np.nan, {}),
        ("emd/fei_example_tem_stack.emd", {"frame": 1}, (3, 3), 0.008172883192297852,
         {"voltage_kv": 300, "instrument": "Titan", "detector": "BM-Ceta"}),
        ("emd/fei_example_dpc_titles.emd", {"key": "DF4-A"}, (2, 2), 0.09961991555830654, {}),
        ("emd/Si100_2x1x1_3D.emd", {}, (22, 44), 0.25, {}),
        ("bruker/test_TEM.bcf", {}, (64, 64), 0.7710047542040269,
         {"voltage_kv": 200, "magnification": 225_000}),
        ("bruker/P45_the_default_job.bcf", {"key": "SE"}, (75, 100), 8736.78506197784,
         {"voltage_kv": 20}),
        ("tiff/olympus_SIS.tif", {"frame": 1}, (101, 112), 0.02392791775876109,
         {"magnification": 600_000, "recorded": "2018-11-15T19:42:00"}),
        ("mrc/HAADFscan.mrc", {}, (16, 16), 5.679131317138673,
         {"voltage_kv": 300, "instrument": "Spectra", "detector": "BM-Ceta"}),
    ],
)  # fmt: skip
def test_calibrations_are_those_that_rosettasciio_tests_for(
    formats, name, where, shape, pixel_size_nm, known
):
    recording = read_micrograph(str(formats / name), **where)
    assert recording.pixels.shape == shape
    assert recording.pixel_size_nm == pytest.approx(pixel_size_nm, rel=1e-6, nan_ok=True)
    assert {field: getattr(recording, field) for field in known} == known


def test_pixels_of_a_ser_file_are_those_that_rosettasciio_keeps(formats):
    stem = formats / "tia/old/64x64_TEM_images_acquire"
    pixels = read_micrograph(f"{stem}_1.ser").pixels
    np.testing.assert_array_equal(pixels, np.load(f"{stem}.npy"))


@pytest.mark.parametrize("kind", [1, 2, 6, 7, 9, 10, 11, 12])
@pytest.mark.parametrize("end", ["dm3", "dm4"])
def test_every_type_of_number_in_a_dm_file(formats, kind, end):
    pixels = read_micrograph(str(formats / f"digitalmicrograph/2D/test-{kind}.{end}")).pixels
    np.testing.assert_array_equal(pixels, [[1, 2], [3, 4]])
    for frame in (0, 1):
        stack = formats / f"digitalmicrograph/3D/test-{kind}.{end}"
        pixels = read_micrograph(str(stack), frame=frame).pixels
        np.testing.assert_array_equal(pixels, np.arange(1, 9).reshape(2, 2, 2)[frame])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digitalmicrograph/2D/test_fft_packed_complex8.dm4", "holds no picture"),
        ("digitalmicrograph/1D/test-EELS_spectrum.dm3", "holds no picture"),
        ("tia/old/16x16-point_spectrum-1x1024_1.ser", "holds spectra"),
        ("bruker/P45_the_default_job.bcf", "holds the pictures BSE, SE; name one"),
        ("bruker/bcf-edx-ebsd.bcf", "not square"),
        ("emd/Si100_4D.emd", "holds no picture"),
        ("digitalmicrograph/test_stackbuilder_imagestack.dm3", "is a stack"),
    ],
)
def test_what_is_no_micrograph_is_refused_with_the_reason(formats, name, words):
    with pytest.raises(UnreadableFile, match=words):
        assert read_micrograph(str(formats / name)).pixel_size_nm
