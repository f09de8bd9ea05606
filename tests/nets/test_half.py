"""Gradients in bf16 are those of float32, also where an axis is shorter than the kernel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from calque.nets import NetworkConfig, build, channels_last
from calque.nets.half import half_precision

CLOSE = 0.02
"""Relative; bf16 has eight bits. What oneDNN gets wrong is off by 0.8 and more."""


def _spoil_freed_memory(value: float) -> None:
    """What is freed here is given out again: who reads what it did not write finds this."""
    blocks = [torch.full((size,), value) for size in (1_000, 5_000, 20_000, 60_000, 120_000)]
    del blocks


def _weight_gradient(convolution: nn.Module, image: Tensor, half: bool) -> Tensor:
    convolution.zero_grad()
    with half_precision("cpu", half):
        answer = convolution(image)
    (answer.float() ** 2).sum().backward()
    gradient = convolution.get_parameter("weight").grad
    assert gradient is not None
    return gradient.clone()


SHORT = [
    ((2, 4, 3), (1, 1, 1)),
    ((2, 16, 9), (1, 1, 1)),
    ((2, 12, 21), (1, 2, 2)),
    ((3, 1, 9), (2, 2, 1)),
    ((8, 12, 1), (1, 2, 2)),
    ((1, 1, 1), (2, 2, 2)),
]


@pytest.mark.parametrize(("shape", "stride"), SHORT)
@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_short_axes_in_volumes(shape: tuple[int, int, int], stride: tuple[int, int, int], last: bool) -> None:
    torch.manual_seed(0)
    layout = torch.channels_last_3d if last else torch.contiguous_format
    convolution = nn.Conv3d(32, 32, 3, stride=stride, padding=1).to(memory_format=layout)  # type: ignore[call-overload]
    image = torch.randn(2, 32, *shape).contiguous(memory_format=layout)
    truth = _weight_gradient(convolution, image, half=False)
    for value in (1e30, float("nan"), 1e30):
        _spoil_freed_memory(value)
        found = _weight_gradient(convolution, image, half=True)
        assert float((found - truth).norm() / truth.norm()) < CLOSE


def test_short_axes_in_slices() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(32, 32, 3, stride=2, padding=1)
    image = torch.randn(2, 32, 8, 1)
    truth = _weight_gradient(convolution, image, half=False)
    _spoil_freed_memory(float("nan"))
    found = _weight_gradient(convolution, image, half=True)
    assert float((found - truth).norm() / truth.norm()) < CLOSE


def test_everything_else_is_half() -> None:
    convolution = nn.Conv3d(4, 4, 3, padding=1)
    with half_precision("cpu"):
        assert convolution(torch.zeros(1, 4, 3, 3, 3)).dtype == torch.bfloat16
        assert convolution(torch.zeros(1, 4, 2, 3, 3)).dtype == torch.float32
        assert (
            torch.conv3d(input=torch.zeros(1, 4, 3, 3, 3), weight=convolution.weight).dtype == torch.bfloat16
        )  # by name as well
    with half_precision("cpu", enabled=False):
        assert convolution(torch.zeros(1, 4, 3, 3, 3)).dtype == torch.float32


def test_a_network_with_a_thin_last_stage_steps_the_same_twice() -> None:
    config = NetworkConfig(
        kind="plain",
        dimensions=3,
        inputs=1,
        outputs=2,
        features=(8, 16, 32),
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
        kernels=((3, 3, 3),) * 3,
        blocks=(2, 2, 2),
        decoder_blocks=(2, 2),
    )
    network = channels_last(build(config).train(), config)
    image = torch.randn(2, 1, 8, 16, 12, generator=torch.Generator().manual_seed(1))
    seen = []
    for value in (1e30, float("nan"), 0.0):
        _spoil_freed_memory(value)
        network.zero_grad()
        with half_precision("cpu"):
            answers = network(image.contiguous(memory_format=torch.channels_last_3d))
        torch.stack([(a.float() ** 2).mean() for a in answers]).sum().backward()
        seen.append({n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None})
    for name, gradient in seen[0].items():
        assert gradient.isfinite().all(), name
        assert all(torch.equal(gradient, later[name]) for later in seen[1:]), name
