"""What is varied, on a whole batch at once, in torch, on the device that trains.

After nnU-Net's list of transforms (Isensee et al., 2021). Drawing parameters is kept apart from
applying them: parameters come from a numpy generator seeded by (seed, step), the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from calque.geometry import Shape
from calque.planning import Augmentation
from calque.training.sampler import Matrix, Sample

MAX_SMOOTH_CLASSES = 8
"""With more classes in a region, labels are warped by nearest neighbour: cheaper, and a little jagged."""


def collate(samples: Sequence[Sample], patch: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """Samples -> images (b, c, z, y, x) float32 and class numbers (b, z, y, x) int64, warped on `device`.

    With a stage before the numbers are (b, 2, z, y, x), its own last, until `with_previous`.
    """
    pairs = [_place(sample, patch, device) for sample in samples]
    return torch.stack([image for image, _ in pairs]), torch.stack([labels for _, labels in pairs])


def known_classes(samples: Sequence[Sample], device: torch.device) -> Tensor | None:
    """(b, n): which classes were annotated in each sample, background always; None where all were in all."""
    known = [sample.known for sample in samples if sample.known is not None]
    if not known:
        return None
    every = np.ones_like(known[0])
    rows = [every if sample.known is None else sample.known for sample in samples]
    return torch.from_numpy(np.stack(rows)).to(device)


def _place(sample: Sample, patch: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    image = torch.from_numpy(sample.image).to(device)
    labels = torch.from_numpy(sample.labels.astype(np.int64)).to(device)
    if sample.previous is not None:
        previous = torch.from_numpy(sample.previous.astype(np.int64)).to(device)
        labels = torch.stack((labels, previous))
    if sample.warp is None:
        return image, labels
    grid = _sampling_grid(sample.warp, patch, sample.labels.shape).to(device)
    moved = F.grid_sample(image[None], grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    if labels.ndim == 3:
        return moved, _warp_labels(labels, grid)
    return moved, torch.stack([_warp_labels(one, grid) for one in labels])


def with_previous(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What a stage before found becomes the last channel of the images, after all that varies these."""
    if labels.ndim == 4:
        return images, labels
    return torch.cat((images, labels[:, 1:].to(images.dtype)), 1), labels[:, 0]


def _sampling_grid(warp: Matrix, patch: Shape, region: tuple[int, ...]) -> Tensor:
    """(1, z, y, x, 3) coordinates in [-1, 1], in torch's order (x, y, z)."""
    size = np.maximum(np.asarray(region) - 1, 1)[:, None]
    normal = torch.from_numpy((2 * warp / size).astype(np.float32))
    normal[:, 3] -= 1.0
    normal[torch.tensor(region) == 1] = 0.0
    steps = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in patch), indexing="ij")
    points = [sum(normal[k, j] * steps[j] for j in range(3)) + normal[k, 3] for k in (2, 1, 0)]
    return torch.stack(points, -1)[None]


def _warp_labels(labels: Tensor, grid: Tensor) -> Tensor:
    """Interpolate each class's indicator linearly and take the largest: smooth borders, no invented class."""
    present = torch.bincount(labels.flatten()).nonzero()[:, 0]  # sorting all voxels takes 20 times as long
    if len(present) > MAX_SMOOTH_CLASSES:
        moved = F.grid_sample(labels[None, None].float(), grid, mode="nearest", align_corners=True)
        return moved[0, 0].long()
    if len(present) == 1 and int(present[0]) == 0:
        return labels.new_zeros(grid.shape[1:4])
    indicators = torch.stack([labels == value for value in present])[None].float()
    moved = F.grid_sample(indicators, grid, mode="bilinear", padding_mode="zeros", align_corners=True)[0]
    inside = moved.sum(0) > 0.5
    # the first of the largest, as argmax, which takes 60 times as long along the first axis on a CPU
    return torch.where(inside, present[moved.max(0).indices], 0)


Transform = Callable[[Tensor, Augmentation, np.random.Generator], Tensor]
"""(n, c, z, y, x) -> the same shape; only the samples that were drawn for it come in."""


