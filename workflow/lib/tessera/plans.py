"""The plan: what the config leaves open, as it was settled, in a file that a person can edit.

`render` writes decisions and their reasons as YAML, `Plan` reads them back. A plan is made once.
Steps that use one of its values depend on the lineage that is written in it, the same before and
after it was made; where somebody has edited a value, on the values themselves.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from tessera.digests import digest
from tessera.pixel_sizes import AUTO

if TYPE_CHECKING:
    from tessera.planning import Surroundings
    from tessera.surveys import Survey

OPEN = {
    "normalise": ("pixel_size_nm",),
    "tile": ("size_px", "stride_px"),
    "train": ("channels", "batch", "epochs", "jitter_px", "loss", "class_weights"),
    "calibrate": ("size_px", "channels", "batch", "loss"),
}
"""What a plan settles, by step; `calibrate` uses some of what is planned for the others."""
BLOCKS = ("normalise", "tile", "train")
STATED = "Stated in the config, which wins."
"""The reason of a value that is not open."""

HEADER = """\
# The plan of this study: what its config leaves open (`auto`), settled once from the annotated
# micrographs of the first cohort; those for testing only were not looked at. It fixes sizes and
# weights for all folds alike.
# It stays as it is while data grow. `snakemake replan` (make replan) asks again and keeps this file
# beside the new one. Edit a value, and what depends on it runs again; a value in the config wins.
"""
MADE = """\
# By which later runs know that nothing has changed: leave these digests alone.
"""


@dataclass(frozen=True)
class Decision:
    """One planned value and its reason."""

    value: Any
    reason: str


Decisions = dict[str, Decision]


def is_open(step: str, settings: Mapping[str, Any]) -> bool:
    """Whether a step's settings wait for the plan."""
    return any(settings.get(key) == AUTO for key in OPEN.get(step, ()))


def filled(step: str, settings: Mapping[str, Any], planned: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a step, what is open in them taken from the plan's values.

    Examples
    --------
    >>> filled("tile", {"size_px": "auto", "stride_px": 96}, {"size_px": 192, "stride_px": 64})
    {'size_px': 192, 'stride_px': 96}
    """
    keys = {key for key in OPEN[step] if settings.get(key) == AUTO}
    return {key: planned[key] if key in keys else value for key, value in settings.items()}


def digest_of(settings: Mapping[str, Any]) -> str:
    """What tells settled settings from others: not in what unit the side of a tile was said."""
    return digest({key: value for key, value in settings.items() if key != "size_nm"})


def render(
    decisions: Decisions,
    survey: Survey,
    around: Surroundings,
    made: Mapping[str, Any],
    size_nm: float | None = None,
) -> str:
    """The file of a plan: values under their block of the config, each below its reason."""
    parts = [HEADER]
    for block in BLOCKS:
        lines = [f"{block}:\n"]
        for key in OPEN[block]:
            wrapped = textwrap.wrap(decisions[key].reason, 90)
            lines += [f"  # {line}\n" for line in wrapped]
            lines.append(f"  {key}: {_inline(decisions[key].value)}\n")
        if block == "tile" and size_nm is not None:
            lines.append(f"  size_nm: {_inline(size_nm)} # as the config stated it\n")
        parts.append("".join(lines))
    recorded = survey.as_record() | {
        "device": around.device,
        "precision": around.precision,
        "memory_mb": around.memory_mb,
        "memory_of": around.memory_of,
    }
    rows = "".join(f"  {key}: {_inline(value)}\n" for key, value in recorded.items())
    parts.append(f"# What was found.\nfingerprint:\n{rows}")
    rows = "".join(f"  {step}: {_inline(dict(entry))}\n" for step, entry in made.items())
    parts.append(f"{MADE}made:\n{rows}")
    return "\n".join(parts)


def reasons(text: str) -> dict[tuple[str, str], str]:
    """The reason above each value in the file of a plan, by block and key; empty where none is.

    Whoever edits the file may have taken one away, or written another.

    Examples
    --------
    >>> reasons("tile:\\n  # Half a tile:\\n  # neighbours overlap.\\n  stride_px: 96\\n")
    {('tile', 'stride_px'): 'Half a tile: neighbours overlap.'}
    """
    found: dict[tuple[str, str], str] = {}
    block, above = "", []
    for line in text.splitlines():
        if line.startswith("  #"):
            above.append(line.removeprefix("  #").strip())
            continue
        key = line.partition(":")[0].strip()
        if not line.startswith(" "):
            block = key
        elif block in BLOCKS:
            found[block, key] = " ".join(above)
        above = []
    return found


def _inline(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


@dataclass(frozen=True)
class Plan:
    """A plan that was made, as it is on disk.

    Parameters
    ----------
    values : mapping
        Every key of `OPEN` and its value.
    made : mapping
        For each step, by the digest of settings that were planned once: what stands for them.
    size_nm : float, optional
        The side of a tile that was stated then, of which the planned one was made.
    """

    values: Mapping[str, Any]
    made: Mapping[str, Mapping[str, str]]
    size_nm: float | None = None

    @classmethod
    def parse(cls, text: str) -> Plan:
        """Read a plan; ValueError, with what is wrong, if it is damaged."""
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"it is no YAML: {error}") from error
        if not isinstance(content, dict):
            raise ValueError("it holds no values")
        wanted = [(block, key) for block in BLOCKS for key in OPEN[block]]
        wanted += [("made", step) for step in OPEN]
        blocks = {name: content.get(name) for name in (*BLOCKS, "made")}
        blocks = {name: block if isinstance(block, dict) else {} for name, block in blocks.items()}
        missing = [f"{name}.{key}" for name, key in wanted if blocks[name].get(key) in (None, AUTO)]
        if missing:
            raise ValueError(f"it does not say {', '.join(missing)}")
        broken = [f"made.{step}" for step in OPEN if not _is_entry(blocks["made"][step])]
        if broken:
            raise ValueError(f"{', '.join(broken)}: no digest by a digest")
        values = {key: blocks[block][key] for block in BLOCKS for key in OPEN[block]}
        made = {step: blocks["made"][step] for step in OPEN}
        return cls(values, made, blocks["tile"].get("size_nm"))

    def identity(self, step: str, settings: Mapping[str, Any]) -> str:
        """What stands for a step's settings in lineages.

        Parameters
        ----------
        step : str
        settings : mapping
            What is open in them filled from this plan.
        """
        now = digest_of(settings)
        return self.made[step].get(now, now)


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict):
        return False
    return all(isinstance(text, str) for pair in entry.items() for text in pair)


def made_of(
    lineages: Mapping[str, str],
    stated: Mapping[str, Mapping[str, Any]],
    decisions: Decisions,
    before: Plan | None = None,
) -> dict[str, dict[str, str]]:
    """The last part of a plan: for each step what stands for its settings, by their digest.

    Parameters
    ----------
    lineages : mapping
        What the steps that wait for this plan were told.
    stated : mapping
        Settings of each step, `AUTO` where they are open.
    decisions : Decisions
    before : Plan, optional
        The plan that this one replaces. What it knew stays known, so that settings that come out
        the same run nothing again; others stand for themselves.
    """
    # As YAML gives them back, so that digests hold for what is read later.
    values = {key: yaml.safe_load(_inline(found.value)) for key, found in decisions.items()}
    if before is not None:
        return {step: dict(before.made[step]) for step in OPEN}
    return {step: {digest_of(filled(step, stated[step], values)): lineages[step]} for step in OPEN}
