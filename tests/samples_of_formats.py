"""A small file of each format, written by the format's own library, with what is known of it.

Where nothing writes a format (DM3, DM4, SER, Velox's EMD, the tags of some microscopes), its bytes
are put together here.
"""

import json
import struct
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import mrcfile
import numpy as np
import rsciio.emd
import rsciio.tvips
import tifffile
import zarr
from mrcfile.dtypes import get_ext_header_dtype
from PIL import Image

NAN = float("nan")
FRAMES, ROWS, COLUMNS = 3, 19, 31


def levels(dtype="u2", shape=(ROWS, COLUMNS)):
    """Grey levels that differ from pixel to pixel, the same each time."""
    dtype = np.dtype(dtype)
    top = 255 if dtype.itemsize == 1 else 30_000
    return np.random.default_rng(len(shape)).integers(0, top, shape).astype(dtype)


PAGE, STACK = levels(), levels(shape=(FRAMES, ROWS, COLUMNS))


@dataclass(frozen=True)
class Sample:
    """A file, and what a reader has to find in it.

    Parameters
    ----------
    family : str
        The format, as the table in the docs calls it.
    write : callable
        Writes the file, or folder, at a path.
    pixels : array
    known : dict
        Fields of the recording that the file states; all others it does not.
    key, frame
        As in the sheet.
    large : callable, optional
        Writes a stack of a shape at a path, to see whether a frame is read without the others.
    exact : bool
        Whether what is read is what was written.
    checked : bool
        Whether the format has checksums, so that no damage to pixels goes unseen.
    sided : bool
        Whether the pixels are as many bytes as the sides ask for: not in chunks, nor in SER.
    """

    family: str
    write: Callable[[Path], None]
    pixels: np.ndarray = field(default_factory=lambda: PAGE)
    known: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    frame: int = -1
    large: Callable[[Path, np.ndarray], None] | None = None
    exact: bool = True
    checked: bool = False
    sided: bool = True


def square(size_nm):
    return {"pixel_sizes_nm": (size_nm, size_nm)}


# ------------------------------------------------------------------------------------------ TIFF


def tiff(data=PAGE, **settings):
    """A function that writes a TIFF."""
    settings = {"photometric": "minisblack", **settings}
    return lambda path: tifffile.imwrite(path, data, **settings)


def tiff_stack(**settings):
    return lambda path, stack: tifffile.imwrite(path, stack, photometric="minisblack", **settings)


def with_tag(code, kind, value, count=None, **settings):
    """A TIFF with one tag of a maker."""
    count = len(value) if count is None and kind != "s" else count or 0
    return tiff(extratags=[(code, kind, count, value, True)], metadata=None, **settings)


FEI = """[User]\r\nDate=06/13/2016\r\nTime=05:06:40 PM\r\n[System]\r\nSystemType=Helios 660\r\n
[Beam]\r\nHV=5000\r\n[Scan]\r\nPixelWidth=3.5e-9\r\nPixelHeight=3.5e-9\r\n
[Detectors]\r\nName=ETD\r\n"""
FEI_KNOWN = {
    **square(3.5), "instrument": "Helios 660", "voltage_kv": 5, "detector": "ETD",
    "recorded": "2016-06-13T17:06:40",
}  # fmt: skip
ZEISS = """0\r\nAP_PIXEL_SIZE\r\nPixel Size = 24.65 nm\r\nAP_WIDTH\r\nWidth = 0.31 µm\r\n
AP_HEIGHT\r\nHeight = 0.19 µm\r\nAP_ACTUALKV\r\nEHT = 1.80 kV\r\nAP_MAG\r\nMag = 4.53 K X\r\n
DP_DETECTOR_TYPE\r\nDetector = InLens\r\nAP_DATE\r\nDate :18 Apr 2016\r\n
AP_TIME\r\nTime :22:42:02\r\nDP_SEM\r\nSem = Auriga 60\r\n"""
ZEISS_KNOWN = {
    **square(10), "instrument": "Auriga 60", "voltage_kv": 1.8, "magnification": 4530,
    "recorded": "2016-04-18T22:42:02", "detector": "InLens",
}  # fmt: skip
JEOL = """<?xml version="1.0"?>\n<TemReporter><Instruments>JEM-ARM200F</Instruments>
<Manufacturer>JEOL Ltd.</Manufacturer><DateTime>2019-11-27T16:11:26.6205405+09:00</DateTime>
<ElectronGun><AccelerationVoltage>200000</AccelerationVoltage></ElectronGun>
<Eos><EosMode>eosTEM</EosMode></Eos><ImageFormingSystem><ModeString>MAG</ModeString>
<SelectorValue>150000</SelectorValue></ImageFormingSystem>
<ImageSourceDetector>screenCamera</ImageSourceDetector></TemReporter>"""
JEOL_KNOWN = {
    **square(25.4e6 / 93 / 150_000), "instrument": "JEOL Ltd. JEM-ARM200F", "voltage_kv": 200,
    "magnification": 150_000, "recorded": "2019-11-27T16:11:26.620540+09:00",
    "detector": "screenCamera",
}  # fmt: skip
HITACHI = """[SemImageFile]\r\nInstructName=SU8000\r\nDate=05/23/2013\r\nTime=10:22:04\r
SignalName=SE(U)\r
AcceleratingVoltage=1500 Volt\r\nMagnification=50000\r\nPixelSize=1.984375\r\n"""
HITACHI_KNOWN = {
    **square(1.984375), "instrument": "SU8000", "voltage_kv": 1.5, "magnification": 50_000,
    "recorded": "2013-05-23T10:22:04", "detector": "SE(U)",
}  # fmt: skip


