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
    from calque.training.run import HistoryRow

_INK, _FAINT, _PAPER = "#1d2733", "#d9d5cb", "#ffffff"
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
    figure = Figure(figsize=(5.4, 0.55 + 0.55 * len(columns)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    generator = np.random.default_rng(0)  # the same scatter every time
    for row, (_, colour, values) in enumerate(columns):
        if not len(values):
            continue
        shift = generator.uniform(-0.16, 0.16, len(values))
        axes.scatter(
            values,
            row + shift,
            s=15,
            color=_hex(colour),
            alpha=0.75,
            linewidths=0.4,
            edgecolors=_INK,
            zorder=3,
        )
        axes.boxplot(
            [values], positions=[row], orientation="horizontal", widths=0.52, showfliers=False, whis=(0, 100),
            boxprops={"color": _INK, "linewidth": 1.0}, medianprops={"color": _INK, "linewidth": 2.2},
            whiskerprops={"color": _INK, "linewidth": 1.0}, capprops={"linewidth": 0}, manage_ticks=False,
            zorder=2,
        )  # fmt: skip
    axes.set_yticks(range(len(columns)), [name for name, _, _ in columns])
    axes.set_ylim(len(columns) - 0.5, -0.5)
    if limits is not None:
        axes.set_xlim(*limits)
    _plain(axes, form, "x")
    return _svg(figure)


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
        left.plot([r.seconds / 60 for r in some], [r.loss for r in some], color=_INK, linewidth=1.1)
        seen = [row for row in rows if row.dice]
        for name, colour in colours.items():
            points = [(r.seconds / 60, r.dice[name]) for r in seen if r.dice and name in r.dice]
            if points:
                right.plot(
                    *zip(*points, strict=True), color=_hex(colour), marker="o", markersize=3, label=name
                )
    right.set_ylim(0, 1)
    handles, names = right.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    if 0 < len(unique) <= _FEW:
        right.legend(unique.values(), unique.keys(), loc="lower right", frameon=False, fontsize=9)
    for axes, title in ((left, titles[0]), (right, titles[1])):
        axes.set_title(title, loc="left", fontsize=10.5, color=_INK)
        axes.set_xlabel(titles[2])
        _plain(axes, form, "both")
    return _svg(figure)


def _plain(axes: Any, form: Format, which: str) -> None:
    """Thin, light, no frame."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_FAINT)
    axes.grid(axis=which, color=_FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=0, labelsize=9)
    axes.xaxis.label.set(color=_INK, fontsize=9.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))
    if which == "both":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: form(value)))


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _svg(figure: Figure) -> str:
    """Text becomes paths, so that it looks the same everywhere; the picture's alt text speaks for it."""
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", facecolor=_PAPER, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
