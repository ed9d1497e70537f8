"""Plots of scores and losses as SVG, drawn in the colours of the page that embeds them.

Every function returns the markup of one `<svg>`. Colours come from the style sheet by class, so a
plot follows the light or dark mode of its reader; the same numbers give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from markupsafe import Markup

TICKS = (0, 0.25, 0.5, 0.75, 1)
WIDTH, MARGIN = 380, 14
ROW_HEIGHT, LOWEST_ROW, LABELLED_ROW = 20, 1.5, 12
PLOT_HEIGHT = 480
LABEL_LETTERS, LETTER_WIDTH = 17, 6.7
LOSS_SIZE = (260, 150)
LOSS_POINTS = 200


@dataclass(frozen=True)
class Row:
    """One line of a dot plot: scores between 0 and 1, NaN where there is none.

    Parameters
    ----------
    label : str
    dice, iou : float
    otsu, seeds : float, sequence of float
        Dice of the threshold, and of each seed.
    low, high : float
        Interval of Dice.
    """

    label: str
    dice: float
    iou: float
    otsu: float = float("nan")
    seeds: Sequence[float] = ()
    low: float = float("nan")
    high: float = float("nan")


def score_bar(score: float, low: float, high: float, other: float) -> Markup:
    """A score on a line from 0 to 1, with its interval and the score of another method."""
    parts = ['<line class="track" x1="4" y1="8" x2="196" y2="8"/>']
    if np.isfinite(low):
        parts.append(_line("interval", 4 + 192 * low, 8, 4 + 192 * high, 8))
    parts += [_cross(4 + 192 * other, 8)] if np.isfinite(other) else []
    parts += [_dot("dot", 4 + 192 * score, 8, 5)] if np.isfinite(score) else []
    return _svg(200, 16, f"{score:.3f} on a line from 0 to 1", parts, "bar")


def dot_plot(rows: Sequence[Row], mean: Row, title: str) -> Markup:
    """Scores of one class by group, and below them their mean with its interval.

    Parameters
    ----------
    rows : sequence of Row
        One a group, in the order of drawing. Where there are so many that labels would overlap,
        lines move together and labels go, and the plot reads as a distribution.
    mean : Row
    title : str
        For those who cannot see it.
    """
    height = float(np.clip(PLOT_HEIGHT / max(len(rows), 1), LOWEST_ROW, ROW_HEIGHT))
    labelled = height >= LABELLED_ROW
    names = [mean.label, *(row.label for row in rows if labelled)]
    axis = _Axis(12 + LETTER_WIDTH * min(LABEL_LETTERS, max(map(len, names))))
    bottom = MARGIN + height * len(rows)
    parts = list(axis.ticks(bottom + ROW_HEIGHT + 10))
    for number, row in enumerate(rows):
        parts += _scores(row, axis, MARGIN + height * (number + 0.5), labelled)
    parts.append(_line("rule", 0, bottom + 5, WIDTH, bottom + 5))
    parts += _scores(mean, axis, bottom + 5 + ROW_HEIGHT / 2, True)
    return _svg(WIDTH, bottom + ROW_HEIGHT + 30, title, parts)


@dataclass(frozen=True)
class _Axis:
    """Scores from 0, at `left`, to 1, at the right edge of a plot."""

    left: float

    def at(self, score: float) -> float:
        return self.left + (WIDTH - MARGIN - self.left) * score

    def ticks(self, bottom: float) -> Iterable[str]:
        for tick in TICKS:
            yield _line("grid", self.at(tick), MARGIN - 4, self.at(tick), bottom)
            yield _text("tick", self.at(tick), bottom + 13, f"{tick:g}", "middle")


def _scores(row: Row, axis: _Axis, y: float, labelled: bool) -> Iterable[str]:
    """The marks of one row; without its label they are small, and only the main ones."""
    at, size = axis.at, 4.5 if labelled else 2
    said = f"{row.label}: Dice {row.dice:.3f}, IoU {row.iou:.3f}"
    yield f"<g><title>{escape(said)}</title>"
    if labelled:
        short = row.label
        if len(short) > LABEL_LETTERS:
            short = f"{short[: LABEL_LETTERS - 1]}…"
        yield _text("label", axis.left - 8, y + 4, short, "end")
    if labelled and np.isfinite(row.dice):
        yield _line("link", at(row.iou), y, at(row.dice), y)
    if np.isfinite(row.low):
        yield _line("interval", at(row.low), y, at(row.high), y)
    for seed in row.seeds if labelled else ():
        if np.isfinite(seed):
            yield _line("seed", at(seed), y - 6, at(seed), y + 6)
    if np.isfinite(row.otsu):
        yield _cross(at(row.otsu), y, size - 1)
    if np.isfinite(row.dice):
        yield _dot("ring", at(row.iou), y, size - 0.5)
        yield _dot("dot", at(row.dice), y, size)
    yield "</g>"


def loss_plot(
    of: Sequence[tuple[np.ndarray, np.ndarray]],
    others: Sequence[tuple[np.ndarray, np.ndarray]],
    title: str,
) -> Markup:
    """Loss by step of the networks of one fold, in front of those of the other folds.

    Parameters
    ----------
    of, others : sequences of (steps, losses)
        Each at least one step long; long ones are drawn as means of `LOSS_POINTS` spans. The axes
        span both, so that plots of one study share them; the loss is on a logarithmic axis where
        it allows one.
    title : str
    """
    curves = [[_thinned(*curve) for curve in curves] for curves in (others, of)]
    losses = np.concatenate([loss for curve in curves for _, loss in curve])
    losses = losses[np.isfinite(losses)]
    low, high = (losses.min(), losses.max()) if losses.size else (0.0, 1.0)
    last = max(steps[-1] for curve in curves for steps, _ in curve)
    scaled = np.log10 if low > 0 else np.asarray
    width, height = LOSS_SIZE
    bottom, top = (float(scaled(end)) for end in (low, high))
    span = top - bottom or 1.0

    def points(steps: np.ndarray, loss: np.ndarray) -> str:
        x = 38 + (width - 48) * steps / last
        y = 8 + (height - 32) * (1 - (scaled(loss) - bottom) / span)
        pairs = zip(x, y, strict=True)
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs if np.isfinite(b))

    parts = []
    for tick in _ticks(low, high):
        y = 8 + (height - 32) * (1 - (float(scaled(tick)) - bottom) / span)
        parts += [_line("grid", 38, y, width - 10, y), _text("tick", 33, y + 4, f"{tick:g}", "end")]
    parts.append(_text("tick", 38, height - 8, "0", "middle"))
    parts.append(_text("tick", width - 10, height - 8, f"{last:g} steps", "end"))
    for name, group in zip(("faint", "curve"), curves, strict=True):
        parts += [f'<polyline class="{name}" points="{points(*curve)}"/>' for curve in group]
    return _svg(width, height, title, parts)


def _thinned(steps: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(steps) <= LOSS_POINTS:
        return steps, losses
    spans = zip(
        np.array_split(steps, LOSS_POINTS), np.array_split(losses, LOSS_POINTS), strict=True
    )
    means = [(a.mean(), b.mean()) for a, b in spans]
    return tuple(np.array(means).T)


def _ticks(low: float, high: float) -> list[float]:
    """One to five round numbers from `low` to `high`."""
    if low <= 0:
        return [float(f"{tick:.2g}") for tick in np.linspace(low, high, 4)]
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for digits in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,)):
        ticks = [tick for p in powers for d in digits if low <= (tick := float(f"{d}e{p}")) <= high]
        if len(ticks) <= 5:
            break
    return ticks or [float(f"{low:.2g}")]


def _line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{name}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _dot(name: str, x: float, y: float, radius: float) -> str:
    return f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'


def _cross(x: float, y: float, half: float = 3.5) -> str:
    side = 2 * half
    down = f"M{x - half:.1f} {y - half:.1f}l{side:g} {side:g}"
    return f'<path class="cross" d="{down}m0 {-side:g}l{-side:g} {side:g}"/>'


def _text(name: str, x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text class="{name}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _svg(
    width: float, height: float, title: str, parts: Iterable[str], name: str = "plot"
) -> Markup:
    box = f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}"'
    return Markup(f'<svg class="{name}" {box}>{"".join(parts)}</svg>')