def olympus(path):
    """The block of Olympus SIS, after the file: tag 33560 holds its address."""
    tifffile.imwrite(path, PAGE, extratags=[(33560, "I", 1, 8, True)], metadata=None)
    data = path.read_bytes()
    at = len(data)
    known = struct.pack("<10xhdd8xd2x34s32s", -9, 0.024, 0.024, 600_000.0, b"Quemesa", b"")
    head = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 42, 19, 15, 10, 118, b"", 1)
    block = head + struct.pack("<hhI", 1, 0, at + len(head) + 8) + known
    with tifffile.TiffFile(path) as file:
        address = file.pages[0].tags[33560].offset + 8
    data = data[:address] + struct.pack("<I", at) + data[address + 4 :]
    path.write_bytes(data + block)


OLYMPUS_KNOWN = {
    **square(0.024), "magnification": 600_000, "recorded": "2018-11-15T19:42:00",
    "detector": "Quemesa",
}  # fmt: skip


def tvips_tags(path):
    """A TIFF of EM-MENU."""
    first = np.zeros(1, np.dtype(tifffile.TIFF.TVIPS_HEADER_V1))
    record = np.zeros(1, np.dtype(tifffile.TIFF.TVIPS_HEADER_V2))
    first["Version"], record["Magic"] = 2, 0xAAAAAAAA
    record["PixelSizeX"] = record["PixelSizeY"] = 1.5
    record["TemHighTension"], record["TemMagnification"] = 99_000, 32_000
    for name, text in (("TemType", "MCL_04"), ("CameraType", "F416")):
        bare = text.encode("utf-16-le")
        record[name] = np.void(bare.ljust(record.dtype[name].itemsize, b"\0"))
    data = first.tobytes() + record.tobytes()
    with_tag(37706, "B", data, len(data))(path)


TVIPS_TAG_KNOWN = {
    **square(1.5), "voltage_kv": 99, "magnification": 32_000, "instrument": "MCL_04",
    "detector": "F416",
}  # fmt: skip
TESCAN = (
    b"\0\x02\xff\xd8PixelSizeX=9\xff\xd9"
    + b"""
[MAIN]\r\nDate=2019-05-17\r\nDevice=MIRA3 LMH\r\nImageStripSize=3\r\nMagnification=5000.0\r
PixelSizeX=2.4e-008\r\nPixelSizeY=2.4e-008\r\nTime=12:34:56\r
[SEM]\r\nDetector=InBeam SE\r\nHV=15000.0\r\n\0"""
)
TESCAN_KNOWN = {
    **square(24), "instrument": "MIRA3 LMH", "voltage_kv": 15, "magnification": 5000,
    "recorded": "2019-05-17T12:34:56", "detector": "InBeam SE",
}  # fmt: skip
OME = {
    "PhysicalSizeX": 2.5, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 2.5,
    "PhysicalSizeYUnit": "nm",
}  # fmt: skip


