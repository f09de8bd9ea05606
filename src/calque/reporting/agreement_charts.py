"""Charts of agreement: calibration, volumes, differences of models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calque.evaluation.calibration import Reliability
from calque.evaluation.volumes import Agreement
from calque.labels import Colour
from calque.reporting.charts import FAINT, INK, Format, as_css, canvas, plain, svg

_ACCENT = "#0b5f63"


def reliability_curves(
    lines: Sequence[tuple[str, Colour, Reliability]], titles: tuple[str, str], form: Format
) -> str:
    """Observed frequency over mean predicted probability, a line per class; the diagonal is perfect.

    Args:
        lines: name, colour and bins of each class.
        titles: of the horizontal and the vertical axis.
        form: how numbers are written.
    """
    figure, axes = canvas(5.4, 4.6)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    for name, colour, bins in lines:
        counts = np.array(bins.counts, dtype=float)
        some = counts > 0
        sure = np.array(bins.confidence)[some] / counts[some]
        seen = np.array(bins.hits)[some] / counts[some]
        axes.plot(sure, seen, color=as_css(colour), linewidth=2.0, zorder=3)
        axes.scatter(
            sure,
            seen,
            s=12 + 60 * np.sqrt(counts[some] / counts.max()),  # large where many voxels are
            color=as_css(colour),
            edgecolors=INK,
            linewidths=0.5,
            zorder=4,
            label=name,
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel(titles[0])
    axes.set_ylabel(titles[1])
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    plain(axes, form, "both")
    return svg(figure)


def bland_altman(found: Agreement, colour: Colour, titles: tuple[str, str], form: Format) -> str:
    """Difference of volumes over their mean, with bias and limits of agreement.

    Args:
        found: with limits.
        colour: of the class.
        titles: of the horizontal and the vertical axis.
        form: how numbers are written.
    """
    figure, axes = canvas(5.4, 3.6)
    axes.axhline(0, color=INK, linewidth=0.8)
    if found.bias_low is not None and found.bias_high is not None:
        axes.axhspan(found.bias_low, found.bias_high, color=_ACCENT, alpha=0.14, linewidth=0)
    for value, style in ((found.bias_ml, "-"), (found.lower_ml, "--"), (found.upper_ml, "--")):
        if value is not None:
            axes.axhline(value, color=_ACCENT, linewidth=1.6, linestyle=style)
            axes.annotate(
                form(round(value, 2)), (1.0, value), xycoords=("axes fraction", "data"), xytext=(4, 0),
                textcoords="offset points", va="center", fontsize=9, color=_ACCENT, annotation_clip=False,
            )  # fmt: skip
    axes.scatter(
        found.means_ml,
        found.differences_ml,
        s=22,
        color=as_css(colour),
        edgecolors=INK,
        linewidths=0.5,
        zorder=3,
    )
    axes.set_xlabel(titles[0])
    axes.set_ylabel(titles[1])
    plain(axes, form, "both")
    return svg(figure)


def forest(rows: Sequence[tuple[str, float, float, float]], title: str, form: Format) -> str:
    """Differences with their intervals, one row each, about a line at zero.

    Args:
        rows: name, mean, lower and upper end, from top to bottom.
        title: of the horizontal axis.
        form: how numbers are written.
    """
    figure, axes = canvas(6.6, 0.9 + 0.42 * len(rows))
    axes.axvline(0, color=INK, linewidth=1.0)
    for row, (_, mean, low, high) in enumerate(rows):
        colour = _ACCENT if low > 0 or high < 0 else "#6d7783"
        axes.plot([low, high], [row, row], color=colour, linewidth=2.6, solid_capstyle="round")
        axes.scatter([mean], [row], s=42, color=colour, edgecolors="white", linewidths=1.0, zorder=3)
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(title)
    plain(axes, form, "x")
    axes.grid(axis="y", color=FAINT, linewidth=0.5)
    return svg(figure)
