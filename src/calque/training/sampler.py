"""Which patch of which case is seen at which step.

A batch is a pure function of (seed, step): nothing is remembered from step to step. A resumed run therefore
sees exactly what the uninterrupted run would have seen, and there is no generator state to save.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Shape
from calque.planning import Augmentation, Plan
from calque.preparation import PreparedCase
from calque.training.cases import Loader, OpenCases
from calque.training.disturb import disturb

Matrix = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)

DISTURBING = 11
"""Keeps the random numbers of disturbances apart from those of patches."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Raw material of one patch.

    Args:
        image: (channel, z, y, x) float32: the patch itself, or the region that `warp` draws from.
        labels: (z, y, x) class numbers over the same region.
        warp: None, or (3, 4): maps patch indices (z, y, x, 1) to indices of the region.
        known: None where every class was annotated, or (n,): which were, background always.
        previous: None, or (z, y, x): class numbers of a stage before over the same region.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    warp: Matrix | None
    known: NDArray[np.bool_] | None = None
    previous: NDArray[np.integer] | None = None


@dataclass(frozen=True)
class Contents:
    """What is known of the cases without opening them.

    Args:
        classes: by case, the numbers of the classes that it holds.
        known: by case, (n,): which classes were annotated; cases that are not listed have all.
    """

    classes: Mapping[str, Collection[int]] = field(default_factory=dict)
    known: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


class Sampler:
    """Draws batches from prepared cases.

    Args:
        store: the prepared cases; those that were drawn stay open, in bounds.
        cases: which of them.
        plan: patch, batch, share of foreground, augmentation.
        seed: of everything drawn here.
        contents: of the cases.
    """

    def __init__(
        self, store: Loader, cases: Sequence[str], plan: Plan, seed: int, contents: Contents | None = None
    ) -> None:
        self._store = OpenCases(store)
        self._cases = tuple(sorted(cases))
        self._plan = plan
        self._seed = seed
        self._contents = contents or Contents()
        self._holders = _holders(self._cases, self._contents) if plan.foreground_by == "class" else {}

    def batch(self, step: int) -> list[Sample]:
        """The samples of this step."""
        return [self._sample(step, position) for position in range(self._plan.batch)]

    def names(self, step: int) -> list[str]:
        """The cases of this step."""
        return [self._choose(step, k, self._rng(step, k))[0] for k in range(self._plan.batch)]

    def _sample(self, step: int, position: int) -> Sample:
        rng = self._rng(step, position)
        name, number = self._choose(step, position, rng)
        case = self._store.load(name)
        shape = case.labels.shape
        patch = self._plan.patch
        target = _foreground_voxel(case, rng, number) if self._aims(position) else None
        start = _place(rng, (shape[0], shape[1], shape[2]), patch, target)
        linear = draw_linear(rng, self._plan.augmentation, self._plan.spacing, flat=is_flat(self._plan))
        known = self._contents.known.get(name)
        low, region, warp = (start, patch, None) if linear is None else _region(start, patch, linear)
        previous = None
        if case.previous is not None:
            cut = _cut(case.previous[None], low, region)[0]
            previous = disturb(cut, np.random.default_rng((self._seed, step, position, DISTURBING)))
        image, labels = _cut(case.image, low, region), _cut(case.labels[None], low, region)[0]
        return Sample(image.astype(np.float32, copy=False), labels, warp, known, previous)

    def _rng(self, step: int, position: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, step, position))

    def _aims(self, position: int) -> bool:
        """Whether this one of a batch is centred on a class: the last of them are."""
        size = self._plan.batch
        aimed = max(1, round(size * self._plan.foreground)) if self._plan.foreground > 0 else 0
        return position >= size - aimed

    def _choose(self, step: int, position: int, rng: np.random.Generator) -> tuple[str, int | None]:
        """The case whose turn it is; or a class, each as likely as any other, and a case that holds it."""
        if not self._holders or not self._aims(position):
            return self._case_name(step * self._plan.batch + position), None
        numbers = sorted(self._holders)
        number = numbers[rng.integers(len(numbers))]
        holders = self._holders[number]
        return holders[rng.integers(len(holders))], number

    def _case_name(self, draw: int) -> str:
        """Every case once, in random order, before any comes again."""
        epoch, position = divmod(draw, len(self._cases))
        order = np.random.default_rng((self._seed, epoch, 0, 1)).permutation(len(self._cases))
        return self._cases[int(order[position])]