# ------------------------------------------------------------------- other libraries' own formats


def picture(kind, **settings):
    return lambda path: Image.fromarray(levels("u1")).save(path, kind, **settings)


def npz(path, data=PAGE):
    np.savez_compressed(path.with_suffix(".npz"), one=data)
    path.with_suffix(".npz").rename(path)


def hdf5(path, data=PAGE):
    chunks = (1, *data.shape[1:]) if data.ndim == 3 else (8, 8)
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("a/one", data=data, chunks=chunks, compression="gzip")
        dataset.attrs["element_size_um"] = (1.0, 0.0025, 0.0025)


def npy(path, data=PAGE):
    with path.open("wb") as file:
        np.save(file, data)


def ome_zarr(path, data=PAGE):
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    lead = ["z"] if data.ndim == 3 else []
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in (*lead, "y", "x")]
    scale = {"type": "scale", "scale": [1.0] * len(lead) + [0.0025, 0.0025]}
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    chunks = (1, *data.shape[1:]) if data.ndim == 3 else (8, 16)
    zarr.create_array(f"{path}/0", data=data, chunks=chunks, zarr_format=2)


def plain_zarr(path, data=PAGE):
    chunks = (1, *data.shape[1:]) if data.ndim == 3 else (8, 16)
    zarr.create_array(str(path), data=data, chunks=chunks)


def zipped_zarr(path, data=PAGE):
    folder = path.with_name("store")
    ome_zarr(folder, data)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())


def mrc(path, data=PAGE):
    """A stack of a Thermo Fisher microscope, with what it says of each frame."""
    frames = len(data) if data.ndim == 3 else 1
    more = np.zeros(frames, get_ext_header_dtype(b"FEI1"))
    more["Metadata size"], more["HT"] = more.dtype.itemsize, 300_000
    more["Magnification"], more["Timestamp"] = 75_000, 44_900.5
    more["Microscope type"], more["Camera name"] = b"Spectra", b"Ceta"
    with mrcfile.new(path, data, overwrite=True) as file:
        file.set_extended_header(more)
        file.header.exttyp = b"FEI1"
        file.voxel_size = 2.5


MRC_KNOWN = {
    **square(0.25), "voltage_kv": 300, "magnification": 75_000, "recorded": "2022-12-05T12:00:00",
    "instrument": "Spectra", "detector": "Ceta",
}  # fmt: skip


def signal(data, unit="nm", size=0.5):
    """What RosettaSciIO writes."""
    names = ["time", "y", "x"][-data.ndim :]
    axes = [
        {"name": name, "size": length, "scale": size, "offset": 0.0,
         "units": unit if name != "time" else "s", "navigate": name == "time"}
        for name, length in zip(names, data.shape, strict=True)
    ]  # fmt: skip
    tem = {"TEM": {"beam_energy": 120.0, "magnification": 40_000.0}}
    metadata = {"General": {"title": "one"}, "Signal": {}, "Acquisition_instrument": tem}
    return {"data": data, "axes": axes, "metadata": metadata, "original_metadata": {},
            "attributes": {"_lazy": False}}  # fmt: skip


def tvips(path, data=STACK):
    where = path.with_name("stream_000.tvips")
    rsciio.tvips.file_writer(str(where), signal(data, size=2.0), mode=1, show_progressbar=False)
    where.rename(path)


def emd(path, data=PAGE):
    where = path.with_name("ncem.emd")
    rsciio.emd.file_writer(str(where), signal(data))
    where.rename(path)


VELOX_SAYS = {
    "Core": {}, "Instrument": {"InstrumentClass": "Titan"},
    "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1575540224"}},
    "Optics": {"AccelerationVoltage": "300000"}, "Scan": {"FrameTime": "0.5"},
    "Detectors": {"Detector-0": {"DetectorName": "HAADF"}},
    "BinaryResult": {"Detector": "HAADF", "DetectorIndex": "0", "PixelUnitX": "m",
                     "PixelSize": {"width": "4e-10", "height": "4e-10"}},
    "CustomProperties": {"StemMagnification": {"value": "28500"}},
}  # fmt: skip
VELOX_KNOWN = {
    **square(0.4), "instrument": "Titan", "voltage_kv": 300, "magnification": 28_500,
    "recorded": "2019-12-05T10:03:44+00:00", "detector": "HAADF",
}  # fmt: skip


