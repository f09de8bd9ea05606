"""nnU-Net's description of a network -> `NetworkConfig`, and its weights under our names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from torch import Tensor, device, zeros

from calque.errors import ModelError
from calque.interop.foreign import Architecture, Arguments
from calque.nets import NetworkConfig, build
from calque.nets.config import Triple

KINDS = {"PlainConvUNet": "plain", "ResidualEncoderUNet": "residual"}
"""nnU-Net's class -> ours."""


def network_config(
    architecture: Architecture, dimensions: Literal[2, 3], channels: tuple[int, int], where: Path
) -> NetworkConfig:
    """The same network as data.

    Args:
        architecture: from the plans.
        dimensions: of the configuration's patch.
        channels: inputs and outputs.
        where: for messages.

    Raises:
        ModelError: another class, or an option that Calque's networks do not have.
    """
    given = architecture.arch_kwargs
    name = architecture.network_class_name.rpartition(".")[2]
    if name not in KINDS:
        raise ModelError(
            "This network cannot be imported", where=where, expected=sorted(KINDS), got=name or "no name"
        )
    _require_same_layers(given, dimensions, where)
    stages = given.n_stages
    blocks = given.n_conv_per_stage if KINDS[name] == "plain" else given.n_blocks_per_stage
    if blocks is None:
        raise ModelError("The plans do not say how many blocks a stage has", where=where)
    return NetworkConfig(
        kind=KINDS[name],
        dimensions=dimensions,
        inputs=channels[0],
        outputs=channels[1],
        features=_each(given.features_per_stage, stages),
        strides=_triples(given.strides, stages, dimensions),
        kernels=_triples(given.kernel_sizes, stages, dimensions),
        blocks=_each(blocks, stages),
        decoder_blocks=_each(given.n_conv_per_stage_decoder, stages - 1),
    )


def _require_same_layers(given: Arguments, dimensions: int, where: Path) -> None:
    norm = {"eps": 1e-5, "affine": False, **(given.norm_op_kwargs or {})}
    slope = {"negative_slope": 0.01, **(given.nonlin_kwargs or {})}["negative_slope"]
    facts = (
        ("convolution", f"Conv{dimensions}d", (given.conv_op or "").rpartition(".")[2]),
        ("normalisation", f"InstanceNorm{dimensions}d", (given.norm_op or "").rpartition(".")[2]),
        ("normalisation options", (1e-5, True), (norm["eps"], norm["affine"])),
        ("activation", "LeakyReLU", (given.nonlin or "").rpartition(".")[2]),
        ("slope of the activation", 0.01, slope),
    )
    for what, expected, got in facts:
        if expected != got:
            raise ModelError(
                f"This network cannot be imported: another {what}", where=where, expected=expected, got=got
            )


def _each(values: tuple[int, ...], count: int) -> tuple[int, ...]:
    return values * count if len(values) == 1 else values


def _triples(sizes: tuple[tuple[int, ...], ...], count: int, dimensions: int) -> tuple[Triple, ...]:
    """(z, y, x) per stage; 2-D sizes get 1 in front, and one number stands for all axes."""
    rows = [_each(row, dimensions) for row in (sizes * count if len(sizes) == 1 else sizes)]
    return tuple(_triple((1,) * (3 - dimensions) + row) for row in rows)


def _triple(row: tuple[int, ...]) -> Triple:
    z, y, x = row
    return z, y, x


def own_weights(theirs: Mapping[str, Tensor], config: NetworkConfig, where: Path) -> dict[str, Tensor]:
    """The state dict of `build(config)`, filled with nnU-Net's weights, float32.

    nnU-Net stores most tensors several times: the decoder holds its encoder, and every block lists its layers
    once more as "all_modules". Networks whose convolutions have no bias get zeros.

    Raises:
        ModelError: a weight is missing, too many, of another shape, or not finite.
    """
    kept = {_name(n): t for n, t in theirs.items() if not _repeated(n)}
    with device("meta"):  # names and shapes only
        expected = build(config).state_dict()
    biases = {n for n in expected if n.endswith("bias") and ".norm." not in n and ".seg_layers." not in n}
    if not biases & kept.keys():  # trained without; a single missing one would be damage
        kept |= {name: zeros(expected[name].shape) for name in biases}
    missing, extra = sorted(expected.keys() - kept.keys()), sorted(kept.keys() - expected.keys())
    if missing or extra:
        raise ModelError(
            "The weights do not belong to the network of the plans",
            where=where,
            got=f"missing: {', '.join(missing[:3]) or 'none'}; unknown: {', '.join(extra[:3]) or 'none'}",
        )
    for name, tensor in expected.items():
        if kept[name].shape != tensor.shape:
            raise ModelError(
                "A weight has another shape than the plans say",
                where=f"{where}: {name}",
                expected=tuple(tensor.shape),
                got=tuple(kept[name].shape),
            )
        if not kept[name].is_floating_point() or not kept[name].isfinite().all():
            raise ModelError("A weight is not finite", where=f"{where}: {name}")
    return {name: kept[name].detach().float().contiguous() for name in expected}


def _name(name: str) -> str:
    return name.removeprefix("module.").removeprefix("_orig_mod.")  # distributed and compiled training


def _repeated(name: str) -> bool:
    return _name(name).startswith("decoder.encoder.") or ".all_modules." in name
