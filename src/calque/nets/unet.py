"""U-Nets with a plain or a residual encoder, 2-D and 3-D.

Ronneberger et al., MICCAI 2015; Isensee et al., Nature Methods 2021 (plain) and MICCAI 2024 (residual).
Modules carry nnU-Net's names, so that its checkpoints load by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn

from calque.errors import PlanError
from calque.nets.blocks import (
    ONE,
    OPERATORS,
    StackedConvs,
    StackedResidualBlocks,
    initialise,
)
from calque.nets.config import NetworkConfig
from calque.nets.previous import spread
from calque.nets.slices import fold, unfold


class PlainEncoder(nn.Module):
    """Stages of stacked convolutions; returns one feature map per stage, finest first."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        ops = OPERATORS[config.dimensions]
        widths = (config.stem, *config.features)
        stages = zip(pairwise(widths), config.kernels, config.strides, config.blocks, strict=True)
        # nnU-Net wraps each stage once more, for a pooling layer that may stand in front
        self.stages = nn.Sequential(*(nn.Sequential(StackedConvs(ops, *stage)) for stage in stages))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(b, c, ...) -> features, finest first."""
        return _climb(self.stages, x)


class ResidualEncoder(nn.Module):
    """A stem and stages of residual blocks; returns one feature map per stage, finest first."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        ops = OPERATORS[config.dimensions]
        first = config.features[0]
        self.stem = StackedConvs(ops, (config.stem, first), config.kernels[0], ONE, 1)
        widths = (first, *config.features)
        stages = zip(pairwise(widths), config.kernels, config.strides, config.blocks, strict=True)
        self.stages = nn.Sequential(*(StackedResidualBlocks(ops, *stage) for stage in stages))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(b, c, ...) -> features, finest first."""
        return _climb(self.stages, self.stem(x))


def _climb(stages: nn.Sequential, x: Tensor) -> list[Tensor]:
    features = []
    for stage in stages:
        x = stage(x)
        features.append(x)
    return features


class Decoder(nn.Module):
    """Transposed convolutions, skip connections, and a head per resolution; coarsest stage first."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        ops = OPERATORS[config.dimensions]
        up, stages, heads = [], [], []
        count = len(config.features)
        for level in range(count - 2, -1, -1):  # the level that comes out
            below, here = config.features[level + 1], config.features[level]
            factor = ops.size(config.strides[level + 1])
            up.append(ops.transposed(below, here, factor, factor))  # type: ignore[arg-type]
            blocks = config.decoder_blocks[count - 2 - level]
            stages.append(StackedConvs(ops, (2 * here, here), config.kernels[level], ONE, blocks))
            heads.append(ops.conv(here, config.outputs, 1))
        self.transpconvs = nn.ModuleList(up)
        self.stages = nn.ModuleList(stages)
        self.seg_layers = nn.ModuleList(heads)

    def forward(self, features: list[Tensor], every: bool) -> list[Tensor]:
        """Features, finest first -> logits, finest first; only the finest unless `every`."""
        levels = self.levels(features)
        pairs = list(zip(self.seg_layers, levels, strict=True))
        return [head(level) for head, level in (pairs if every else pairs[-1:])][::-1]

    def levels(self, features: list[Tensor]) -> list[Tensor]:
        """What the heads see, coarsest first."""
        x, found = features[-1], []
        for k, (up, stage) in enumerate(zip(self.transpconvs, self.stages, strict=True)):
            skip = features[-2 - k]
            x = stage(torch.cat((_cut(up(x), skip), skip), 1))
            found.append(x)
        return found


def _cut(grown: Tensor, skip: Tensor) -> Tensor:
    """Upsampled features without what lies beyond the skip connection's end."""
    if grown.shape[2:] == skip.shape[2:]:
        return grown
    for axis in range(2, skip.ndim):
        grown = grown.narrow(axis, 0, skip.shape[axis])
    return grown


def finest_head(state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """`UNet.head` of weights by name."""
    last = max(int(name.split(".")[2]) for name in state if name.startswith(_HEADS))
    return state[f"{_HEADS}{last}.weight"].flatten(1), state[f"{_HEADS}{last}.bias"]


ENCODERS: dict[str, type[PlainEncoder] | type[ResidualEncoder]] = {
    "plain": PlainEncoder,
    "residual": ResidualEncoder,
}


_HEADS = "decoder.seg_layers."


class UNet(nn.Module):
    """(b, c, z, y, x) -> list of logits (b, k, z, y, x), finest first.

    The list has one entry per decoder stage in training mode with deep supervision, else one entry.
    In eval mode the size need not be a multiple of the strides: each stage halves upwards, and the decoder
    cuts what it grew too much. Zeros around a window do the same from its far side.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ENCODERS[config.kind](config)
        self.decoder = Decoder(config)
        initialise(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        """See the class."""
        every = self.training and self.config.deep_supervision
        return self._seen(x, lambda features: self.decoder(features, every))

    def features(self, x: Tensor) -> Tensor:
        """(b, c, z, y, x) -> (b, features[0], z, y, x): what the finest head sees."""
        return self._seen(x, lambda features: self.decoder.levels(features)[-1:])[0]

    def _seen(self, x: Tensor, decode: Callable[[list[Tensor]], list[Tensor]]) -> list[Tensor]:
        """What `decode` makes of the encoder's features, as volumes: 2-D networks see slices as samples."""
        self._check(x)
        x = spread(x, self.config.previous)
        if self.config.dimensions == 3:
            return decode(self.encoder(x))
        if self.config.slices == 1:  # one slice in a patch, without neighbours
            return [level.unsqueeze(2) for level in decode(self.encoder(x.squeeze(2)))]
        return [unfold(level, x.shape[2]) for level in decode(self.encoder(fold(x, self.config.slices)))]

    @property
    def head(self) -> tuple[Tensor, Tensor]:
        """The finest head, a linear map of each voxel: weights (k, features[0]) and biases (k,)."""
        return finest_head(self.state_dict())

    def _check(self, x: Tensor) -> None:
        divisor = self.config.divisor
        wrong_size = self.training and any(n % d for n, d in zip(x.shape[2:], divisor, strict=True))
        single = self.config.dimensions == 2 and self.config.slices == 1
        if x.shape[1] != self.config.given or wrong_size or (single and x.shape[2] != 1):
            raise PlanError(
                "The network cannot take this input",
                expected=f"{self.config.given} channels, (z, y, x) a multiple of {divisor}"
                + (", z = 1" if single else ""),
                got=tuple(x.shape[1:]),
                fix="pad the patch to a multiple",
            )
