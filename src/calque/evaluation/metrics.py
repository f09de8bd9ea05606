"""Metrics as data. A new one is a function of a `Pair` and an entry in `METRICS`.

Definitions follow Metrics Reloaded (Maier-Hein, Reinke et al. 2024, doi:10.1038/s41592-023-02151-z).
Functions are called only where both masks hold something; what else happens is the entry's `Empty`, and
nowhere else (docs/decisions/empty-masks.md).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calque.errors import InputError
from calque.evaluation import formulas
from calque.evaluation.pair import Pair, State

Need = Literal["overlap", "surfaces", "elements", "rims", "objects", "skeletons", "probability"]
Better = Literal["higher", "lower", "zero", "neither"]


@dataclass(frozen=True)
class Empty:
    """The value where a mask is empty; None where the metric has none there.

    Args:
        missed: the class is in the truth alone.
        spurious: it is in the prediction alone.
        absent: it is in neither.
    """

    missed: float | None
    spurious: float | None
    absent: float | None = None

    def value(self, state: State) -> float | None:
        """For this state, which must not be "present"."""
        return {"missed": self.missed, "spurious": self.spurious, "absent": self.absent}[state]


@dataclass(frozen=True)
class Metric:
    """One figure for one class of one case.

    Args:
        name: the key in `METRICS`, in JSON and in CSV.
        title: for people.
        unit: "" for a ratio, else "mm" or "ml".
        better: which direction is better; "zero" for signed errors; "neither" for what is no error.
        needs: what of the pair the function uses, the costliest part.
        function: called where both masks hold something; None where it has no value.
        empty: the value elsewhere; None leaves it to `function`, which then must bear empty masks.
        definition: one line.
    """

    name: str
    title: str
    unit: str
    better: Better
    needs: Need
    function: Callable[[Pair], float | None]
    empty: Empty | None
    definition: str

    @property
    def limits(self) -> tuple[float, float]:
        """What a value, and so the end of an interval, cannot pass."""
        if self.better == "zero":
            return -np.inf, np.inf
        return 0.0, np.inf if self.unit else 1.0

    def __call__(self, pair: Pair) -> float | None:
        """The value, or None where there is none."""
        if self.empty is not None and pair.state != "present":
            return self.empty.value(pair.state)
        return self.function(pair)


_WORST = Empty(missed=0.0, spurious=0.0)
_UNBOUNDED = Empty(missed=None, spurious=None)
_OF_PREDICTED = Empty(missed=None, spurious=0.0)
_OF_TRUTH = Empty(missed=0.0, spurious=None)

_ALL = (
    Metric(
        "dice", "Dice", "", "higher", "overlap", formulas.dice, _WORST, "2|P∩T| / (|P|+|T|)",
    ),
    Metric(
        "iou", "IoU", "", "higher", "overlap", formulas.iou, _WORST, "|P∩T| / |P∪T|",
    ),
    Metric(
        "precision", "Precision", "", "higher", "overlap", lambda pair: pair.hits / pair.n_predicted,
        _OF_PREDICTED, "|P∩T| / |P|",
    ),
    Metric(
        "recall", "Recall", "", "higher", "overlap", lambda pair: pair.hits / pair.n_truth,
        _OF_TRUTH, "|P∩T| / |T|, also called sensitivity",
    ),
    Metric(
        "specificity", "Specificity", "", "higher", "overlap", formulas.specificity, None,
        "share of the voxels outside T that are outside P; depends on the field of view",
    ),
    Metric(
        "hd", "HD", "mm", "lower", "surfaces", formulas.percentile_hausdorff(100.0), _UNBOUNDED,
        "Hausdorff distance: the largest distance from one surface to the other",
    ),
    Metric(
        "hd95", "HD95", "mm", "lower", "surfaces", formulas.percentile_hausdorff(95.0), _UNBOUNDED,
        "the larger of the two directed 95th percentiles of surface distances",
    ),
    Metric(
        "assd", "ASSD", "mm", "lower", "surfaces", formulas.assd, _UNBOUNDED,
        "mean distance over the border voxels of both surfaces",
    ),
    Metric(
        "nsd", "NSD", "", "higher", "surfaces", formulas.nsd, _WORST,
        "share of both surfaces' border voxels that lie within the tolerance of the other surface",
    ),
    Metric(
        "nsd_area", "NSD (area)", "", "higher", "elements", formulas.nsd_area, _WORST,
        "share of both surfaces' area that lies within the tolerance of the other surface",
    ),
    Metric(
        "boundary_iou", "Boundary IoU", "", "higher", "rims", formulas.boundary_iou, _WORST,
        "IoU of the voxels of each mask within the tolerance of its own border (Cheng et al. 2021)",
    ),
    Metric(
        "cldice", "clDice", "", "higher", "skeletons", formulas.cldice, _WORST,
        "centreline Dice: harmonic mean of the share of P's centreline inside T and of T's inside P "
        "(Shit et al. 2021)",
    ),
    Metric(
        "lesion_precision", "Object precision", "", "higher", "objects",
        lambda pair: pair.objects.hits / pair.objects.n_predicted, _OF_PREDICTED,
        "share of the predicted objects that match a true one",
    ),
    Metric(
        "lesion_recall", "Object recall", "", "higher", "objects",
        lambda pair: pair.objects.hits / pair.objects.n_truth, _OF_TRUTH,
        "share of the true objects that match a predicted one",
    ),
    Metric(
        "lesion_f1", "Object F1", "", "higher", "objects",
        lambda pair: 2.0 * pair.objects.hits / (pair.objects.n_predicted + pair.objects.n_truth), _WORST,
        "twice the matched pairs, by the objects of both masks",
    ),
    Metric(
        "panoptic_quality", "Panoptic quality", "", "higher", "objects", formulas.panoptic, _WORST,
        "sum of the IoU of matched objects, by the mean number of objects (Kirillov et al. 2019)",
    ),
    Metric(
        "volume_predicted_ml", "Predicted volume", "ml", "neither", "overlap",
        lambda pair: pair.n_predicted * pair.voxel_ml, None, "|P| times the volume of a voxel",
    ),
    Metric(
        "volume_truth_ml", "True volume", "ml", "neither", "overlap",
        lambda pair: pair.n_truth * pair.voxel_ml, None, "|T| times the volume of a voxel",
    ),
    Metric(
        "volume_error_ml", "Volume error", "ml", "zero", "overlap", formulas.volume_error_ml, None,
        "predicted volume minus true volume",
    ),
    Metric(
        "volume_error_relative", "Relative volume error", "", "zero", "overlap",
        lambda pair: (pair.n_predicted - pair.n_truth) / pair.n_truth,
        Empty(missed=-1.0, spurious=None), "(|P|-|T|) / |T|",
    ),
    Metric(
        "ece", "ECE", "", "lower", "probability", formulas.ece, None,
        "expected calibration error in the box of the class: mean gap of probability and frequency, 15 bins",
    ),
    Metric(
        "brier", "Brier", "", "lower", "probability", formulas.brier, None,
        "mean squared gap of probability and truth in the box of the class",
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}

DEFAULT: tuple[str, ...] = tuple(m.name for m in _ALL if m.needs not in ("skeletons", "probability"))
"""Those that need masks alone and mean something for any structure; they share what they need."""

CALIBRATION: tuple[str, ...] = tuple(metric.name for metric in _ALL if metric.needs == "probability")
"""Those that need probabilities."""


def metric_named(name: str) -> Metric:
    """An entry of `METRICS`, or any percentile of the Hausdorff distance: "hd90", "hd99.5".

    Raises:
        InputError: there is no such metric.
    """
    if name in METRICS:
        return METRICS[name]
    found = re.fullmatch(r"hd([1-9]\d?(?:\.\d+)?)", name)
    if found is None:
        raise InputError(
            "There is no such metric",
            expected=f"one of {', '.join(METRICS)}, or a percentile such as hd90",
            got=name,
        )
    definition = f"the larger of the two directed percentiles ({found[1]}) of surface distances"
    function = formulas.percentile_hausdorff(float(found[1]))
    return Metric(name, name.upper(), "mm", "lower", "surfaces", function, _UNBOUNDED, definition)


def select(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of these names.

    Raises:
        InputError: a name is unknown, or none is given.
    """
    if not names:
        raise InputError("Name at least one metric", expected=f"some of {', '.join(METRICS)}")
    return tuple(metric_named(name) for name in dict.fromkeys(names))