def velox(path, data=PAGE):
    frames = data if data.ndim == 3 else data[None]
    text = json.dumps(VELOX_SAYS).encode()
    says = np.frombuffer(text, np.uint8)[:, None].repeat(len(frames), axis=1)
    with h5py.File(path, "w") as file:
        version = json.dumps({"format": "Velox", "version": "1.11"}).encode()
        file["Version"] = np.array([version], dtype=h5py.string_dtype())
        image = file.create_group("Data/Image/0123")
        layout = {"chunks": (*frames.shape[1:], 1)}
        image.create_dataset("Data", data=np.moveaxis(frames, 0, 2), **layout)
        image["Metadata"] = says


# ------------------------------------------------------------------------- bytes put together here


def dm(version):
    """A function that writes a file of Digital Micrograph, version 3 or 4."""
    wide = ">q" if version == 4 else ">i"

    def size(number):
        return struct.pack(wide, number)

    def group(children, top=False):
        body = b"".join(tag(name, value) for name, value in children)
        length = b"" if top or version == 3 else size(len(body))
        return struct.pack(">bb", 1, 0) + length + size(len(children)) + body

    def tag(name, value):
        head = struct.pack(">h", len(name)) + name.encode()
        if isinstance(value, list):
            return b"\x14" + head + group(value)
        kinds, data = encoded(value)
        skipped = struct.pack(">q", 0) if version == 4 else b""
        kinds = b"".join(size(kind) for kind in (len(kinds), *kinds))
        return b"\x15" + head + skipped + b"%%%%" + kinds + data

    def encoded(value):
        if isinstance(value, str):
            return (20, 4, len(value)), value.encode("utf-16-le")
        if isinstance(value, np.ndarray):
            return (20, 4, value.size), value.astype("<u2").tobytes()
        if isinstance(value, float):
            return (7,), struct.pack("<d", value)
        return (5,), struct.pack("<I", value)

    def write(path, data=PAGE):
        sides = data.shape[::-1]
        axis = [("Origin", 0.0), ("Scale", 0.5), ("Units", "nm")]
        level = [("Origin", 0.0), ("Scale", 1.0), ("Units", "")]
        dimensions = [("", [("Origin", 0.0), ("Scale", 1.0), ("Units", "")] if i == 2 else axis)
                      for i in range(len(sides))]  # fmt: skip
        content = [
            ("Calibrations", [("Brightness", level), ("Dimension", dimensions)]),
            ("Data", data), ("DataType", 10), ("Dimensions", [("", side) for side in sides]),
            ("PixelDepth", 2),
        ]  # fmt: skip
        microscope = [("Voltage", 200_000.0), ("Indicated Magnification", 225_000.0),
                      ("Name", "Tecnai"), ("Illumination Mode", "STEM")]  # fmt: skip
        bar = [("Acquisition Date", "8/23/2016"), ("Acquisition Time", "4:26:37 PM"),
               ("Device Name", "DigiScan")]  # fmt: skip
        image = [("ImageData", content), ("Name", "one"),
                 ("ImageTags", [("DataBar", bar), ("Microscope Info", microscope)])]  # fmt: skip
        body = group([("ImageList", [("", image)]), ("InImageMode", 1)], top=True)
        head = struct.pack(">i", version) + size(len(body)) + struct.pack(">i", 1)
        path.write_bytes(head + body + b"\0" * 8)

    return write


DM_KNOWN = {
    **square(0.5), "instrument": "Tecnai", "voltage_kv": 200, "magnification": 225_000,
    "recorded": "2016-08-23T16:26:37", "detector": "DigiScan",
}  # fmt: skip


