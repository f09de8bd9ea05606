"""From a fingerprint to spacing, orientation, topology, patch: pure functions.

After nnU-Net (Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image
segmentation", Nature Methods 2021) and its residual-encoder presets (Isensee et al., "nnU-Net Revisited",
MICCAI 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from calque.geometry import Shape, Spacing
from calque.nets import NetworkConfig
from calque.planning.looking import most_common
from calque.planning.model import Normalisation
from calque.planning.seen import Fingerprint

ANISOTROPY = 3.0  # one axis this much coarser than the others is treated on its own
MIN_EDGE = 4  # voxels of the coarsest feature map
MAX_FEATURES = {2: 512, 3: 320}
MAX_STAGES = 7
RESIDUAL_BLOCKS = (1, 3, 4, 6, 6, 6)
_CUBE_MM = 256.0  # edge of the first guess of a patch, in voxels of mean size

Dimensions = Literal[2, 3]


@dataclass(frozen=True)
class Topology:
    """Stages of a network that suit a patch: strides and kernels per stage, and the patch made divisible."""

    strides: tuple[Shape, ...]
    kernels: tuple[Shape, ...]
    patch: Shape


@dataclass(frozen=True)
class Geometry:
    """What the fingerprint decides before any cost is known.

    Args:
        orientation: axis codes of the plan.
        fingerprint: spacings and shapes in that orientation.
        spacing: target, mm.
        shape: median shape at that spacing.
        separate_z: whether slices are so thick that they are not blended.
        dimensions: of the network; 2 when every case is one slice, or when slices are taken one by one.
        pictures: whether every case is one slice.
        slices: neighbouring ones that a 2-D network sees at once.
    """

    orientation: str
    fingerprint: Fingerprint
    spacing: Spacing
    shape: Shape
    separate_z: bool
    dimensions: Dimensions
    pictures: bool = False
    slices: int = 1


def choose_geometry(fingerprint: Fingerprint, slices: int | None = None) -> Geometry:
    """Orientation, target spacing and dimensions.

    Args:
        fingerprint: in the most common orientation, as `fingerprint` gives it.
        slices: that a 2-D network sees of a volume at once; None: volumes are taken whole.
    """
    shapes = np.array(fingerprint.shapes)
    spacing = target_spacing(fingerprint)
    flat = [axis for axis in range(3) if (shapes[:, axis] == 1).all()]
    thick = [int(np.argmax(spacing))] if anisotropic(spacing) else []
    first = (flat + thick + [0])[0]
    axes = (first, *(axis for axis in range(3) if axis != first))
    codes = most_common(fingerprint.orientations)
    turned = permuted(fingerprint, axes)
    wanted: Spacing = (spacing[axes[0]], spacing[axes[1]], spacing[axes[2]])
    sizes = np.round(np.array(turned.shapes) * np.array(turned.spacings) / wanted)
    z, y, x = (max(1, int(n)) for n in np.median(sizes, axis=0))
    return Geometry(
        orientation="".join(codes[axis] for axis in axes),
        fingerprint=turned,
        spacing=wanted,
        shape=(z, y, x),
        separate_z=not flat and slices is None and anisotropic(wanted),
        dimensions=2 if flat or slices else 3,
        pictures=bool(flat),
        slices=1 if flat or slices is None else slices,
    )


def target_spacing(fingerprint: Fingerprint) -> Spacing:
    """The median per axis; on an axis much coarser and shorter than the others the 10th percentile.

    Else datasets of thick slices lose what their thinner scans show. As nnU-Net's
    determine_fullres_target_spacing.
    """
    spacings, shapes = np.array(fingerprint.spacings), np.array(fingerprint.shapes)
    target, size = np.median(spacings, axis=0), np.median(shapes, axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    coarse = target[worst] > ANISOTROPY * target[others].max()
    short = size[worst] * ANISOTROPY < size[others].min()
    if coarse and short:
        target[worst] = max(np.percentile(spacings[:, worst], 10), target[others].max())
    return (float(target[0]), float(target[1]), float(target[2]))


def anisotropic(spacing: Spacing) -> bool:
    """Whether exactly one axis is more than `ANISOTROPY` times coarser than both others."""
    fine, middle, coarse = sorted(spacing)
    return coarse > ANISOTROPY * fine and coarse > ANISOTROPY * middle


def topology(spacing: Spacing, patch: Shape, dimensions: Dimensions = 3) -> Topology:
    """Strides and kernels for a patch, as nnU-Net's get_pool_and_conv_props.

    An axis is halved while its feature edge stays at `MIN_EDGE` or more and its spacing lies within a factor
    of 2 of the finest axis that can still be halved; its kernel is 1 until its spacing first comes within a
    factor of 2 of the finest.
    """
    current, size = list(spacing), [float(n) for n in patch]
    kernel = [1, 1, 1]
    free = range(3 - dimensions, 3)
    strides: list[Shape] = [(1, 1, 1)]
    kernels: list[Shape] = []
    while len(strides) < MAX_STAGES:
        axes = [a for a in free if size[a] >= 2 * MIN_EDGE]
        axes = [a for a in axes if current[a] / min(current[b] for b in axes) < 2]
        if not axes or (len(axes) == 1 and size[axes[0]] < 3 * MIN_EDGE):
            break
        finest = min(current[a] for a in free)
        kernel = [3 if a in free and current[a] / finest < 2 else kernel[a] for a in range(3)]
        kernels.append((kernel[0], kernel[1], kernel[2]))
        for axis in axes:
            current[axis] *= 2
            size[axis] = float(np.ceil(size[axis] / 2))
        strides.append((2 if 0 in axes else 1, 2 if 1 in axes else 1, 2 if 2 in axes else 1))
    kernels.append((3 if dimensions == 3 else 1, 3, 3))
    divisor = np.prod(strides, axis=0)
    z, y, x = (int(np.ceil(n / d) * d) for n, d in zip(patch, divisor, strict=True))
    return Topology(tuple(strides), tuple(kernels), (z, y, x))


def largest_patch(geometry: Geometry) -> Shape:
    """A cube in millimetres of 256^3 voxels' volume (2-D: 2048^2), no larger than the median image.

    Never so small that nothing could be halved: an image smaller than that is padded.
    """
    free = range(3 - geometry.dimensions, 3)
    inverse = [1.0 / geometry.spacing[a] for a in free]
    edge = _CUBE_MM if geometry.dimensions == 3 else 2048.0
    scale = edge / float(np.prod(inverse)) ** (1 / len(inverse))
    size = [1, 1, 1]
    for axis, per_mm in zip(free, inverse, strict=True):
        size[axis] = max(1, min(round(scale * per_mm), geometry.shape[axis]))
    if len(topology(geometry.spacing, _three(size), geometry.dimensions).strides) < 2:
        size = [max(n, 3 * MIN_EDGE) if a in free and a > 0 else n for a, n in enumerate(size)]
    return topology(geometry.spacing, _three(size), geometry.dimensions).patch


def shrinking(geometry: Geometry, start: Shape) -> Iterator[Topology]:
    """Topologies for `start` and ever smaller patches.

    Each time the axis gives way that is largest against the median image, as in nnU-Net's search for a patch
    that fits the memory.
    """
    patch: Shape | None = start
    while patch is not None:
        chosen = topology(geometry.spacing, patch, geometry.dimensions)
        yield chosen
        patch = _smaller(geometry, chosen)


def _smaller(geometry: Geometry, chosen: Topology) -> Shape | None:
    """One divisor less on the relatively largest axis; None when nothing could be halved any more."""
    divisor = [int(d) for d in np.prod(chosen.strides, axis=0)]
    ratios = [
        edge / size if edge - step >= 2 * MIN_EDGE else 0.0
        for edge, size, step in zip(chosen.patch, geometry.shape, divisor, strict=True)
    ]
    axis = int(np.argmax(ratios))
    patch = list(chosen.patch)
    patch[axis] -= divisor[axis]
    if ratios[axis] == 0.0 or len(topology(geometry.spacing, _three(patch), geometry.dimensions).strides) < 2:
        return None
    return _three(patch)


def network(
    chosen: Topology, kind: str, base: int, channels: int, outputs: int, dimensions: Dimensions
) -> NetworkConfig:
    """A U-Net on these stages: features double from `base` up to nnU-Net's limit."""
    stages = len(chosen.strides)
    blocks = (2,) * stages
    if kind == "residual":
        blocks = (*RESIDUAL_BLOCKS, *(RESIDUAL_BLOCKS[-1:] * stages))[:stages]
    return NetworkConfig(
        kind=kind,
        dimensions=dimensions,
        inputs=channels,
        outputs=outputs,
        features=tuple(min(base * 2**stage, MAX_FEATURES[dimensions]) for stage in range(stages)),
        strides=chosen.strides,
        kernels=chosen.kernels,
        blocks=blocks,
        decoder_blocks=(1 if kind == "residual" else 2,) * (stages - 1),
    )


