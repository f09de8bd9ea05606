"""`Plan`: every decision as data, with its reason."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from calque.errors import LabelError
from calque.geometry import Grid, Reorientation, Spacing
from calque.heads import Decoder, Head
from calque.labels import Labels
from calque.nets import NetworkConfig
from calque.planning.schedule import Schedule
from calque.planning.seen import Fingerprint, Probability
from calque.value import Value

PLAN_VERSION = 1

STORED = "stored"
"""The orientation of plans that take axes as the file has them."""

HALVES = 2
"""Trainings of a cascade's first stage: each predicts what the other has learned from."""


class Normalisation(Value):
    """How one channel is normalised.

    "zscore": mean 0 and standard deviation 1 per image. "ct": clip to [low, high], then subtract `mean` and
    divide by `std`, the same for all images. "none": as it is. With `nonzero`, "zscore" looks at and changes
    only voxels that some channel holds, and what they enclose; the zeros around the body stay zero.
    """

    scheme: Literal["zscore", "ct", "none"]
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: PositiveFloat = 1.0
    nonzero: bool = False

    @model_validator(mode="after")
    def _window_is_open(self) -> Self:
        if self.scheme == "ct" and not self.low < self.high:
            raise ValueError(f"the window of ct runs from low to high, got {self.low} to {self.high}")
        return self


class Augmentation(Value):
    """Probabilities per sample and ranges; a probability of 0 switches one off.

    "colour" mixes channels: for pictures in colour, whose stains and cameras differ between laboratories.
    """

    rotation: Probability = 0.2
    rotation_degrees: float = 30.0
    scaling: Probability = 0.2
    scaling_range: tuple[float, float] = (0.7, 1.4)
    noise: Probability = 0.1
    noise_std: float = 0.1
    blur: Probability = 0.1
    blur_sigma: tuple[float, float] = (0.5, 1.0)
    brightness: Probability = 0.15
    brightness_range: tuple[float, float] = (0.75, 1.25)
    contrast: Probability = 0.15
    contrast_range: tuple[float, float] = (0.75, 1.25)
    low_resolution: Probability = 0.1
    low_resolution_range: tuple[float, float] = (0.5, 1.0)
    gamma: Probability = 0.3
    gamma_range: tuple[float, float] = (0.7, 1.5)
    colour: Probability = 0.0
    colour_std: float = 0.2
    mirror: tuple[bool, bool, bool] = (True, True, True)


class Objective(Value):
    """What training minimises.

    Args:
        loss: a key of `calque.training.losses.LOSSES`.
        class_weights: by name of output, "background" among them; those that are not named weigh 1.
        batch_dice: pool the Dice term over the batch, not sample by sample.
        partial: where some classes of a case were not annotated, its background is "background or one of
            them" (marginal), or counts nowhere (ignore).
        exclusion: weight of the exclusion loss on such cases; 0 switches it off.
    """

    loss: str = "dice_ce"
    class_weights: dict[str, PositiveFloat] = Field(default_factory=dict)
    batch_dice: bool = False
    partial: Literal["marginal", "ignore"] = "marginal"
    exclusion: NonNegativeFloat = 1.0


class Optimiser(Value):
    """AdamW, SGD with Nesterov momentum, or Muon (see `calque.training.muon`), whose momentum is its own."""

    name: Literal["adamw", "sgd", "muon"] = "adamw"
    rate: PositiveFloat = 3e-3
    weight_decay: NonNegativeFloat = 1e-2
    momentum: NonNegativeFloat = 0.99
    clip: PositiveFloat = 12.0


class Forecast(Value):
    """What the planner expects on the machine where it ran."""

    machine: str
    step_seconds: PositiveFloat
    steps: PositiveInt
    train_memory_bytes: PositiveInt
    store_bytes: PositiveInt


