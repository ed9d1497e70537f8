"""Stitching: megapixels a second, and the seam, beside MONAI's and nnU-Net's sliding windows.

All predict one micrograph with one network, trained for a moment on simulated particles so that its
logits are no noise, and give the mask and the probabilities of all classes in memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from benchmarks import peers, samples
from benchmarks.measuring import Comparison, Figures, Job, Options, Target, each, measured, once

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Size:
    """What is predicted: a page for speed, an odd one for the seam; windows of the peers."""

    channels: tuple[int, ...] = (32, 64, 128, 256)
    page_px: tuple[int, int] = (2048, 2048)
    odd_px: tuple[int, int] = (1021, 987)
    rivals: tuple[tuple[str, int, str], ...] = (
        ("monai", 256, "fp32"),
        ("monai", 256, "bf16"),
        ("nnunet", 256, "fp32"),
        ("nnunet", 512, "fp32"),
    )


FULL = Size()
TINY = Size((4, 8), (64, 64), (61, 45), rivals=())
NAMES = {"monai": "MONAI", "nnunet": "nnU-Net"}


def comparisons(options: Options) -> list[Comparison]:
    """Rows of the table."""
    size = TINY if options.tiny else FULL
    network = samples.network_file(options.scratch, size.channels)
    return [*_speed(size, network, options), *_seams(size, network, options)]


def _speed(size: Size, network: str, options: Options) -> list[Comparison]:
    page = _saved(options.scratch / "page.npy", samples.micrograph(size.page_px, seed=2000)[0])
    shared = {"network": network, "page": page}
    jobs = {
        precision: Job(f"{__name__}:speed", shared | {"precision": precision})
        for precision in PRECISIONS
    }
    jobs |= {_name(*rival): _rival("speed", rival, shared) for rival in size.rivals}
    figures = measured(jobs, options)
    rate = {name: each(trials, "megapixels_per_s") for name, trials in figures.items()}
    pixels = "{} x {} px".format(*size.page_px)
    rows = []
    for ours in PRECISIONS:
        rows += [
            Comparison(
                "stitching",
                f"ours {ours} against {_name(*rival)}, {pixels}",
                "Mpx/s",
                rate[ours],
                rate[_name(*rival)],
                # What a peer does as it comes is the rival; the rest is told for fairness.
                Target("ratio", ">=", 8) if rival[2] == "fp32" else None,
                f"theirs with PyTorch {figures[_name(*rival)][0]['torch']}",
            )
            for rival in size.rivals
        ] or [Comparison("stitching", f"ours {ours}, {pixels}", "Mpx/s", rate[ours])]
    return rows


def _seams(size: Size, network: str, options: Options) -> list[Comparison]:
    page = _saved(options.scratch / "odd.npy", samples.micrograph(size.odd_px, seed=3000)[0])
    shared = {"network": network, "page": page, "whole": str(options.scratch / "whole.npy")}
    ours = once(Job(f"{__name__}:seam", shared), options)
    pixels = "{} x {} px".format(*size.odd_px)
    note = f"logits to {ours['largest_logit']:.3g}"
    mine = {
        "fp32": ("stitched in fp32 from the whole", Target("ours", "<=", 1e-5)),
        "folded": ("batch norm folded from not, whole in fp32", None),
        "bf16": ("stitched in bf16 from the whole in fp32", None),
    }
    rows = [
        Comparison("seam", f"{case}, {pixels}", "logit", [ours[name]], (), target, note)
        for name, (case, target) in mine.items()
    ]
    for rival in size.rivals:
        theirs = once(_rival("seam", rival, shared), options)["deviation"]
        case = f"ours {rival[2]} and {_name(*rival)}, {pixels}"
        rows.append(Comparison("seam", case, "logit", [ours[rival[2]]], [theirs], None, note))
    return rows


def _rival(what: str, rival: tuple[str, int, str], shared: Mapping[str, str]) -> Job:
    peer, window_px, precision = rival
    arguments = {"peer": peer, "window_px": window_px, "precision": precision, **shared}
    return Job(f"benchmarks.windows:{what}", arguments, peers.environment(peer))


def _name(peer: str, window_px: int, precision: str) -> str:
    return f"{NAMES[peer]} {precision}, windows of {window_px} px"


def _saved(path: Path, array: np.ndarray) -> str:
    np.save(path, array)
    return str(path)


def speed(network: str, page: str, precision: str) -> Callable[[], Figures]:
    """Prepare a page; a trial makes its mask and probabilities in memory."""
    from tessera.budgets import demand, keep_or_give_back
    from tessera.folding import ready
    from tessera.network_files import load_network

    loaded = ready(load_network(network), "cpu", precision)
    core_px, pixels = _core_px(loaded), np.load(page)
    keep_or_give_back(_mem_mb(), demand([[loaded]]), core_px)

    def trial() -> Figures:
        start = time.perf_counter()
        predicted(loaded, pixels, core_px)
        return {"megapixels_per_s": pixels.size / 1e6 / (time.perf_counter() - start)}

    trial()
    return trial


def predicted(network: nn.Module, page: np.ndarray, core_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask (h, w) in uint8 and probabilities (classes, h, w) in float32, stitched."""
    import predict as script
    from tessera.stitching import probabilities

    mask = np.empty(page.shape, np.uint8)
    probability = np.empty((network.architecture.n_classes, *page.shape), np.float32)
    for core, (part,) in probabilities([[network]], page, core_px):
        mask[core.rows, core.columns] = script.codes_of(part)
        probability[:, core.rows, core.columns] = part
    return mask, probability


def seam(network: str, page: str, whole: str) -> Callable[[], Figures]:
    """Prepare a page; a trial writes the logits of the whole, and gives how far others are off.

    The whole is in fp32, by the network as it was trained. 'fp32' is the seam alone: by the network
    as it predicts (batch norm folded), stitched against in one piece. Cores are those that
    prediction would take, and small ones that make a seam every 128 pixels.
    """
    from tessera.cores import stitch
    from tessera.folding import ready
    from tessera.network_files import load_network
    from tessera.stitching import logits_of_whole, stitched_logits

    loaded, pixels = load_network(network), np.load(page)
    folded = ready(loaded)

    def stitched(precision: str) -> Iterator[np.ndarray]:
        for side_px in {_core_px(folded), 128}:
            yield stitch(stitched_logits(folded, pixels, side_px, precision), *pixels.shape)

    def trial() -> Figures:
        exact = logits_of_whole(loaded, pixels)
        np.save(whole, exact)
        of_folded = logits_of_whole(folded, pixels)
        return {
            "fp32": max(map(partial(_deviation, of_folded), stitched("fp32"))),
            "folded": _deviation(exact, of_folded),
            "bf16": max(map(partial(_deviation, exact), stitched("bf16"))),
            "largest_logit": float(np.abs(exact).max()),
        }

    return trial


def _deviation(exact: np.ndarray, logits: np.ndarray) -> float:
    return float(np.abs(logits - exact).max())


def _core_px(network: nn.Module) -> int:
    """The side of a core that the config's memory allows."""
    import predict as script

    return script.core_of({"0": [network]}, _mem_mb())


def _mem_mb() -> int:
    """What the config allows a prediction."""
    return samples.config()["resources"]["predict"]["mem_mb"]