def choose_normalisation(fingerprint: Fingerprint, channels: tuple[str, ...]) -> tuple[Normalisation, ...]:
    """ "ct" for channels named CT, with the foreground's own window; "zscore" for all others."""
    return tuple(
        Normalisation(
            scheme="ct",
            low=seen.low,
            high=max(seen.high, seen.low + 1e-6),
            mean=seen.mean,
            std=max(seen.std, 1e-8),
        )
        if name.strip().lower() in {"ct", "ct scan", "ct-scan", "ct_scan", "computed tomography"}
        else Normalisation(scheme="zscore")
        for name, seen in zip(channels, fingerprint.intensities, strict=True)
    )


def dataset_voxels(geometry: Geometry) -> int:
    """About how many voxels all cases have at the target spacing."""
    return geometry.fingerprint.cases * int(np.prod(geometry.shape))


def permuted(fingerprint: Fingerprint, axes: tuple[int, ...]) -> Fingerprint:
    """The same with new axis k the old axis `axes[k]`."""
    z, y, x = axes
    return fingerprint.model_copy(
        update={
            "spacings": tuple((s[z], s[y], s[x]) for s in fingerprint.spacings),
            "shapes": tuple((n[z], n[y], n[x]) for n in fingerprint.shapes),
        }
    )


def _three(values: list[int]) -> Shape:
    z, y, x = values
    return z, y, x