def ser(path, data=PAGE):
    """Pictures of TIA (C. Boothroyd's description of the format), calibrated in metres."""
    frames = data if data.ndim == 3 else data[None]
    head = struct.pack("<HHHIIII", 0x4949, 0x0197, 0x210, 0x4122, 0x4152, len(frames), len(frames))
    one = struct.pack("<IddIII", len(frames), 0.0, 1.0, 0, 0, 0)
    sizes = 40 + 10 + frames[0].nbytes
    start = len(head) + 8 + len(one) + 8 * len(frames)
    first = start
    starts = [first + index * (sizes + 8) for index in range(len(frames))]
    offsets = [*starts, *(at + sizes for at in starts)]
    body = b""
    for frame in frames:
        sides = (0.0, 2e-9, 0, 0.0, 2e-9, 0, 2, frame.shape[1], frame.shape[0])
        body += struct.pack("<ddIddIhII", *sides)
        body += frame[::-1].astype("<u2").tobytes()  # the last row comes first
        body += struct.pack("<HHI", 0x4152, 0, 1_500_000_000)
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    path.write_bytes(head + struct.pack("<II", len(head) + 8 + len(one), 1) + one + table + body)


BCF_CHUNK = 4096
BCF_HEADER = """<x><ClassInstance Type="TRTSpectrumDatabase" Name="map">
<Header><Date>3.4.2016</Date>
<Time>10:00:00</Time><FileVersion>1</FileVersion></Header>
<ClassInstance Type="TRTSEMData"><HV>15</HV><Mag>600</Mag><DX>0.25</DX><DY>0.25</DY>
</ClassInstance>
<ClassInstance Type="TRTSEMStageData"><X>1</X></ClassInstance>
<ClassInstance Type="TRTDSPConfiguration"><ImageWidth>{columns}</ImageWidth></ClassInstance>
<ClassInstance Type="TRTImageData"><Width>{columns}</Width><Height>{rows}</Height>
<ItemSize>2</ItemSize><PlaneCount>1</PlaneCount>
<Plane0><Data>{data}</Data><Description>SE</Description></Plane0></ClassInstance>
<LineCounter>1,1,1</LineCounter><ChCount>2</ChCount><DetectorCount>1</DetectorCount>
<SpectrumData0><ClassInstance Type="TRTSpectrum"><TRTHeaderedClass>
<ClassInstance Type="TRTSpectrumHardwareHeader"><Amplification>20</Amplification></ClassInstance>
<ClassInstance Type="TRTDetectorHeader"><Type>X</Type>
<DetLayers>{layers}</DetLayers></ClassInstance>
<ClassInstance Type="TRTESMAHeader"><PrimaryEnergy>15</PrimaryEnergy>
<ElevationAngle>35</ElevationAngle></ClassInstance></TRTHeaderedClass>
<ClassInstance Type="TRTSpectrumHeader"><CalibAbs>0</CalibAbs><CalibLin>1</CalibLin></ClassInstance>
<Channels>1,2,3</Channels></ClassInstance></SpectrumData0></ClassInstance></x>"""


def bcf(path):
    """A map of Bruker's Esprit with one picture, in a container of AidAim's file system."""
    layers = b64encode(zlib.compress(b"<x></x>")).decode()
    data = b64encode(PAGE.tobytes()).decode()
    text = BCF_HEADER.format(rows=ROWS, columns=COLUMNS, data=data, layers=layers).encode()
    usable = BCF_CHUNK - 32
    chunks, items = [b"", b""], [sfs_item("EDSDatabase", -1)]  # the header, and the list of items
    for name, content in (("HeaderData", text), ("SpectrumData0", b"spectra")):
        parts = [content[at : at + usable] for at in range(0, len(content), usable)]
        table = len(chunks)
        chunks.append(struct.pack(f"<{len(parts)}I", *range(table + 1, table + 1 + len(parts))))
        chunks += parts
        items.append(sfs_item(name, 0, table, len(content)))
    chunks[1] = b"".join(items)
    file = bytearray(0x118 + BCF_CHUNK * len(chunks))
    file[:8] = b"AAMVHFSS"
    struct.pack_into("<fI", file, 0x124, 2.4, BCF_CHUNK)
    struct.pack_into("<III", file, 0x140, 1, len(items), len(chunks))
    for number, part in enumerate(chunks[1:], 1):
        at = BCF_CHUNK * number + 0x138
        file[at : at + len(part)] = part
    path.write_bytes(file)


def sfs_item(name, parent, table=0, size=0):
    is_folder = size == 0
    return struct.pack(
        "<iQQQQIi176s?3s256s32s",
        *(table, size, 0, 0, 0, 0, parent, b"", is_folder, b"", name.encode(), b""),
    )


