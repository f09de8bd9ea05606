"""Results folders as nnU-Net v2 writes them, with random weights, made without nnU-Net."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from calque.nets import NetworkConfig, build

INTENSITIES = {
    "max": 900.0, "mean": 40.0, "median": 35.0, "min": -300.0,
    "percentile_00_5": -100.0, "percentile_99_5": 200.0, "std": 60.0,
}  # fmt: skip


def architecture(kind: str = "plain", dimensions: int = 3, **changes: Any) -> dict[str, Any]:
    """The "architecture" of a small two-stage network; `changes` replace arguments."""
    classes = {"plain": "unet.PlainConvUNet", "residual": "unet.ResidualEncoderUNet"}
    arguments: dict[str, Any] = {
        "n_stages": 2,
        "features_per_stage": [4, 6],
        "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
        "kernel_sizes": [[3] * dimensions] * 2,
        "strides": [[1] * dimensions, [2] * dimensions],
        "n_conv_per_stage" if kind == "plain" else "n_blocks_per_stage": [1, 2],
        "n_conv_per_stage_decoder": [1],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    name = classes.get(kind, kind)
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.{name}",
        "arch_kwargs": {**arguments, **changes},
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def resampling(**changes: Any) -> dict[str, Any]:
    return {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None, **changes}


def configuration(dimensions: int = 3, channels: int = 1, **changes: Any) -> dict[str, Any]:
    """One entry of plans.json's "configurations"."""
    return {
        "data_identifier": "nnUNetPlans",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8, 8, 8][:dimensions],
        "median_image_size_in_voxels": [9.0] * dimensions,
        "spacing": [1.5, 1.0, 0.8][3 - dimensions :],
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling(),
        "resampling_fn_seg_kwargs": resampling(is_seg=True, order=1),
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling(order=1),
        "architecture": architecture("plain", dimensions),
        "batch_dice": False,
        **changes,
    }


def plans(configurations: dict[str, dict[str, Any]], channels: int = 1, **changes: Any) -> dict[str, Any]:
    """plans.json."""
    return {
        "dataset_name": "Dataset007_Test",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": configurations,
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(k): INTENSITIES for k in range(channels)},
        **changes,
    }


def dataset(channels: int = 1, **changes: Any) -> dict[str, Any]:
    """dataset.json."""
    return {
        "channel_names": {str(k): f"C{k}" for k in range(channels)},
        "labels": {"background": 0, "liver": 1, "tumour": 2},
        "numTraining": 5,
        "file_ending": ".nii.gz",
        **changes,
    }


def network(kind: str = "plain", dimensions: int = 3, channels: int = 1) -> NetworkConfig:
    """What `architecture(kind, dimensions)` describes."""
    flat = (1,) * (3 - dimensions)
    one, two, three = ((*flat, *(n,) * dimensions) for n in (1, 2, 3))
    return NetworkConfig(
        kind=kind,
        dimensions=dimensions,  # type: ignore[arg-type]
        inputs=channels,
        outputs=3,
        features=(4, 6),
        strides=(one, two),  # type: ignore[arg-type]
        kernels=(three, three),  # type: ignore[arg-type]
        blocks=(1, 2),
        decoder_blocks=(1,),
    )


def weights(config: NetworkConfig, seed: int = 0) -> dict[str, torch.Tensor]:
    """Every tensor as often as nnU-Net stores it: with its decoder's encoder, and "all_modules"."""
    generator = torch.Generator().manual_seed(seed)
    own = {
        name: torch.randn(tensor.shape, generator=generator)
        for name, tensor in build(config).state_dict().items()
    }
    stored = dict(own)
    for name, tensor in own.items():
        for layer, number in ((".conv.", "0"), (".norm.", "1")):
            if layer in name:
                stored[name.replace(layer, f".all_modules.{number}.")] = tensor
    return {**stored, **{f"decoder.{n}": t for n, t in stored.items() if n.startswith("encoder.")}}


def checkpoint(
    tensors: dict[str, torch.Tensor],
    name: str = "3d_fullres",
    axes: Iterable[int] | None = (0, 1, 2),
    **extra: Any,
) -> dict[str, Any]:
    """What nnU-Net gives to torch.save, numpy scalars among it."""
    return {
        "network_weights": tensors,
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(2)}}},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float64(0.5), np.float32(0.25)], "epoch": [np.int64(3)]},
        "_best_ema": np.float32(0.5),
        "current_epoch": 12,
        "init_args": {"configuration": name, "fold": 0, "device": torch.device("cuda:0")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": None if axes is None else tuple(axes),
        **extra,
    }


def write(
    folder: Path,
    plan: dict[str, Any],
    data: dict[str, Any],
    folds: dict[str, dict[str, Any]],
    name: str = "checkpoint_final.pth",
) -> Path:
    """A results folder; `folds` is fold -> checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {"spacings": [[3.0, 1.0, 2.0]] * 4, "shapes_after_crop": [[9, 10, 11]] * 4}
    for file, content in (("plans", plan), ("dataset", data), ("dataset_fingerprint", known)):
        (folder / f"{file}.json").write_text(json.dumps(content), encoding="utf-8")
    for fold, content in folds.items():
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        torch.save(content, folder / f"fold_{fold}" / name)
    return folder


def simple(folder: Path, **changes: Any) -> Path:
    """A plain 3-D model with one fold; `changes` are of its configuration."""
    plan = plans({"3d_fullres": configuration(**changes)})
    return write(folder, plan, dataset(), {"0": checkpoint(weights(network()))})
