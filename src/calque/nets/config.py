"""What a network looks like, as data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from calque.value import Value

Triple = tuple[PositiveInt, PositiveInt, PositiveInt]
"""Along (z, y, x); 2-D networks have 1 in front."""


class NetworkConfig(Value):
    """A U-Net, stage by stage, finest first.

    Args:
        kind: a key of `calque.nets.BUILDERS`.
        dimensions: 2 for networks that see one slice (z must then be 1 everywhere), 3 otherwise.
        inputs: image channels.
        outputs: logits per voxel, background included.
        features: channels per stage.
        strides: downsampling on entering each stage; the first is usually (1, 1, 1).
        kernels: kernel size per stage.
        blocks: convolutions (plain) or residual blocks (residual) per encoder stage.
        decoder_blocks: convolutions per decoder stage, coarsest first; one stage fewer than the encoder.
        deep_supervision: whether training also scores the coarser decoder stages.
    """

    kind: str
    dimensions: Literal[2, 3] = 3
    inputs: PositiveInt
    outputs: int = Field(ge=2)
    features: tuple[PositiveInt, ...] = Field(min_length=2)
    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]
    blocks: tuple[PositiveInt, ...]
    decoder_blocks: tuple[PositiveInt, ...]
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        stages = len(self.features)
        for name in ("strides", "kernels", "blocks"):
            if len(getattr(self, name)) != stages:
                raise ValueError(f"{name} needs {stages} entries, one per stage")
        if len(self.decoder_blocks) != stages - 1:
            raise ValueError(f"decoder_blocks needs {stages - 1} entries")
        if any(size % 2 == 0 for kernel in self.kernels for size in kernel):
            raise ValueError("kernel sizes must be odd")
        if self.dimensions == 2 and any(t[0] != 1 for t in (*self.strides, *self.kernels)):
            raise ValueError("a 2-D network has stride and kernel 1 along z")
        return self

    @property
    def divisor(self) -> tuple[int, int, int]:
        """A patch must be a multiple of this along (z, y, x)."""
        total = [1, 1, 1]
        for stride in self.strides:
            total = [a * b for a, b in zip(total, stride, strict=True)]
        z, y, x = total
        return z, y, x
