"""What microscopes and programs write into the tags of a TIFF, by maker.

Each function takes the file and a page, and gives what the page states of its recording, as
keywords of `Recording`; `known` asks those that recognise the page. Text files beside a TIFF, as
some JEOL and Hitachi microscopes write them, are not read: they are not what the sheet names.
"""

from __future__ import annotations

import configparser
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from datetime import datetime
from typing import Any

import tifffile

from tessera.readers.recordings import (
    NM_PER,
    UNKNOWN,
    iso_date,
    nanometres,
    number,
    plain_text,
    positive,
)

Known = dict[str, Any]
INCH, CENTIMETRE = 2, 3
CM_PER_INCH = 2.54
PRINTED_NM = 1e4
"""ASSUME a bare resolution with pixels above 10 µm is for printing: 72 or 300 dpi say nothing of
the specimen, in whatever unit they are written."""
ZEISS, FEI, SIS, TVIPS = 34118, (34680, 34682), 33560, 37706
DM_UNITS, DM_SIZES = (65004, 65003), (65010, 65009)
TESCAN, THUMBNAIL_END = 50431, b"\xff\xd9"
TVIPS_DIFFRACTION = 3


def known(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    """What a page states of its recording: by its maker, or by the tags of every TIFF."""
    found = _general(file, page)
    for tells, read in MAKERS:
        if tells(file, page):
            return found | {name: value for name, value in read(file, page).items() if value}
    return found | {"pixel_sizes_nm": _by_resolution(page)}


def _tag(page: tifffile.TiffPage, *names: str | int) -> Any:
    return next((page.tags[name].value for name in names if name in page.tags), None)


def _general(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    named = (_tag(page, name) for name in ("Make", "Model"))
    return {
        "instrument": " ".join(plain_text(name).strip() for name in named if name),
        "recorded": iso_date(_tag(page, "DateTime")),
    }


def _per_unit(page: tifffile.TiffPage, unit_nm: float) -> tuple[float, float]:
    """Height and width of a pixel from the tags of resolution, in a unit of so many nm."""
    pairs = (_tag(page, name) for name in ("YResolution", "XResolution"))
    rates = ((float("nan"), 1) if not isinstance(pair, tuple) else pair for pair in pairs)
    height, width = (positive(units) / pixels if pixels else UNKNOWN for pixels, units in rates)
    return nanometres(height * unit_nm, "nm"), nanometres(width * unit_nm, "nm")


def _by_resolution(page: tifffile.TiffPage) -> tuple[float, float]:
    if _tag(page, "ResolutionUnit") != CENTIMETRE:
        return UNKNOWN, UNKNOWN
    height, width = _per_unit(page, NM_PER["cm"])
    return (height, width) if max(height, width) < PRINTED_NM else (UNKNOWN, UNKNOWN)


def _description(file: tifffile.TiffFile, page: tifffile.TiffPage) -> str:
    """The description of a page, or that of the whole file."""
    for found in (_tag(page, "ImageDescription"), file.pages.first.description):
        if isinstance(found, str) and found.strip():
            return found
    return ""


def _ome(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    root = ElementTree.fromstring(_description(file, page))
    pixels = root.find(".//{*}Pixels")
    cell = {} if pixels is None else pixels.attrib
    sizes = (
        nanometres(cell.get(f"PhysicalSize{axis}"), cell.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "YX"
    )
    microscope, detector = root.find(".//{*}Microscope"), root.find(".//{*}Detector")
    date = root.find(".//{*}AcquisitionDate")
    return {
        "pixel_sizes_nm": tuple(sizes),
        "instrument": _model(microscope),
        "detector": _model(detector),
        "recorded": "" if date is None else iso_date(date.text),
        "channels": () if pixels is None else tuple(_ome_channels(pixels)),
    }


def _ome_channels(pixels: ElementTree.Element) -> list[str]:
    """Names of the channels by page, of a picture that is nothing but channels; none otherwise."""
    names = [channel.get("Name", "") for channel in pixels.findall("{*}Channel")]
    sides = [pixels.get(f"Size{axis}", "") for axis in "CZT"]
    if sides != [str(len(names)), "1", "1"] or not all(names):
        return []
    by_page = dict(enumerate(names))
    for block in pixels.findall("{*}TiffData"):
        if "IFD" not in block.attrib and "FirstC" not in block.attrib:
            continue
        page, channel = (int(block.get(name, 0)) for name in ("IFD", "FirstC"))
        for more, name in enumerate(names[channel:][: int(block.get("PlaneCount", 1))]):
            by_page[page + more] = name
    return [by_page[page] for page in sorted(by_page)]


def _model(part: ElementTree.Element | None) -> str:
    names = [] if part is None else [part.get("Manufacturer"), part.get("Model")]
    return " ".join(name for name in names if name)


def _imagej(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    unit = str((file.imagej_metadata or {}).get("unit", ""))
    unit = unit.replace(r"\u00B5", "µ").replace(r"\u00C5", "Å")  # as ImageJ writes them
    unit_nm = nanometres(1, unit)
    # Without a unit of length, ImageJ's resolution is any program's.
    sizes = _by_resolution(page) if unit_nm != unit_nm else _per_unit(page, unit_nm)
    return {"pixel_sizes_nm": sizes}


def _fei(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    said = _tag(page, *FEI)
    part = {name: said.get(name) or {} for name in ("Scan", "System", "Beam", "User", "Detectors")}
    moment = f"{part['User'].get('Date', '')} {part['User'].get('Time', '')}"
    return {
        "pixel_sizes_nm": tuple(
            nanometres(part["Scan"].get(f"Pixel{side}"), "m") for side in ("Height", "Width")
        ),
        "instrument": plain_text(part["System"].get("SystemType", "")),
        "voltage_kv": positive(part["Beam"].get("HV"), 1e-3),
        "recorded": iso_date(moment),
        "detector": plain_text(part["Detectors"].get("Name", "")),
        "scanned_rows": _scanned(said, page),
    }


def _scanned(said: dict[str, Any], page: tifffile.TiffPage) -> int:
    """Rows without the data bar: as the file says, if what it says fits the picture."""
    image, bar = said.get("Image") or {}, (said.get("PrivateFei") or {}).get("DatabarHeight")
    rows, columns = (positive(image.get(f"Resolution{axis}")) for axis in "YX")
    if columns != page.imagewidth or not rows <= page.imagelength:
        return 0
    # Where both are said they have to agree, unless the bar was not written.
    fits = rows in (page.imagelength, page.imagelength - number(bar)) or bar is None
    return int(rows) if fits else 0


def _zeiss(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    said = _tag(page, ZEISS)

    def cell(name: str) -> Any:
        return said[name][1] if len(said.get(name, ())) > 1 else ""

    def length(name: str, parts: int = 1) -> float:
        found = said.get(name, ())
        return nanometres(number(found[1]) / parts, found[2]) if len(found) > 2 else UNKNOWN

    # Not ap_pixel_size: that is of the screen, whatever the stored size.
    size = length("ap_image_pixel_size")
    field = (length("ap_height", page.imagelength), length("ap_width", page.imagewidth))
    kilo = re.fullmatch(r"([\d.]+) *(K?) *X?", str(cell("ap_mag")).strip(), re.IGNORECASE)
    return {
        "pixel_sizes_nm": (size, size) if size > 0 else field,
        "instrument": plain_text(cell("dp_sem") or cell("sv_serial_number")),
        "voltage_kv": positive(cell("ap_actualkv")),
        "magnification": positive(kilo[1], 1e3 if kilo[2] else 1) if kilo else UNKNOWN,
        "recorded": iso_date(f"{cell('ap_date')} {cell('ap_time')}"),
        "detector": plain_text(cell("dp_detector_type") or cell("dp_detector_channel")),
    }


def _sis(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    said = _tag(page, SIS)
    moment = said.get("datetime")
    return {
        "pixel_sizes_nm": tuple(nanometres(said.get(f"pixelsize{axis}"), "m") for axis in "yx"),
        "magnification": positive(said.get("magnification")),
        "recorded": moment.isoformat() if isinstance(moment, datetime) else "",
        "detector": plain_text(said.get("cameraname", "")),
    }


def _tvips(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    said = _tag(page, TVIPS)
    is_picture = said.get("TemMode") != TVIPS_DIFFRACTION
    sizes = tuple(nanometres(said.get(f"PixelSize{axis}"), "nm") for axis in "YX")
    return {
        "pixel_sizes_nm": sizes if is_picture else (UNKNOWN, UNKNOWN),
        "instrument": plain_text(said.get("TemType", "")),
        "voltage_kv": positive(said.get("TemHighTension"), 1e-3),
        "magnification": positive(said.get("TemMagnification")) if is_picture else UNKNOWN,
        "detector": plain_text(said.get("CameraType", "")),
    }


def _tescan(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    """TESCAN's lines of `name=value` after a thumbnail, lengths in m."""
    lines = _tag(page, TESCAN).rpartition(THUMBNAIL_END)[2].decode("latin-1")
    said = dict(re.findall(r"^\W*(\w+)=(.*?)\W*$", lines, re.MULTILINE))
    strip = number(said.get("ImageStripSize"))
    return {
        "pixel_sizes_nm": tuple(nanometres(said.get(f"PixelSize{axis}"), "m") for axis in "YX"),
        "instrument": plain_text(said.get("Device", "")),
        "voltage_kv": positive(said.get("HV"), 1e-3),
        "magnification": positive(said.get("Magnification")),
        "recorded": iso_date(f"{said.get('Date', '')} {said.get('Time', '')}"),
        "detector": plain_text(said.get("Detector", "")),
        "scanned_rows": page.imagelength - int(strip) if 0 <= strip < page.imagelength else 0,
    }


def _jeol(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    """JEOL's TEM reports, in XML; the resolution is that of the screen, so many times enlarged."""
    root = ElementTree.fromstring(_description(file, page).strip(" \r\n\t\0\1"))

    def text(path: str) -> str:
        return (root.findtext(path) or "").strip()

    imaging = "ImageFormingSystem"
    is_picture = (text("Eos/EosMode"), text(f"{imaging}/ModeString")) == ("eosTEM", "MAG")
    times = positive(text(f"{imaging}/SelectorValue")) if is_picture else UNKNOWN
    unit = {INCH: CM_PER_INCH, CENTIMETRE: 1.0}.get(_tag(page, "ResolutionUnit"), UNKNOWN)
    return {
        "pixel_sizes_nm": _per_unit(page, unit * NM_PER["cm"] / times),
        "instrument": " ".join(filter(None, (text("Manufacturer"), text("Instruments")))),
        "voltage_kv": positive(text("ElectronGun/AccelerationVoltage"), 1e-3),
        "magnification": times,
        "recorded": iso_date(text("DateTime")),
        "detector": text("ImageSourceDetector"),
    }


def _hitachi(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    """Hitachi's lines of `name=value`, lengths in nm."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    parser.read_string(_description(file, page).strip("\0"))
    said = parser["SemImageFile"]
    size = nanometres(said.get("PixelSize"), "nm")
    volts = re.match(r"([\d.]+) *(k?V)", said.get("AcceleratingVoltage", ""), re.IGNORECASE)
    kilo = 1.0 if volts and volts[2].casefold() == "kv" else 1e-3
    return {
        "pixel_sizes_nm": (size, size),
        "instrument": said.get("InstructName") or said.get("InstrumentName") or "",
        "voltage_kv": positive(volts[1], kilo) if volts else UNKNOWN,
        "magnification": positive(said.get("Magnification")),
        "recorded": iso_date(f"{said.get('Date', '')} {said.get('Time', '')}"),
        "detector": said.get("SignalName") or "",
    }


def _digital_micrograph(file: tifffile.TiffFile, page: tifffile.TiffPage) -> Known:
    cells = zip(DM_SIZES, DM_UNITS, strict=True)
    sizes = tuple(nanometres(_tag(page, size), _tag(page, unit)) for size, unit in cells)
    return {"pixel_sizes_nm": sizes}


def _has(*codes: int, of: type = dict) -> Callable[[tifffile.TiffFile, tifffile.TiffPage], bool]:
    return lambda file, page: isinstance(_tag(page, *codes), of)


def _describes(pattern: str) -> Callable[[tifffile.TiffFile, tifffile.TiffPage], bool]:
    return lambda file, page: re.search(pattern, _description(file, page)[:2000]) is not None


MAKERS: list[tuple[Callable[..., bool], Callable[..., Known]]] = [
    (_has(*FEI), _fei),
    (_has(ZEISS), _zeiss),
    (_has(SIS), _sis),
    (_has(TVIPS), _tvips),
    (lambda file, page: b"PixelSizeX=" in (_tag(page, TESCAN) or b""), _tescan),
    (_describes(r"<TemReporter\b"), _jeol),
    (_describes(r"\A[\s\0]*\[SemImageFile\]"), _hitachi),
    (_describes(r"<(\w+:)?OME\b"), _ome),
    (_has(DM_SIZES[0], of=float), _digital_micrograph),
    (lambda file, page: file.is_imagej, _imagej),
]
"""How to tell the maker of a page, and how to read what it wrote; the first that fits."""
