"""The batches of training: what step n sees is a pure function of (seed, n).

Tiles are visited in one seeded permutation after the other, without a break between epochs,
so all batches are full. Nothing is remembered between steps: a run that resumes at step n
needs no state of the loader.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch

from tessera.classes import IGNORE

Batch = TypeVar("Batch")
Tensors = tuple[torch.Tensor, ...]

# Streams of randomness; a tag keeps one seed from giving the same numbers to two purposes.
ORDER, JITTER, AUGMENTATION = 0, 1, 2


class TileBatches:
    """Batches of tiles from pages that may be memory-mapped.

    Parameters
    ----------
    pages : sequence of arrays, each (h, w) or (inputs, h, w)
        Normalised micrographs; anything that slices like an array.
    masks : sequence of arrays of uint8, each (h, w)
        Class codes, one for each page.
    tiles : int array, shape (n, 3)
        Page index, row and column of the first pixel of each tile.
    size_px : int
        Side of a tile.
    batch : int
        Tiles a batch.
    seed : int
    jitter_px : int
        Largest shift of an origin, uniform and per visit; origins stay inside their page.
    rows : slice, optional
        Which samples of each batch are wanted here; all by default. Each is what it is in the
        whole batch.

    Raises
    ------
    ValueError
        If there is no tile, a page and its mask differ in size, a tile lies outside its page,
        or a number is out of range; with the values.
    """

    def __init__(
        self,
        pages: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        tiles: np.ndarray,
        size_px: int,
        batch: int,
        seed: int,
        jitter_px: int,
        rows: slice = slice(None),
    ) -> None:
        if size_px < 1 or batch < 1 or jitter_px < 0 or seed < 0:
            raise ValueError(
                f"size_px {size_px} and batch {batch} must be at least 1, "
                f"jitter_px {jitter_px} and seed {seed} at least 0"
            )
        self.pages, self.masks = pages, masks
        self.tiles = np.asarray(tiles, dtype=np.int64).reshape(-1, 3)
        self.size_px, self.batch, self.seed, self.jitter_px = size_px, batch, seed, jitter_px
        self.rows = range(batch)[rows]
        self._check_pages()
        self._check_tiles()
        self.n_inputs = 1 if pages[0].ndim == 2 else pages[0].shape[0]
        # A permutation of 100,000 tiles takes milliseconds, and a batch spans at most a few.
        self._order = lru_cache(maxsize=4)(self._order_of)

    def n_steps(self, epochs: float) -> int:
        """Return the steps that visit every tile `epochs` times, the last batch filled up."""
        return math.ceil(epochs * len(self.tiles) / self.batch)

    def at(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the batch of a step.

        Returns
        -------
        images : Tensor of float32, shape (rows, inputs, size_px, size_px)
            Beyond the page, where it is smaller than a tile: its edge values.
        codes : Tensor of uint8, shape (rows, size_px, size_px)
            Beyond the page: `IGNORE`.
        """
        size, origins = self.size_px, self.origins(step)[self.rows]
        images = np.empty((len(origins), self.n_inputs, size, size), np.float32)
        codes = np.full((len(origins), size, size), IGNORE, np.uint8)
        for image, code, (page, row, column) in zip(images, codes, origins, strict=True):
            window = np.s_[row : row + size, column : column + size]
            mask = self.masks[page][window]
            code[: mask.shape[0], : mask.shape[1]] = mask
            image[:] = _padded(self.pages[page][(..., *window)], size)
        return torch.from_numpy(images), torch.from_numpy(codes)

    def origins(self, step: int) -> np.ndarray:
        """Return page, row and column of the tiles of a whole step, shape (batch, 3)."""
        visits = step * self.batch + np.arange(self.batch)
        chosen = [self._order(int(i) // len(self.tiles))[i % len(self.tiles)] for i in visits]
        origins = self.tiles[chosen]
        generator = np.random.default_rng([self.seed, step, JITTER])
        shift = generator.integers(-self.jitter_px, self.jitter_px + 1, (self.batch, 2))
        sizes = np.array([self.masks[page].shape for page in origins[:, 0]])
        last = np.maximum(sizes - self.size_px, 0)
        origins[:, 1:] = np.clip(origins[:, 1:] + shift, 0, last)
        return origins

    def _order_of(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.seed, epoch, ORDER]).permutation(len(self.tiles))

    def _check_pages(self) -> None:
        if len(self.pages) != len(self.masks):
            raise ValueError(f"{len(self.pages)} pages, but {len(self.masks)} masks")
        for index, (page, mask) in enumerate(zip(self.pages, self.masks, strict=True)):
            if page.ndim not in (2, 3) or mask.ndim != 2 or page.shape[-2:] != mask.shape:
                raise ValueError(f"page {index}: {page.shape} px, but its mask {mask.shape} px")
            if page.shape[:-2] != self.pages[0].shape[:-2]:
                raise ValueError(f"page {index}: {page.shape}, but page 0 {self.pages[0].shape}")
            if mask.dtype != np.uint8:
                raise ValueError(f"mask {index}: {mask.dtype}, class codes are uint8")

    def _check_tiles(self) -> None:
        if not len(self.tiles):
            raise ValueError("tiles: there is none to train on")
        page, origins = self.tiles[:, 0], self.tiles[:, 1:]
        wrong = (page < 0) | (page >= len(self.pages))
        sizes = np.array([mask.shape for mask in self.masks])[np.where(wrong, 0, page)]
        wrong |= ((origins < 0) | (origins >= sizes)).any(1)
        if wrong.any():
            index = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"tiles: (page, row, column) {self.tiles[index].tolist()} is on none of the "
                f"{len(self.pages)} pages; {int(wrong.sum())} of {len(self.tiles)} are not"
            )


