"""Config and sheet against their JSON schemas, with every fault named at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fastjsonschema

FOLDER = Path(__file__).parents[2] / "schemas"
CONFIG = FOLDER / "config.schema.yaml"
MICROGRAPHS = FOLDER / "micrographs.schema.yaml"
"""Of a row of the sheet."""


def faults(instance: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong with `instance`, each fault with the place of its value.

    Examples
    --------
    >>> positive = {"properties": {"size": {"minimum": 1}}}
    >>> faults({"tile": {"size": 0}}, {"properties": {"tile": positive}})
    ['tile.size: 0 is less than the minimum of 1']
    """
    # Here and not above: the import costs every cluster job a quarter of a second, for no fault.
    from jsonschema import Draft202012Validator

    errors = Draft202012Validator(schema).iter_errors(instance)
    return sorted(f"{_place(error)}{error.message}" for error in errors)


def faulty(rows: Iterable[dict[str, Any]], schema: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """Number and fault of each row that breaks the schema.

    A compiled check passes the good rows; only the bad ones are looked at in full.
    """
    check = fastjsonschema.compile(schema, use_default=False)
    for number, row in enumerate(rows):
        try:
            check(row)
        except fastjsonschema.JsonSchemaException:
            for fault in faults(row, schema):
                yield number, fault


def _place(error: Any) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    return f"{path}: " if path else ""
