"""The sliding windows of the peers, run by their own Pythons on our network.

MONAI's `sliding_window_inference` and nnU-Net's `nnUNetPredictor` predict overlapping windows and
blend their logits under a Gaussian. Each is called as its documentation says, with a window and
overlap that its users know; neither mirrors. Nothing here imports more of Tessera than its network.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

Logits = Callable[[torch.Tensor], torch.Tensor]

OVERLAP = 0.5
WINDOWS_A_BATCH = 4
"""Of MONAI; nnU-Net predicts one at a time."""


def load(path: str) -> nn.Module:
    """Our network, as `tessera.network_files` reads it."""
    from tessera.networks import Architecture, build

    saved = torch.load(path, map_location="cpu", weights_only=True)
    network = build(Architecture(**saved["architecture"]), seed=0)
    network.load_state_dict(saved["weights"])
    return network.eval()


def monai(network: nn.Module, window_px: int, precision: str) -> Logits:
    """Logits (1, classes, h, w) of images (1, 1, h, w) by MONAI, blended under its Gaussian.

    With 'bf16', under autocast and with channels last, which its users have to ask for.
    """
    from monai.inferers import sliding_window_inference

    bf16 = precision == "bf16"
    layout = torch.channels_last if bf16 else torch.contiguous_format
    network = network.to(memory_format=layout)

    def predictor(images: torch.Tensor) -> torch.Tensor:
        return network(images.to(memory_format=layout)).float()

    def logits(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, bf16):
            return sliding_window_inference(
                images,
                (window_px, window_px),
                WINDOWS_A_BATCH,
                predictor,
                overlap=OVERLAP,
                mode="gaussian",
            )

    return logits


def nnunet(network: nn.Module, window_px: int, precision: str) -> Logits:
    """The same by nnU-Net's predictor without mirroring; on a CPU it knows fp32 alone."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    if precision != "fp32":
        raise ValueError(f"precision: nnU-Net predicts in fp32 on a CPU, not {precision}")
    n_classes = network.architecture.n_classes
    # The network is ours, so the plan says nothing of it.
    configuration = {"patch_size": [window_px, window_px], "architecture": {}}
    plans = PlansManager(
        {
            "plans_name": "tessera",
            "dataset_name": "tessera",
            "label_manager": "LabelManager",
            "configurations": {"2d": configuration},
        }
    )
    labels = {"background": 0} | {f"class_{code}": code for code in range(1, n_classes)}
    predictor = nnUNetPredictor(
        tile_step_size=OVERLAP,
        use_gaussian=True,
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    predictor.manual_initialization(
        network,
        plans,
        plans.get_configuration("2d"),
        parameters=[network.state_dict()],
        dataset_json={"labels": labels},
        trainer_name="tessera",
        inference_allowed_mirroring_axes=None,
    )
    # It takes (channels, slices, h, w), and gives the logits in half precision.
    return lambda images: predictor.predict_sliding_window_return_logits(images)[None, :, 0]


PEERS = {"monai": monai, "nnunet": nnunet}


def speed(
    peer: str, network: str, page: str, window_px: int, precision: str
) -> Callable[[], dict[str, float]]:
    """Prepare a page (an `.npy`); a trial makes its mask and probabilities in memory."""
    images = torch.from_numpy(np.load(page))[None, None]
    logits_of = PEERS[peer](load(network), window_px, precision)

    def trial() -> dict[str, float]:
        start = time.perf_counter()
        predicted(logits_of(images))
        return {"megapixels_per_s": images.numel() / 1e6 / (time.perf_counter() - start)}

    trial()
    return trial


def predicted(logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mask (h, w) in uint8 and probabilities (classes, h, w) in float32."""
    probability = torch.softmax(logits[0].float(), 0)
    return probability.argmax(0).to(torch.uint8).numpy(), probability.numpy()


def seam(
    peer: str, network: str, page: str, whole: str, window_px: int, precision: str
) -> Callable[[], dict[str, float]]:
    """Prepare a page and the logits of the whole; a trial gives their largest difference."""
    images = torch.from_numpy(np.load(page))[None, None]
    logits_of = PEERS[peer](load(network), window_px, precision)

    def trial() -> dict[str, float]:
        difference = logits_of(images)[0].float().numpy() - np.load(whole)
        return {"deviation": float(np.abs(difference).max())}

    return trial


def memory(
    peer: str,
    network: str,
    page: str,
    offset: int,
    side_px: int,
    folder: str,
    window_px: int,
    precision: str,
    limit_bytes: int,
) -> Callable[[], dict[str, float]]:
    """Prepare the square page that lies in a file from `offset` on, as float32.

    A trial reads it, and writes mask and probabilities, uncompressed, into `folder`. No more than
    `limit_bytes` of addresses are given out, so that it fails before the machine does.
    """
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    logits_of = PEERS[peer](load(network), window_px, precision)

    def trial() -> dict[str, float]:
        start = time.perf_counter()
        pixels = np.fromfile(page, np.float32, side_px**2, offset=offset)
        images = torch.from_numpy(pixels.reshape(1, 1, side_px, side_px))
        for name, array in zip(("mask", "probability"), predicted(logits_of(images)), strict=True):
            np.save(Path(folder) / f"{name}.npy", array)
        return {"megapixels_per_s": side_px**2 / 1e6 / (time.perf_counter() - start)}

    return trial
