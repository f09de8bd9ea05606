"""Building blocks; attribute names make state dicts read like nnU-Net's (dynamic-network-architectures)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from calque.nets.config import Triple
from calque.nets.norm import InstanceNorm3d


@dataclass(frozen=True)
class Operators:
    """The layers of one dimensionality: an explicit table instead of a name built from strings."""

    conv: type[nn.Conv2d] | type[nn.Conv3d]
    transposed: type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]
    norm: type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]
    pool: type[nn.AvgPool2d] | type[nn.AvgPool3d]
    dimensions: int

    def size(self, triple: Triple) -> tuple[int, ...]:
        """Drop the z entry for 2-D layers."""
        return tuple(triple[-self.dimensions :])


OPERATORS: dict[int, Operators] = {
    2: Operators(nn.Conv2d, nn.ConvTranspose2d, nn.InstanceNorm2d, nn.AvgPool2d, 2),
    3: Operators(nn.Conv3d, nn.ConvTranspose3d, InstanceNorm3d, nn.AvgPool3d, 3),
}

ONE: Triple = (1, 1, 1)


class ConvNorm(nn.Module):
    """Convolution, instance norm and, unless told otherwise, leaky ReLU.

    Args:
        ops: 2-D or 3-D layers.
        channels: in and out.
        kernel: odd sizes along (z, y, x); padded to keep the size at stride 1.
        stride: along (z, y, x).
        activate: whether a leaky ReLU follows.
        bias: of the convolution; the norm cancels it, but nnU-Net's weights have one.
    """

    slope: ClassVar[float] = 0.01

    def __init__(
        self,
        ops: Operators,
        channels: tuple[int, int],
        kernel: Triple,
        stride: Triple = ONE,
        *,
        activate: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        size = ops.size(kernel)
        padding = tuple((k - 1) // 2 for k in size)
        self.conv = ops.conv(*channels, size, ops.size(stride), padding, bias=bias)  # type: ignore[arg-type]
        self.norm = ops.norm(channels[1], eps=1e-5, affine=True)
        self.nonlin = nn.LeakyReLU(self.slope, inplace=True) if activate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        return self.nonlin(self.norm(self.conv(x)))  # type: ignore[no-any-return]


class StackedConvs(nn.Module):
    """`count` times `ConvNorm`; the first one takes the stride."""

    def __init__(
        self, ops: Operators, channels: tuple[int, int], kernel: Triple, stride: Triple, count: int
    ) -> None:
        super().__init__()
        inputs, outputs = channels
        first = ConvNorm(ops, (inputs, outputs), kernel, stride)
        rest = [ConvNorm(ops, (outputs, outputs), kernel) for _ in range(count - 1)]
        self.convs = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        return self.convs(x)  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut; ResNet-D: a strided shortcut pools before it projects.

    He et al., Bag of Tricks for Image Classification with CNNs, CVPR 2019; as in nnU-Net's residual encoder.
    """

    def __init__(
        self, ops: Operators, channels: tuple[int, int], kernel: Triple, stride: Triple = ONE
    ) -> None:
        super().__init__()
        inputs, outputs = channels
        self.conv1 = ConvNorm(ops, channels, kernel, stride)
        self.conv2 = ConvNorm(ops, (outputs, outputs), kernel, activate=False)
        self.nonlin2 = nn.LeakyReLU(ConvNorm.slope, inplace=True)
        shortcut: list[nn.Module] = []
        if stride != ONE:
            size = ops.size(stride)
            # as many as the strided convolution beside it gives, where the stride does not divide the size
            shortcut.append(ops.pool(size, size, ceil_mode=True))  # type: ignore[arg-type]
        if inputs != outputs:
            shortcut.append(ConvNorm(ops, channels, ONE, activate=False, bias=False))
        self.skip = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        return self.nonlin2(self.conv2(self.conv1(x)) + self.skip(x))  # type: ignore[no-any-return]


class StackedResidualBlocks(nn.Module):
    """`count` residual blocks; the first one takes the stride."""

    def __init__(
        self, ops: Operators, channels: tuple[int, int], kernel: Triple, stride: Triple, count: int
    ) -> None:
        super().__init__()
        inputs, outputs = channels
        first = ResidualBlock(ops, (inputs, outputs), kernel, stride)
        rest = [ResidualBlock(ops, (outputs, outputs), kernel) for _ in range(count - 1)]
        self.blocks = nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        """(b, in, ...) -> (b, out, ...)."""
        return self.blocks(x)  # type: ignore[no-any-return]


def initialise(module: nn.Module) -> None:
    """He initialisation for leaky ReLU, zero biases, and residual branches that start silent."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
            nn.init.kaiming_normal_(part.weight, a=ConvNorm.slope)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, ResidualBlock):
            with torch.no_grad():
                part.conv2.norm.weight.zero_()
