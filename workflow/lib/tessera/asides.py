"""Files of results moved aside: to a numbered folder, where they keep their tree."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def paths_below(folder: str | Path, within: Iterable[str]) -> Iterator[str]:
    """Every file in some folders of a folder, in order; paths start there, with `/` between."""
    for top in within:
        for path, folders, names in os.walk(Path(folder) / top):
            folders.sort()
            below = Path(path).relative_to(folder).as_posix()
            yield from (f"{below}/{name}" for name in sorted(names))


def set_aside(folder: str | Path, paths: Iterable[str], within: str) -> Path:
    """Move files of a folder to `{within}/1` in it, or 2, or the next that is not there.

    They keep their tree; folders that they leave empty are removed.

    Returns
    -------
    Path
        Where they are.
    """
    folder, number = Path(folder), 1
    while (aside := folder / within / str(number)).exists():
        number += 1
    for path in paths:
        (aside / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).replace(aside / path)
        for parent in list(Path(path).parents)[:-1]:
            if any((folder / parent).iterdir()):
                break
            (folder / parent).rmdir()
    return aside
