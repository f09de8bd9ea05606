"""How much work and memory a training step takes, from the network's configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from calque.geometry import Shape
from calque.nets import NetworkConfig

_TRAINING = 3  # forward, and twice as much backward
_PER_PARAMETER = 24  # bytes: weight, gradient, two moments, moving average, and a copy of it to save
_PER_LOGIT = 16  # bytes: logits, softmax, one-hot target, gradient
_KEPT = 2.0  # tensors kept per convolution: its output, and that of the norm (the activation is in place)
_BYTES = {"f32": 4, "bf16": 2}
_RUNTIME = 700_000_000  # bytes of the process with torch before anything is allocated


def layers(config: NetworkConfig, patch: Shape) -> Iterator[tuple[int, int, int, int]]:
    """(channels in, channels out, kernel voxels, voxels out) of every convolution for one sample."""
    sizes = [prod(patch)]
    for stride in config.strides[1:]:
        sizes.append(sizes[-1] // prod(stride))
    before = config.stem
    if config.kind == "residual":
        yield config.stem, config.features[0], prod(config.kernels[0]), sizes[0]
        before = config.features[0]
    per_block = 2 if config.kind == "residual" else 1
    for stage, here in enumerate(config.features):
        kernel = prod(config.kernels[stage])
        for _ in range(config.blocks[stage] * per_block):
            yield before, here, kernel, sizes[stage]
            before = here
    for position, level in enumerate(range(len(config.features) - 2, -1, -1)):
        here, kernel = config.features[level], prod(config.kernels[level])
        yield config.features[level + 1], here, 1, sizes[level]  # transposed, its stride is its kernel
        before = 2 * here
        for _ in range(config.decoder_blocks[position]):
            yield before, here, kernel, sizes[level]
            before = here
        yield here, config.outputs, 1, sizes[level]


def step_flops(config: NetworkConfig, patch: Shape, batch: int) -> float:
    """Floating-point operations of one training step."""
    forward = sum(
        2.0 * inputs * outputs * kernel * voxels for inputs, outputs, kernel, voxels in layers(config, patch)
    )
    return _TRAINING * batch * forward


def step_memory(config: NetworkConfig, patch: Shape, batch: int, precision: str) -> int:
    """Bytes that training needs at its peak, the process itself included."""
    kept, weights, largest = 0.0, 0, 0
    for inputs, outputs, kernel, voxels in layers(config, patch):
        kept += _KEPT * outputs * voxels
        weights += inputs * outputs * kernel
        largest = max(largest, (inputs + outputs) * voxels)
    kept += (
        sum(f * prod(patch) / prod(_stride_until(config, k)) for k, f in enumerate(config.features[:-1])) * 2
    )
    activations = (kept + 2 * largest) * batch * _BYTES[precision]
    logits = config.outputs * prod(patch) * batch * _PER_LOGIT * 8 // 7  # and the coarser outputs
    return round(_RUNTIME + activations + logits + weights * _PER_PARAMETER)


def _stride_until(config: NetworkConfig, stage: int) -> Shape:
    z, y, x = (prod(s[a] for s in config.strides[: stage + 1]) for a in range(3))
    return z, y, x