def _holders(cases: Sequence[str], contents: Contents) -> dict[int, list[str]]:
    """Class number -> cases that hold it."""
    found: dict[int, list[str]] = defaultdict(list)
    for name in cases:
        for number in contents.classes.get(name, ()):
            found[number].append(name)
    return dict(found)


def is_flat(plan: Plan) -> bool:
    """Whether rotations stay in the slice: 2-D networks, and slices over three times as thick as wide."""
    return plan.network.dimensions == 2 or plan.spacing[0] > 3 * max(plan.spacing[1:])


def draw_linear(
    rng: np.random.Generator, augmentation: Augmentation, spacing: tuple[float, float, float], *, flat: bool
) -> Matrix | None:
    """(3, 3) that maps patch offsets (z, y, x) in voxels to image offsets: rotation and scaling in mm.

    None when neither is drawn.
    """
    rotate = rng.random() < augmentation.rotation
    scale = rng.random() < augmentation.scaling
    limit = np.deg2rad(augmentation.rotation_degrees)
    angles = rng.uniform(-limit, limit, 3)
    low, high = augmentation.scaling_range
    factor = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if not (rotate or scale):
        return None
    matrix = np.eye(3)
    if rotate:
        for axis in (0,) if flat else (0, 1, 2):
            matrix = matrix @ _rotation(axis, angles[axis])
    if scale:
        matrix = matrix @ np.diag([1.0 if flat else factor, factor, factor])
    size = np.asarray(spacing)
    return np.asarray(matrix * size[None, :] / size[:, None])


def _rotation(axis: int, angle: float) -> Matrix:
    a, b = (k for k in range(3) if k != axis)
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


def _foreground_voxel(
    case: PreparedCase, rng: np.random.Generator, number: int | None = None
) -> NDArray[np.int32] | None:
    """A voxel of class `number`, or of one drawn among those that the case has, each as likely."""
    present = sorted(number for number, voxels in case.foreground.items() if len(voxels))
    if not present:
        return None
    voxels = case.foreground[present[rng.integers(len(present))] if number is None else number]
    return np.asarray(voxels[rng.integers(len(voxels))])


def _place(
    rng: np.random.Generator, shape: Shape, patch: Shape, target: NDArray[np.int32] | None
) -> tuple[int, int, int]:
    """First voxel of the patch; negative where the patch is larger than the case (which is then padded)."""
    start = []
    for axis in range(3):
        slack = shape[axis] - patch[axis]
        low, high = min(0, slack // 2), max(0, slack) if slack > 0 else slack // 2
        if target is None:
            start.append(int(rng.integers(low, high + 1)))
        else:
            start.append(int(np.clip(int(target[axis]) - patch[axis] // 2, low, high)))
    return start[0], start[1], start[2]


def _region(start: Shape, patch: Shape, linear: Matrix) -> tuple[Shape, Shape, Matrix]:
    """Start and shape of the smallest box that a warped patch draws from, and the warp into that box."""
    centre = (np.asarray(patch) - 1) / 2.0
    offset = np.asarray(start) + centre - linear @ centre
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in patch])).reshape(3, -1)
    reached = linear @ corners + offset[:, None]
    low = np.floor(reached.min(1) + 1e-6).astype(int)
    high = np.ceil(reached.max(1) - 1e-6).astype(int)
    warp = np.concatenate([linear, (offset - low)[:, None]], axis=1)
    size = high - low + 1
    return (int(low[0]), int(low[1]), int(low[2])), (int(size[0]), int(size[1]), int(size[2])), warp


def _cut(array: NDArray[Number], start: Shape, shape: Shape) -> NDArray[Number]:
    """Cut a box out of (c, z, y, x); outside lies zero (background, and the mean of a z-scored image)."""
    extent = array.shape[1:]
    low = [min(max(0, s), n) for s, n in zip(start, extent, strict=True)]
    high = [max(min(n, s + w), a) for s, w, n, a in zip(start, shape, extent, low, strict=True)]
    source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    target = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
    found = np.zeros((array.shape[0], *shape), array.dtype)
    if all(b > a for a, b in zip(low, high, strict=True)):
        found[(slice(None), *target)] = array[(slice(None), *source)]
    return found
