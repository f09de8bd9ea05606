"""What a network looks like, as data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, JsonValue, NonNegativeInt, PositiveInt, model_validator

from calque.value import Value

Triple = tuple[PositiveInt, PositiveInt, PositiveInt]
"""Along (z, y, x); 2-D networks have 1 in front."""


MOST_PREVIOUS = 255
"""Class numbers up to here are exact in bfloat16."""


class NetworkConfig(Value):
    """A network: a U-Net stage by stage, finest first, or another one by its name and options.

    Of another one the stages say only of what its patches are multiples.

    Args:
        kind: a key of `calque.nets.BUILDERS`, "monai:NAME", or "module:NAME" for one that a person gave.
        dimensions: 2 for networks that see one slice (z must then be 1 everywhere), 3 otherwise.
        inputs: image channels.
        outputs: logits per voxel; classes count the background.
        features: channels per stage.
        strides: downsampling on entering each stage; the first is usually (1, 1, 1).
        kernels: kernel size per stage.
        blocks: convolutions (plain) or residual blocks (residual) per encoder stage.
        decoder_blocks: convolutions per decoder stage, coarsest first; one stage fewer than the encoder.
        deep_supervision: whether training also scores the coarser decoder stages.
        slices: of 2-D networks, how many neighbouring slices they see as channels (2.5-D); odd.
        options: further arguments of a network of "monai:".
        previous: classes of a stage before, whose class numbers come as one more channel, the last; 0: there
            is none.
    """

    kind: str
    dimensions: Literal[2, 3] = 3
    inputs: PositiveInt
    outputs: PositiveInt
    features: tuple[PositiveInt, ...] = Field(min_length=2)
    strides: tuple[Triple, ...]
    kernels: tuple[Triple, ...]
    blocks: tuple[PositiveInt, ...]
    decoder_blocks: tuple[PositiveInt, ...]
    deep_supervision: bool = True
    slices: PositiveInt = 1
    options: dict[str, JsonValue] = Field(default_factory=dict)
    previous: NonNegativeInt = Field(default=0, le=MOST_PREVIOUS)

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
        if self.slices % 2 == 0 or (self.slices > 1 and self.dimensions == 3):
            raise ValueError("slices must be odd, and are for 2-D networks")
        if self.previous and self.dimensions == 2:
            raise ValueError("a stage before is for 3-D networks")
        return self

    @property
    def stem(self) -> int:
        """Channels that the first layer sees."""
        return self.inputs * self.slices + self.previous

    @property
    def given(self) -> int:
        """Channels that the network is given: those of the image, and the class numbers of a stage before."""
        return self.inputs + (self.previous > 0)

    @property
    def divisor(self) -> tuple[int, int, int]:
        """A patch must be a multiple of this along (z, y, x)."""
        total = [1, 1, 1]
        for stride in self.strides:
            total = [a * b for a, b in zip(total, stride, strict=True)]
        z, y, x = total
        return z, y, x
