"""Write simulated micrographs, their masks and the sheet that lists them."""

import logging
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from numpy.lib.format import open_memmap

from tessera.files import resolution, write_text, written_atomically
from tessera.logs import logged_to
from tessera.simulation_grains import GrainSpecimen, grain_micrograph
from tessera.simulation_particles import ParticleSpecimen, particle_micrograph

LOG = logging.getLogger("tessera")

KINDS = {
    "particles": (ParticleSpecimen, particle_micrograph),
    "grains": (GrainSpecimen, grain_micrograph),
}


class Microscope(NamedTuple):
    """What all micrographs of a study share."""

    kind: str
    seed: int
    shape: tuple[int, int]
    pixel_size_nm: float

    def record(self, name: str, specimen: Any) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask (0 and 255), drawn from the seed and the name alone.

        So micrographs stay what they are when others join or go.
        """
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        _, micrograph = KINDS[self.kind]
        image, mask = micrograph(specimen, self.shape, self.pixel_size_nm, rng)
        return image, mask * np.uint8(255)


def main(
    sheet: str | Path,
    kind: str,
    seed: int,
    shape: Sequence[int],
    pixel_size_nm: float,
    specimens: Sequence[Mapping[str, Any]],
    frames: int | None = None,
) -> None:
    """Simulate a study beside its sheet: files of their own, or with `frames` one stack.

    Each of `specimens` holds `name`, `micrographs` (how many), `labelled` (yes if left out) and
    what its class in `KINDS` takes.
    """
    microscope = Microscope(kind, seed, tuple(shape), pixel_size_nm)
    if frames is None:
        write_micrographs(Path(sheet), microscope, specimens)
    else:
        write_stack(Path(sheet), microscope, specimens, frames)


def write_micrographs(
    sheet: Path, microscope: Microscope, specimens: Sequence[Mapping[str, Any]]
) -> None:
    """Write `images/{id}.tif`, `masks/{id}.tif` and the sheet with a row for each."""
    # Declared as an output, so it must be there even if nothing is labelled.
    (sheet.parent / "masks").mkdir(parents=True, exist_ok=True)
    rows = []
    for entry in specimens:
        name, specimen = entry["name"], specimen_of(microscope.kind, entry)
        for number in range(1, entry["micrographs"] + 1):
            micrograph = f"{name}-{number:02d}"
            image, mask = microscope.record(micrograph, specimen)
            image_path, mask_path = f"images/{micrograph}.tif", f"masks/{micrograph}.tif"
            write_tiff(sheet.parent / image_path, image, microscope.pixel_size_nm)
            if entry.get("labelled", True):
                write_tiff(sheet.parent / mask_path, mask, microscope.pixel_size_nm)
            else:
                mask_path = ""
            rows.append((micrograph, image_path, mask_path, name, microscope.pixel_size_nm))
        LOG.info("%s: %d micrographs", name, entry["micrographs"])
    write_sheet(sheet, ("micrograph", "image", "mask", "group", "pixel_size_nm"), rows)


def write_stack(
    sheet: Path, microscope: Microscope, specimens: Sequence[Mapping[str, Any]], frames: int
) -> None:
    """Write `images.npy` and `labels.npy`, a frame an area, labelled specimens taking turns."""
    labelled = [
        specimen_of(microscope.kind, entry) for entry in specimens if entry.get("labelled", True)
    ]
    shape = (frames, *microscope.shape)
    with (
        written_atomically(sheet.parent / "images.npy") as images_path,
        written_atomically(sheet.parent / "labels.npy") as labels_path,
    ):
        images = open_memmap(images_path, "w+", np.uint16, shape)
        labels = open_memmap(labels_path, "w+", np.uint8, shape)
        for frame in range(frames):
            specimen = labelled[frame % len(labelled)]
            images[frame], labels[frame] = microscope.record(f"stack-{frame:02d}", specimen)
            LOG.info("frame %d of %d", frame + 1, frames)
        images.flush()
        labels.flush()
    columns = ("micrograph", "image", "frames", "mask", "group", "pixel_size_nm")
    row = ("stack", "images.npy", f"0-{frames - 1}", "labels.npy", "area-{frame}")
    write_sheet(sheet, columns, [(*row, microscope.pixel_size_nm)])


def specimen_of(kind: str, entry: Mapping[str, Any]) -> Any:
    """The specimen that an entry of the config describes.

    Raises
    ------
    ValueError
        If the kind is unknown, or a value is missing, unknown or out of range.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind: {kind}` is none of {', '.join(KINDS)}")
    settings = {key: entry[key] for key in entry if key not in ("name", "micrographs", "labelled")}
    try:
        return KINDS[kind][0](**settings)
    except (TypeError, ValueError) as error:
        raise ValueError(f"specimen {entry['name']}: {error}") from error


def write_tiff(path: Path, pixels: np.ndarray, pixel_size_nm: float) -> None:
    """Write a calibrated TIFF whose bytes depend on its arguments alone."""
    with written_atomically(path) as temporary:
        tifffile.imwrite(
            temporary,
            pixels,
            photometric="minisblack",
            metadata=None,
            software="tessera",
            **resolution(pixel_size_nm),
        )


def write_sheet(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a tab-separated table."""
    lines = ["\t".join(str(cell) for cell in row) for row in (columns, *rows)]
    write_text(path, "\n".join(lines) + "\n")


if __name__ == "__main__":
    with logged_to(snakemake.log[0]):
        main(snakemake.output.sheet, **snakemake.params)
