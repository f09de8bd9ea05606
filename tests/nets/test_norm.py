"""The instance norm that leaves channels last is torch's."""

import pytest
import torch
from torch import Tensor, nn

from calque.nets.norm import InstanceNorm3d

LAST = torch.channels_last_3d


def slope(x: Tensor) -> Tensor:
    """Its gradient."""
    assert x.grad is not None
    return x.grad


def both(x: Tensor, gradient: Tensor, precision: torch.dtype) -> list[tuple[Tensor, ...]]:
    """Output and gradients of torch's norm in float64, and of ours."""
    found = []
    generator = torch.Generator().manual_seed(3)
    weight, bias = torch.rand(x.shape[1], generator=generator), torch.rand(x.shape[1], generator=generator)
    for norm, dtype in ((nn.InstanceNorm3d(x.shape[1], affine=True).double(), torch.float64),
                        (InstanceNorm3d(x.shape[1], affine=True), precision)):  # fmt: skip
        with torch.no_grad():
            norm.weight.copy_(weight)
            norm.bias.copy_(bias)
        given = x.to(dtype).contiguous(memory_format=LAST).requires_grad_()
        out = norm(given)
        out.backward(gradient.to(dtype))
        found.append((out.detach(), slope(given), slope(norm.weight), slope(norm.bias)))
    return found


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("shape", [(2, 8, 4, 6, 5), (1, 3, 1, 7, 2), (3, 32, 2, 2, 2)])
def test_output_and_gradients_are_those_of_torch(
    shape: tuple[int, ...], precision: torch.dtype, tolerance: float
) -> None:
    generator = torch.Generator().manual_seed(1)
    x = (3 * torch.randn(shape, generator=generator) + 1).to(precision)
    gradient = torch.randn(shape, generator=generator).to(precision)
    truth, ours = both(x, gradient, precision)
    for expected, got in zip(truth, ours, strict=True):
        scale = float(expected.abs().max())
        assert float((got.double() - expected).abs().max()) <= tolerance * scale


def test_the_layout_stays() -> None:
    x = torch.randn(2, 8, 4, 6, 5).contiguous(memory_format=LAST).requires_grad_()
    out = InstanceNorm3d(8, affine=True)(x)
    out.sum().backward()
    assert out.is_contiguous(memory_format=LAST)
    assert slope(x).is_contiguous(memory_format=LAST)


def test_a_gradient_in_another_layout_is_taken() -> None:
    x = torch.randn(2, 4, 3, 4, 5)
    truth, ours = both(x, torch.randn(2, 4, 3, 4, 5), torch.float32)
    assert torch.allclose(ours[1].double(), truth[1], atol=1e-5)


def test_a_single_voxel_is_refused_as_torch_does() -> None:
    x = torch.randn(2, 4, 1, 1, 1).contiguous(memory_format=LAST)
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        InstanceNorm3d(4, affine=True)(x)
