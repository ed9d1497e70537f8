"""Networks and checkpoints on disk: plain tensors and numbers, loaded without running any code."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from tessera.files import written_atomically
from tessera.networks import Architecture, UNet, build, to_bytes


def save_network(path: str | Path, network: UNet, record: dict[str, Any]) -> None:
    """Write a network with its architecture and the record of how it was trained."""
    _save(
        path,
        {
            "architecture": asdict(network.architecture),
            "weights": network.state_dict(),
            "record": record,
        },
    )


def load_network(path: str | Path) -> UNet:
    """Read a network, ready to predict: on the CPU, in evaluation mode."""
    saved = torch.load(path, map_location="cpu", weights_only=True)
    network = build(Architecture(**saved["architecture"]), seed=0)
    network.load_state_dict(saved["weights"])
    return network.eval()


def save_checkpoint(path: str | Path, belongs_to: str, state: dict[str, Any]) -> None:
    """Write the state of a training, with the digest of what decides it."""
    _save(path, {"belongs_to": belongs_to, "state": state})


def load_checkpoint(path: str | Path, belongs_to: str) -> dict[str, Any] | None:
    """The state of this very training; None if it is missing, of another, or damaged."""
    try:
        with ZipFile(path) as archive:  # torch itself does not hold the tensors against their CRC
            intact = archive.testzip() is None
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return saved["state"] if intact and saved["belongs_to"] == belongs_to else None
    except Exception:  # a damaged byte makes torch raise nearly anything, IndexError included
        return None


def _save(path: str | Path, content: dict[str, Any]) -> None:
    with written_atomically(path) as temporary:
        temporary.write_bytes(to_bytes(content))
