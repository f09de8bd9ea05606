"""What is known of the data before anything is decided."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveInt

from calque.value import Value

Probability = float


class Intensity(Value):
    """Percentiles and moments of one channel, over foreground voxels of the training cases."""

    mean: float
    std: NonNegativeFloat
    low: float  # percentile 0.5
    median: float
    high: float  # percentile 99.5


class Fingerprint(Value):
    """What the planner knows about the data.

    Args:
        cases: how many were read.
        spacings: (z, y, x) mm per case; in a plan in its orientation, else in that which most cases have.
        shapes: (z, y, x) per case, after cropping.
        orientations: how many cases have which axis codes.
        intensities: one per channel.
        class_fractions: share of voxels per class, background not among them, over all cases.
        cases_with_class: how many cases hold each class.
        upright: for pictures, along y and x: the share of patients whose picture resembles the others' more
            as it is than mirrored; None where it is not known (see `planning.upright`).
        sized: whether spacings are physical; if not, a pixel counts as 1 mm.
    """

    cases: PositiveInt
    spacings: tuple[tuple[float, float, float], ...]
    shapes: tuple[tuple[int, int, int], ...]
    orientations: dict[str, int]
    intensities: tuple[Intensity, ...]
    class_fractions: tuple[float, ...]
    cases_with_class: tuple[int, ...]
    upright: tuple[Probability, Probability] | None = None
    sized: bool = True
