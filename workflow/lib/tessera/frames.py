"""What a cell of the sheet names inside a file: frames of a stack, pictures of a JSON."""

NO_FRAME = -1
"""The frame of a file that is no stack."""


WHOLE = -2
"""All of a file that holds several channels, beside each other."""


def frame_numbers(text: str) -> list[int]:
    """The frames that a cell names.

    Examples
    --------
    >>> frame_numbers("0-2,7"), frame_numbers("")
    ([0, 1, 2, 7], [-1])
    """
    if text == "":
        return [NO_FRAME]
    numbers = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def is_json(path: str) -> bool:
    """Whether an annotation is a JSON of regions; by its name, for that is known before any job."""
    return path.lower().endswith(".json")