class Plan(Value):
    """Every decision of a training run; a person may edit its JSON.

    Args:
        version: of this format.
        dataset: its name.
        channels: a name per channel.
        labels: the classes.
        heads: the network's outputs where they are regions (sigmoid); none where they are classes (softmax).
        orientation: axis codes, such as "SPL", to which every image is brought (exactly undone afterwards);
            "stored" leaves the axes as the file has them, as nnU-Net does.
        transpose: with "stored", new axis k is the file's axis `transpose[k]`.
        spacing: mm along (z, y, x), in that orientation; 2-D networks leave z as it is in the image.
        crop: "nonzero" cuts away a border of zeros.
        image_order: spline order when images are resampled; across thick slices the nearest is taken when
            `separate_z` says so.
        separate_z: whether images are resampled along the first axis with nearest neighbour. "auto": along
            the axis whose voxels are over three times as long as others, in the image or else in the plan,
            and logits likewise (nnU-Net's rule).
        normalisation: one per channel.
        patch: voxels (z, y, x) that a network sees at once.
        batch: patches per step.
        foreground: share of a batch that is centred on a class.
        foreground_by: whether that class is drawn among those of the case whose turn it is, or first, and
            then a case that has it: classes that few cases have come as often as all others.
        network: its configuration.
        augmentation: what is varied.
        objective: what is minimised.
        optimiser: how weights move.
        schedule: how long, and how the rate changes.
        precision: of convolutions in training.
        channels_last: the memory layout in training.
        fingerprint: what was known.
        forecast: what is expected; None when it was not probed.
        reasons: why, by field name.
        first: of a cascade: the plan of the stage before, on a coarser grid, whose classes this one sees too.
        halves: of a cascade that is repeated: how each training of the first stage went, by steps; else each
            follows `first.schedule`.
    """

    version: Literal[1] = 1
    dataset: str
    channels: tuple[str, ...] = Field(min_length=1)
    labels: Labels
    heads: tuple[Head, ...] = ()
    orientation: str
    transpose: tuple[int, int, int] = (0, 1, 2)
    spacing: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    crop: Literal["nonzero", "none"] = "nonzero"
    image_order: Literal[0, 1, 3] = 3
    separate_z: bool | Literal["auto"] = False
    normalisation: tuple[Normalisation, ...]
    patch: tuple[PositiveInt, PositiveInt, PositiveInt]
    batch: PositiveInt
    foreground: float = Field(default=0.34, ge=0, le=1)
    foreground_by: Literal["case", "class"] = "case"
    network: NetworkConfig
    augmentation: Augmentation = Augmentation()
    objective: Objective = Objective()
    optimiser: Optimiser = Optimiser()
    schedule: Schedule
    precision: Literal["f32", "bf16"] = "f32"
    channels_last: bool = False
    fingerprint: Fingerprint
    forecast: Forecast | None = None
    reasons: dict[str, str] = Field(default_factory=dict)
    first: Plan | None = None
    halves: tuple[Schedule, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.normalisation) != len(self.channels):
            raise ValueError("normalisation needs one entry per channel")
        if len(self.fingerprint.intensities) not in (0, len(self.channels)):
            raise ValueError("fingerprint.intensities needs one entry per channel")
        if self.network.inputs != len(self.channels):
            raise ValueError(f"the network takes {self.network.inputs} channels, not {len(self.channels)}")
        self._require_outputs()
        self._require_stages()
        if any(p % d for p, d in zip(self.patch, self.network.divisor, strict=True)):
            raise ValueError(f"patch {self.patch} must be a multiple of {self.network.divisor}")
        if self.orientation != STORED and not _names_axes(self.orientation):
            raise ValueError(
                f'orientation is "{STORED}" or axis codes such as "SPL", got "{self.orientation}"'
            )
        if sorted(self.transpose) != [0, 1, 2] or (
            self.orientation != STORED and self.transpose != (0, 1, 2)
        ):
            raise ValueError(f"transpose permutes (0, 1, 2) of stored axes, got {self.transpose}")
        return self

    def _require_outputs(self) -> None:
        decoder = self.decoder
        if self.network.outputs != decoder.outputs:
            what = "regions" if self.heads else "classes"
            raise ValueError(f"the network gives {self.network.outputs} {what}, not {decoder.outputs}")
        try:
            decoder.require_exact()
        except LabelError as problem:
            raise ValueError(f"{problem.what}: {problem.got}") from problem
        strange = sorted(set(self.objective.class_weights) - set(decoder.names))
        if strange:
            raise ValueError(f"class_weights name {strange}; there are {list(decoder.names)}")

    def _require_stages(self) -> None:
        expected = 0 if self.first is None else len(self.labels.classes)
        if self.network.previous != expected:
            raise ValueError(
                f"the network sees {self.network.previous} classes of a stage before, not {expected}"
            )
        if self.first is None:
            if self.halves:
                raise ValueError("halves are of a cascade's first stage, and there is none")
            return
        if self.halves and (len(self.halves) != HALVES or any(half.steps is None for half in self.halves)):
            raise ValueError(f"halves are {HALVES} schedules in steps")
        if self.first.first is not None:
            raise ValueError("a cascade has two stages")
        if (self.first.channels, self.first.labels) != (self.channels, self.labels):
            raise ValueError("both stages see the same channels and give the same classes")

    @property
    def decoder(self) -> Decoder:
        """How logits become class numbers."""
        return Decoder(labels=self.labels, heads=self.heads)

    def reorientation(self, grid: Grid) -> Reorientation:
        """How an image on this grid is brought to the plan's axes.

        Raises:
            GeometryError: `orientation` is none.
        """
        if self.orientation == STORED:
            return Reorientation(self.transpose, (False, False, False))
        return grid.reorientation(self.orientation)

    def spacing_for(self, grid: Grid) -> Spacing:
        """mm (z, y, x) to which an image, on this grid after reorientation, is resampled."""
        return (grid.spacing[0], *self.spacing[1:]) if self.network.dimensions == 2 else self.spacing


def _names_axes(codes: str) -> bool:
    """Whether `codes` has one of L/R, one of P/A and one of S/I, in any order."""
    return sorted("LPS"["LPSRAI".find(c) % 3] if c in "LPSRAI" else "" for c in codes) == ["L", "P", "S"]
