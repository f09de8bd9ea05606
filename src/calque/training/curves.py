"""A run's history as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from calque.io import atomic_path
from calque.labels import Labels
from calque.training.history import HistoryRow

BARS = "▁▂▃▄▅▆▇█"


def mean_dice(row: HistoryRow) -> float | None:
    """Mean over classes, None on rows without a validation."""
    return sum(row.dice.values()) / len(row.dice) if row.dice else None


def sparkline(values: Sequence[float], low: float = 0.0, high: float = 1.0) -> str:
    """A curve in one line of text; `low` and `high` are the ends of the scale."""
    top = len(BARS) - 1
    share = [min(max((v - low) / (high - low), 0.0), 1.0) for v in values]
    return "".join(BARS[round(s * top)] for s in share)


def draw_curves(rows: Sequence[HistoryRow], labels: Labels, path: Path) -> None:
    """Loss and validation Dice over minutes, one line per class in its colour."""
    figure = Figure(figsize=(10, 3.6))
    FigureCanvasAgg(figure)
    loss, dice = figure.subplots(1, 2)
    figure.subplots_adjust(left=0.07, right=0.83, bottom=0.15, top=0.9)  # a layout engine would draw twice
    minutes = [row.seconds / 60 for row in rows if row.loss is not None]
    loss.plot(minutes, [row.loss for row in rows if row.loss is not None], color="#444444", linewidth=1)
    loss.set(xlabel="minutes", ylabel="loss", title="training")
    seen = [row for row in rows if row.dice]
    for label in labels.classes:
        colour = tuple(c / 255 for c in label.colour)
        values = [(row.dice or {}).get(label.name, float("nan")) for row in seen]
        minutes = [row.seconds / 60 for row in seen]
        dice.plot(minutes, values, color=colour, marker="o", markersize=3, label=label.name)
    dice.set(xlabel="minutes", ylabel="Dice", ylim=(0, 1), title="validation")
    dice.grid(alpha=0.3)
    if seen and len(labels.classes) <= 12:
        dice.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1), fontsize="small"
        )  # beside, not over the curves
    for axes in (loss, dice):  # one clock for both, also before there is a second look
        axes.set_xlim(0, 1.02 * max((row.seconds / 60 for row in rows), default=1.0) or 1.0)
    with atomic_path(path) as aside:
        figure.savefig(aside, dpi=110, format="png")
