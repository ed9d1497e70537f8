"""What a network says of itself, read without torch and without running any code of the file."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from verification.records import Unreadable


def shards_seen(path: Path) -> list[str]:
    """Shards that a network was trained on, sorted, as it records itself."""
    try:
        return sorted(record(path)["shards"])
    except (KeyError, TypeError) as error:
        raise Unreadable(path.name, f"does not say what it has seen: {error}") from error


def record(path: Path) -> dict[str, Any]:
    """The record of how a network was trained: seed, device, versions, shards ..."""
    try:
        with ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(name) as file:
                return _Plain(file).load()["record"]
    except FileNotFoundError as error:
        raise Unreadable(path.name, "is missing") from error
    except (OSError, BadZipFile, StopIteration, KeyError, TypeError, ValueError) as error:
        raise Unreadable(path.name, f"is no network: {error}") from error
    except Exception as error:  # damaged pickles raise nearly anything
        raise Unreadable(path.name, f"is damaged: {error}") from error


class _Left:
    """Stands for a tensor, which is left out."""

    def __init__(self, *arguments: Any) -> None:
        pass


class _Plain(pickle.Unpickler):
    """Reads text, numbers and containers; whatever else a file names is not even imported."""

    def find_class(self, module: str, name: str) -> Any:
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _Left

    def persistent_load(self, pid: Any) -> Any:
        return None
