"""Charts as SVG in `data:` URIs, drawn on `Figure` objects: matplotlib's global state is left alone."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from calque.labels import Colour

if TYPE_CHECKING:
    from calque.training.history import HistoryRow

INK, FAINT, _PAPER = "#1d2733", "#d9d5cb", "#ffffff"
_FEW = 12  # classes with names in the legend

Format = Callable[[float], str]


def spread(
    columns: Sequence[tuple[str, Colour, Sequence[float]]],
    limits: tuple[float, float] | None,
    form: Format,
) -> str:
    """A strip of dots and a box per class, one row each.

    Args:
        columns: name, colour and values of each class, from top to bottom.
        limits: of the horizontal axis; None: from the values.
        form: how numbers are written on it.
    """
    figure, axes = canvas(5.4, 0.55 + 0.55 * len(columns))
    generator = np.random.default_rng(0)  # the same scatter every time
    for row, (_, colour, values) in enumerate(columns):
        if not len(values):
            continue
        shift = generator.uniform(-0.16, 0.16, len(values))
        axes.scatter(
            values,
            row + shift,
            s=15,
            color=as_css(colour),
            alpha=0.75,
            linewidths=0.4,
            edgecolors=INK,
            zorder=3,
        )
        axes.boxplot(
            [values], positions=[row], orientation="horizontal", widths=0.52, showfliers=False, whis=(0, 100),
            boxprops={"color": INK, "linewidth": 1.0}, medianprops={"color": INK, "linewidth": 2.2},
            whiskerprops={"color": INK, "linewidth": 1.0}, capprops={"linewidth": 0}, manage_ticks=False,
            zorder=2,
        )  # fmt: skip
    axes.set_yticks(range(len(columns)), [name for name, _, _ in columns])
    axes.set_ylim(len(columns) - 0.5, -0.5)
    if limits is not None:
        axes.set_xlim(*limits)
    plain(axes, form, "x")
    return svg(figure)


def curves(
    histories: dict[str, tuple[HistoryRow, ...]],
    colours: dict[str, Colour],
    titles: tuple[str, str, str],
    form: Format,
) -> str:
    """Loss and validation Dice over minutes, one line per class and fold.

    Args:
        histories: rows by fold.
        colours: by class.
        titles: of the loss, of the Dice, of the time axis.
        form: how numbers are written.
    """
    figure = Figure(figsize=(10.4, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for rows in histories.values():
        some = [row for row in rows if row.loss is not None]
        left.plot([r.seconds / 60 for r in some], [r.loss for r in some], color=INK, linewidth=1.1)
        seen = [row for row in rows if row.dice]
        for name, colour in colours.items():
            points = [(r.seconds / 60, r.dice[name]) for r in seen if r.dice and name in r.dice]
            if points:
                right.plot(
                    *zip(*points, strict=True), color=as_css(colour), marker="o", markersize=3, label=name
                )
    right.set_ylim(0, 1)
    handles, names = right.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    if 0 < len(unique) <= _FEW:
        right.legend(unique.values(), unique.keys(), loc="lower right", frameon=False, fontsize=9)
    for axes, title in ((left, titles[0]), (right, titles[1])):
        axes.set_title(title, loc="left", fontsize=10.5, color=INK)
        axes.set_xlabel(titles[2])
        plain(axes, form, "both")
    return svg(figure)


def canvas(width: float, height: float) -> tuple[Figure, Any]:
    """A figure of so many inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def plain(axes: Any, form: Format, which: str) -> None:
    """Thin, light, no frame."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.grid(axis=which, color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0, labelsize=9)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=INK, fontsize=9.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    if which == "both":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))


def as_css(colour: Colour) -> str:
    """As CSS and matplotlib write it."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def svg(figure: Figure) -> str:
    """Text becomes paths, so that it looks the same everywhere; the picture's alt text speaks for it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", facecolor=_PAPER, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