SAMPLES = {
    "tiff": Sample("TIFF", tiff(), large=tiff_stack()),
    "tiff, deflated tiles": Sample(
        "TIFF", tiff(tile=(16, 16), compression="zlib", predictor=True)
    ),
    "tiff, lzw": Sample("TIFF", tiff(compression="lzw", rowsperstrip=4)),
    "tiff, pages": Sample("TIFF", tiff(STACK), STACK[2], frame=2),
    "bigtiff": Sample(
        "BigTIFF",
        tiff(bigtiff=True, resolution=(1e7 / 4, 1e7 / 4), resolutionunit="CENTIMETER"),
        known=square(4), large=tiff_stack(bigtiff=True),
    ),
    "ome-tiff": Sample(
        "OME-TIFF", tiff(ome=True, metadata=OME), known=square(2.5), large=tiff_stack(ome=True)
    ),
    "imagej": Sample(
        "TIFF of ImageJ",
        tiff(imagej=True, resolution=(4.0, 4.0), metadata={"unit": "nm"}),
        known=square(0.25), large=tiff_stack(imagej=True),
    ),
    "fei": Sample("TIFF of FEI / Thermo Fisher", with_tag(34682, "s", FEI), known=FEI_KNOWN),
    "zeiss": Sample(
        "TIFF of Zeiss", with_tag(34118, "s", ZEISS.encode("latin-1")), known=ZEISS_KNOWN
    ),
    "jeol": Sample(
        "TIFF of JEOL",
        tiff(description=JEOL, metadata=None, resolution=(93, 93), resolutionunit="INCH"),
        known=JEOL_KNOWN,
    ),
    "hitachi": Sample(
        "TIFF of Hitachi", tiff(description=HITACHI, metadata=None), known=HITACHI_KNOWN
    ),
    "olympus": Sample("TIFF of Olympus SIS", olympus, known=OLYMPUS_KNOWN),
    "tescan": Sample("TIFF of TESCAN", with_tag(50431, "B", TESCAN), known=TESCAN_KNOWN),
    "tvips tags": Sample("TIFF of TVIPS", tvips_tags, known=TVIPS_TAG_KNOWN),
    "png": Sample("PNG", picture("PNG"), levels("u1"), checked=True),
    "png, 16 bit": Sample(
        "PNG", lambda path: path.write_bytes(imagecodecs.png_encode(PAGE)), checked=True
    ),
    "jpeg": Sample("JPEG", picture("JPEG", quality=95), levels("u1"), exact=False),
    "bmp": Sample("BMP", picture("BMP"), levels("u1")),
    "npy": Sample("NPY", npy, large=npy),
    "npz": Sample("NPZ", npz, key="one", large=npz, checked=True),
    "hdf5": Sample("HDF5", hdf5, known=square(2.5), key="a/one", large=hdf5, sided=False),
    "zarr": Sample("Zarr", plain_zarr, large=plain_zarr, sided=False),
    "ome-zarr": Sample(
        "OME-Zarr", ome_zarr, known=square(2.5), large=ome_zarr, sided=False
    ),
    "zipped ome-zarr": Sample(
        "OME-Zarr in a zip file", zipped_zarr, known=square(2.5), large=zipped_zarr, checked=True
    ),
    "mrc": Sample("MRC", mrc, known=MRC_KNOWN, large=mrc),
    "dm3": Sample("DM3", dm(3), known=DM_KNOWN, large=dm(3)),
    "dm4": Sample("DM4", dm(4), known=DM_KNOWN, large=dm(4)),
    "ser": Sample("SER", ser, known=square(2), large=ser, sided=False),
    "emd": Sample("EMD of NCEM", emd, known=square(0.5), large=emd),
    "velox": Sample("EMD of Velox", velox, known=VELOX_KNOWN, large=velox),
    "bcf": Sample(
        "Bruker BCF", bcf, known={**square(250), "voltage_kv": 15, "magnification": 600}
    ),
    "tvips": Sample(
        "TVIPS", tvips, STACK[1], {**square(2), "voltage_kv": 120, "magnification": 40_000},
        frame=1, large=tvips,
    ),
}  # fmt: skip
"""By name; several may be of one family."""
