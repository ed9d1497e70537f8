"""What a header claims, held against what the file can hold, before memory is asked for.

Pixels that are not compressed take as many bytes in the file as in memory. Compressed ones may
unfold, but not without bounds: deflate gives at most 1,032 times what it reads, and no codec used
for micrographs more than that of a picture that is worth having. So a file may unfold to 64 MiB
whatever its size, to 2,048 times its size, and one micrograph never to more than 64 GiB. What can
only be read in one piece, a PNG or one chunk of a Zarr store, is to unfold to 1 GiB at most: work
on it takes two or three times its memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tessera.readers.recordings import UnreadableFile

HARMLESS_BYTES = 2**26
EXPANSION = 2048
MOST_BYTES = 2**36
MOST_AT_ONCE = 2**30


def check_claim(claimed: int, held: int, compressed: bool) -> None:
    """Refuse a header that claims more than there can be.

    Parameters
    ----------
    claimed : int
        Bytes that the pixels take in memory, as the header has it.
    held : int
        Bytes in the file that they are to come from.
    compressed : bool
        Whether these unfold.

    Raises
    ------
    UnreadableFile
    """
    most = min(max(HARMLESS_BYTES, EXPANSION * held), MOST_BYTES) if compressed else held
    if claimed > most:
        raise UnreadableFile(
            f"its header claims {claimed:,} bytes of pixels, more than its {held:,} bytes can hold"
        )


def check_whole(n_bytes: int, what: str = "a picture in this format") -> None:
    """Refuse what can only be read in one piece, where that is more than a job should hold.

    Parameters
    ----------
    n_bytes : int
        Bytes that it takes in memory, unfolded.
    what : str
        What has to be read at once.

    Raises
    ------
    UnreadableFile
    """
    if n_bytes > MOST_AT_ONCE:
        raise UnreadableFile(
            f"{what} is read in one piece, which would take {n_bytes:,} bytes, more than"
            f" {MOST_AT_ONCE:,}; write it as TIFF in strips or tiles"
        )


def bytes_of(shape: Iterable[int], itemsize: int) -> int:
    """Bytes that an array takes, whatever its shape: Python's integers do not wrap around.

    Raises
    ------
    UnreadableFile
        If a length is negative.
    """
    lengths = [int(length) for length in shape]
    if any(length < 0 for length in lengths):
        raise UnreadableFile(f"shape {tuple(lengths)} is none")
    return math.prod(lengths) * itemsize
