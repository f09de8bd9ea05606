"""nnU-Net's own JSON files, as far as they are understood.

Unknown fields are passed over, except those of a network: one of them could change what it computes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from calque.errors import ModelError, ReadError
from calque.value import Value

Known = TypeVar("Known", bound=Value)


class Foreign(Value):
    """A JSON object of which only some fields matter."""

    model_config = ConfigDict(extra="ignore")


def _sequence(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Many = Annotated[tuple[PositiveInt, ...], BeforeValidator(_sequence)]
"""A list, or one number for all."""


class Arguments(Value):
    """What nnU-Net gives to the constructor of a U-Net (dynamic_network_architectures)."""

    n_stages: int = Field(ge=2, le=20)
    features_per_stage: Many
    conv_op: str
    kernel_sizes: Annotated[tuple[Many, ...], BeforeValidator(_sequence)]
    strides: Annotated[tuple[Many, ...], BeforeValidator(_sequence)]
    n_conv_per_stage: Many | None = None
    n_blocks_per_stage: Many | None = None
    n_conv_per_stage_decoder: Many
    conv_bias: bool = False
    norm_op: str | None = None
    norm_op_kwargs: dict[str, Any] | None = None
    dropout_op: str | None = None  # does nothing when predicting
    dropout_op_kwargs: dict[str, Any] | None = None
    nonlin: str | None = None
    nonlin_kwargs: dict[str, Any] | None = None
    deep_supervision: bool = False


class Architecture(Foreign):
    """A network's class and arguments."""

    network_class_name: str
    arch_kwargs: Arguments


class Resampling(Foreign):
    """How nnU-Net resamples; its function's arguments."""

    is_seg: bool = False
    order: int = 3
    order_z: int = 0
    force_separate_z: bool | None = None


class Configuration(Foreign):
    """One configuration of plans.json, inheritance resolved."""

    preprocessor_name: str = "DefaultPreprocessor"
    batch_size: PositiveInt
    patch_size: tuple[PositiveInt, ...] = Field(min_length=2, max_length=3)
    spacing: tuple[PositiveFloat, ...] = Field(min_length=2, max_length=3)
    normalization_schemes: tuple[str, ...]
    use_mask_for_norm: tuple[bool, ...]
    resampling_fn_data: str
    resampling_fn_data_kwargs: Resampling
    resampling_fn_probabilities: str
    resampling_fn_probabilities_kwargs: Resampling
    architecture: Architecture
    previous_stage: str | None = None


class Properties(Foreign):
    """Intensities of one channel, over the foreground of the training cases."""

    mean: float
    std: float
    median: float
    percentile_00_5: float
    percentile_99_5: float


class Plans(Foreign):
    """plans.json."""

    dataset_name: str
    plans_name: str = ""
    image_reader_writer: str = "SimpleITKIO"
    transpose_forward: tuple[int, int, int]
    transpose_backward: tuple[int, int, int]
    configurations: dict[str, dict[str, Any]]
    label_manager: str = "LabelManager"
    foreground_intensity_properties_per_channel: dict[str, Properties]


class DatasetJson(Foreign):
    """dataset.json."""

    channel_names: dict[str, str]
    labels: dict[str, int | tuple[int, ...]]
    numTraining: int = 0  # noqa: N815 - nnU-Net's own name
    regions_class_order: tuple[int, ...] | None = None


class FingerprintJson(Foreign):
    """dataset_fingerprint.json."""

    spacings: tuple[tuple[float, float, float], ...] = ()
    shapes_after_crop: tuple[tuple[int, int, int], ...] = ()


def read_plans(path: Path) -> Plans:
    """plans.json of any v2; early releases named two fields differently.

    Raises:
        ReadError: missing or not JSON.
        ModelError: a field is missing or impossible.
    """
    return _parsed(
        Plans,
        _aged(
            _json(path),
            "foreground_intensity_properties_by_modality",
            "foreground_intensity_properties_per_channel",
        ),
        path,
    )


def read_dataset(path: Path) -> DatasetJson:
    """dataset.json; raises as `read_plans`."""
    return _parsed(DatasetJson, _aged(_json(path), "modality", "channel_names"), path)


def read_fingerprint(path: Path) -> FingerprintJson:
    """dataset_fingerprint.json; raises as `read_plans`."""
    return _parsed(FingerprintJson, _json(path), path)


def configuration_of(plans: Plans, name: str, where: Path) -> Configuration:
    """The configuration of this name, its parents filled in, old formats brought up to date.

    Raises:
        ModelError: there is none, parents run in a circle, or a field is missing or impossible.
    """
    fields = _inherited(plans, name, where)
    return _parsed(Configuration, _modern(fields) if "architecture" not in fields else fields, where)


def _inherited(plans: Plans, name: str, where: Path) -> dict[str, Any]:
    chain: list[str] = []
    fields: dict[str, Any] = {}
    following: Any = name
    while following is not None:
        if following in chain or following not in plans.configurations:
            raise ModelError(
                "The plans have no such configuration",
                where=where,
                expected=sorted(plans.configurations),
                got=" from ".join([*chain, str(following)]),
            )
        chain.append(following)
        own = plans.configurations[following]
        fields = {**own, **fields}
        following = own.get("inherits_from")
    return fields


def _modern(fields: dict[str, Any]) -> dict[str, Any]:
    """Plans before nnU-Net 2.4 describe the network by a dozen flat fields."""
    kind = fields.get("UNet_class_name", "")
    encoder = fields.get("n_conv_per_stage_encoder", ())
    base, most = fields.get("UNet_base_num_features", 0), fields.get("unet_max_num_features", 0)
    dimensions = len(fields.get("patch_size", ()))
    arguments = {
        "n_stages": len(encoder),
        "features_per_stage": [min(base * 2**stage, most) for stage in range(len(encoder))],
        "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
        "kernel_sizes": fields.get("conv_kernel_sizes"),
        "strides": fields.get("pool_op_kernel_sizes"),
        "n_blocks_per_stage" if kind.startswith("Res") else "n_conv_per_stage": encoder,
        "n_conv_per_stage_decoder": fields.get("n_conv_per_stage_decoder"),
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
    }
    return {**fields, "architecture": {"network_class_name": kind, "arch_kwargs": arguments}}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise ReadError(f"Cannot read {path.name}", where=path, got=problem) from None
    if not isinstance(content, dict):
        raise ReadError(f"{path.name} is not an object", where=path, got=type(content).__name__)
    return content


def _aged(fields: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new: fields[old], **fields} if old in fields and new not in fields else fields


def _parsed(kind: type[Known], fields: dict[str, Any], where: Path) -> Known:
    try:
        return kind.model_validate(fields)
    except ValidationError as problem:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.errors()[:5])
        raise ModelError("This nnU-Net model is of an unknown form", where=where, got=wrong) from None