def _padded(window: np.ndarray, size_px: int) -> np.ndarray:
    missing = [(0, size_px - n) for n in window.shape[-2:]]
    if not any(after for _, after in missing):
        return window
    return np.pad(window, [(0, 0)] * (window.ndim - 2) + missing, mode="edge")


def sample_generators(seed: int, step: int, rows: Iterable[int]) -> list[torch.Generator]:
    """Return the generators, on the CPU, from which the augmentation of a step is drawn.

    One a sample, so that a sample is the same whichever others are made beside it.
    """
    sequences = (np.random.SeedSequence([seed, step, AUGMENTATION, row]) for row in rows)
    states = (int(sequence.generate_state(1, np.uint64)[0]) for sequence in sequences)
    return [torch.Generator().manual_seed(state) for state in states]


def on_device(
    at: Callable[[int], Tensors], prepare: Callable[..., Tensors], device: str
) -> Callable[[int], Tensors]:
    """Return what makes the batch of a step ready on a device.

    Parameters
    ----------
    at : callable of int
        The tensors of a step, on the CPU.
    prepare : callable of int and tensors
        What is still done to them, on the device.
    device : {'cpu', 'cuda'}
        On a GPU, copying (from pinned memory) and preparing go on beside the step that computes.
    """
    if torch.device(device).type != "cuda":
        return lambda step: prepare(step, *at(step))
    stream = torch.cuda.Stream()

    def ready(step: int) -> Tensors:
        # Names the device too: a thread would otherwise begin at the first one.
        with torch.cuda.stream(stream):
            parts = (part.pin_memory() for part in at(step))
            copies = [part.to(stream.device, non_blocking=True) for part in parts]
            batch = prepare(step, *copies)
        stream.synchronize()
        return batch

    return ready


def prefetched(at: Callable[[int], Batch], first: int, last: int) -> Iterator[Batch]:
    """Yield at(first), ..., at(last - 1), computing one ahead in a thread.

    That thread computes alone: with helpers of its own there would be more of them than processors,
    and those that wait for each other would have to sleep. An exception of `at` is raised here, at
    its own step. Closing the iterator waits for the batch in the making, so that no thread outlives
    it.
    """
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as worker:
        worker.submit(_compute_alone).result()
        torch.set_num_threads(threads)  # of this thread, and of those to come
        ahead = worker.submit(at, first) if first < last else None
        for step in range(first, last):
            batch = ahead.result()
            if step + 1 < last:
                ahead = worker.submit(at, step + 1)
            yield batch


def _compute_alone() -> None:
    """Let PyTorch use the calling thread only for what this thread computes."""
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread forgets what it was told unless it looks before others do