def _noise(images: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    level = rng.uniform(0, augmentation.noise_std, (len(images), 1, 1, 1, 1))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(images.shape, generator=generator).to(images.device)
    return images + noise * _like(level, images)


def _blur(images: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    sigma = rng.uniform(*augmentation.blur_sigma)
    radius = max(1, round(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    for axis in (2, 3, 4):
        if images.shape[axis] == 1:
            continue
        shape = [1] * 5
        shape[axis] = len(kernel)
        padding = [0] * 6
        padding[2 * (4 - axis)] = padding[2 * (4 - axis) + 1] = radius
        padded = F.pad(images, padding, mode="replicate")
        images = F.conv3d(padded, kernel.view(shape).expand(channels, *shape[1:]), groups=channels)
    return images


def _brightness(images: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    return images * _like(rng.uniform(*augmentation.brightness_range, (*images.shape[:2], 1, 1, 1)), images)


def _contrast(images: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    factor = _like(rng.uniform(*augmentation.contrast_range, (*images.shape[:2], 1, 1, 1)), images)
    mean, low, high = _moments(images)
    return torch.clamp((images - mean) * factor + mean, low, high)


def _low_resolution(images: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    zoom = rng.uniform(*augmentation.low_resolution_range)
    full = images.shape[2:]
    small = [max(1, round(n * zoom)) for n in full]
    coarse = F.interpolate(images, size=small, mode="nearest-exact")
    return F.interpolate(coarse, size=full, mode="trilinear", align_corners=False)


def _gamma(images: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    power = _like(rng.uniform(*augmentation.gamma_range, (len(images), 1, 1, 1, 1)), images)
    invert = _like(np.where(rng.random((len(images), 1, 1, 1, 1)) < 0.25, -1.0, 1.0), images)
    images = images * invert
    mean, low, high = _moments(images)
    std = images.std((2, 3, 4), keepdim=True)
    bent = ((images - low) / (high - low).clamp_min(1e-7)).clamp_min(0) ** power * (high - low) + low
    new_mean, new_std = bent.mean((2, 3, 4), keepdim=True), bent.std((2, 3, 4), keepdim=True)
    return ((bent - new_mean) / new_std.clamp_min(1e-7) * std + mean) * invert


def _colour(images: Tensor, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
    """Other stains, other cameras: every channel takes a little of the others, and is brought back to its own
    mean and deviation, since that is what normalisation does to the picture of another laboratory."""
    count, channels = images.shape[:2]
    mix = np.eye(channels) + rng.normal(0, augmentation.colour_std, (count, channels, channels))
    mixed = torch.einsum(
        "nkc,nczyx->nkzyx", torch.from_numpy(mix.astype(np.float32)).to(images.device), images
    )
    axes = (2, 3, 4)
    mean, std = images.mean(axes, keepdim=True), images.std(axes, keepdim=True)
    spread = mixed.std(axes, keepdim=True).clamp_min(1e-7)
    return (mixed - mixed.mean(axes, keepdim=True)) / spread * std + mean


def _moments(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, minimum and maximum per sample and channel."""
    axes = (2, 3, 4)
    return (
        images.mean(axes, keepdim=True),
        images.amin(axes, keepdim=True),
        images.amax(axes, keepdim=True),
    )


def _like(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], images: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32)).to(images.device)


INTENSITY: dict[str, Transform] = {
    "noise": _noise,
    "blur": _blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "low_resolution": _low_resolution,
    "gamma": _gamma,
    "colour": _colour,
}
"""In the order of application; the key is the field of `Augmentation` that holds the probability."""


def augment(
    images: Tensor, labels: Tensor, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Vary intensities and mirror.

    Args:
        images: (b, c, z, y, x) float32; changed in place.
        labels: (b, z, y, x), or several (b, n, z, y, x).
        augmentation: probabilities and ranges.
        rng: draws everything.
    """
    for name, transform in INTENSITY.items():
        drawn = np.flatnonzero(rng.random(len(images)) < getattr(augmentation, name))
        if len(drawn):
            chosen = torch.from_numpy(drawn).to(images.device)
            images[chosen] = transform(images[chosen], augmentation, rng)
    return _mirror(images, labels, augmentation, rng)


def _mirror(
    images: Tensor, labels: Tensor, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    coins = rng.random((len(images), 3)) < 0.5
    for k, coin in enumerate(coins):
        axes = [a for a in range(3) if coin[a] and augmentation.mirror[a]]
        if axes:
            images[k] = images[k].flip([a - 3 for a in axes])
            labels[k] = labels[k].flip([a - 3 for a in axes])
    return images, labels
