"""Runs beside nnU-Net: what its environment must hold, a case for both sides, and both sides' commands.

The real nnunetv2 lives in an environment of its own (it wants torchvision, which Calque does without):

    python -m venv PEER && PEER/bin/pip install torch==2.13.0
    PEER/bin/pip install --no-deps nnunetv2==2.8.1 acvl-utils dynamic-network-architectures \\
        batchgenerators batchgeneratorsv2 connected-components-3d fft-conv-pytorch
    PEER/bin/pip install numpy scipy tqdm scikit-learn scikit-image SimpleITK pandas graphviz tifffile \\
        requests nibabel matplotlib seaborn imagecodecs yacs einops blosc2 threadpoolctl future

`CALQUE_NNUNET` names PEER/bin/python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_RUN = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
seconds = time.perf_counter() - begin
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest process
found = {"seconds": seconds, "peak_mb": peak / 1024, "code": done.returncode}
print(json.dumps({**found, "said": done.stderr[-3000:]}))
"""

# nnU-Net imports every trainer that it has; some want timm, and that torchvision, which no U-Net needs
_ENTRY = """
import sys
from unittest.mock import MagicMock
sys.modules.update({name: MagicMock() for name in ("timm", "timm.layers", "timm.models", "timm.models.eva")})
from nnunetv2.inference.predict_from_raw_data import predict_entry_point_modelfolder
predict_entry_point_modelfolder()
"""

# the trainer that the genuine model names; for prediction it is nnU-Net's own
_TRAINER = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainerShort(nnUNetTrainer):
    pass
"""

# nnU-Net with six stages of 32 to 320 features: 31 M parameters
SIX_STAGES = (32, 64, 128, 256, 320, 320)


@dataclass(frozen=True)
class Taken:
    """A whole process: seconds, and the resident memory of its largest process in MB."""

    seconds: float
    peak_mb: float


def peer() -> Path | None:
    """The Python of nnU-Net's environment."""
    named = os.environ.get("CALQUE_NNUNET")
    return Path(named) if named else None


def timed(arguments: list[str], variables: dict[str, str] | None = None) -> Taken:
    """Run a command as a process, and say what it took."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        check=True, capture_output=True, text=True, env={**os.environ, **(variables or {})},
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    if found["code"] != 0:
        raise SystemExit(f"{' '.join(arguments)}\n{found['said']}")
    return Taken(found["seconds"], found["peak_mb"])


def nnunet_predict(python: Path, model: Path, scans: Path, output: Path, *, mirror: bool) -> Taken:
    """`nnUNetv2_predict_from_modelfolder` on the processor, one process each to read and to write."""
    output.mkdir(parents=True)
    trainers = output.parent / "trainers"
    trainers.mkdir(exist_ok=True)
    (trainers / "short.py").write_text(_TRAINER)
    places = {name: str(output) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    places["nnUNet_extTrainer"] = str(trainers)
    arguments = [
        str(python), "-c", _ENTRY, "-i", str(scans), "-o", str(output), "-m", str(model), "-f", "0",
        "-device", "cpu", "-npp", "1", "-nps", "1", *([] if mirror else ["--disable_tta"]),
    ]  # fmt: skip
    return timed(arguments, places)


def calque_predict(model: Path, scans: Path, output: Path, *more: str) -> Taken:
    """`calque predict` as a user types it."""
    calque = Path(sys.executable).with_name("calque")
    return timed([str(calque), "predict", str(model), str(scans), "-o", str(output), *more])


def import_model(folder: Path, output: Path) -> Path:
    """nnU-Net's results folder as a Calque model."""
    from calque.interop.nnunet import import_nnunet

    import_nnunet(folder, folds=(0,)).save(output)
    return output


def agreement(one: Path, other: Path) -> dict[str, float]:
    """Share of voxels with the same label, and mean Dice over classes that either has, over all cases."""
    from calque.io import read_labels

    same = voxels = 0
    hits: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for path in sorted(one.glob("*.nii.gz")):
        a, b = read_labels(path).array, read_labels(other / path.name).array
        same, voxels = same + int((a == b).sum()), voxels + a.size
        for value in np.union1d(np.unique(a), np.unique(b)):
            if value:
                k = int(value)
                hits[k] = hits.get(k, 0) + int(((a == value) & (b == value)).sum())
                sizes[k] = sizes.get(k, 0) + int((a == value).sum()) + int((b == value).sum())
    dice = [2 * hits[k] / sizes[k] for k in sizes]
    return {"same": same / voxels, "dice": float(np.mean(dice)) if dice else 1.0}


def six_stage_results(folder: Path, classes: int = 25, spacing: float = 3.0) -> Path:
    """A results folder as nnU-Net writes it, with random weights: the work is that of trained ones."""
    import torch

    from calque.nets import NetworkConfig, build

    stages = len(SIX_STAGES)
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages, "features_per_stage": list(SIX_STAGES),
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[3, 3, 3]] * stages, "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
            "n_conv_per_stage": [2] * stages, "n_conv_per_stage_decoder": [2] * (stages - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None, "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU", "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }  # fmt: skip
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres", "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [128] * 3, "median_image_size_in_voxels": [134.0, 167.0, 167.0],
        "spacing": [spacing] * 3,
        "normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": architecture, "batch_dice": False,
    }  # fmt: skip
    intensities = {"max": 3000.0, "mean": 0.0, "median": 0.0, "min": -1024.0, "percentile_00_5": -1000.0,
                   "percentile_99_5": 1000.0, "std": 400.0}  # fmt: skip
    plans = {
        "dataset_name": "Dataset999_Speed", "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 0.98, 0.98],
        "original_median_shape_after_transp": [134, 512, 512], "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2],
        "configurations": {"3d_fullres": configuration}, "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager", "foreground_intensity_properties_per_channel": {"0": intensities},
    }  # fmt: skip
    labels = {"background": 0, **{f"class_{k}": k for k in range(1, classes)}}
    dataset = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    network = build(
        NetworkConfig(
            kind="plain", inputs=1, outputs=classes, features=SIX_STAGES,
            strides=((1, 1, 1), *((2, 2, 2),) * (stages - 1)), kernels=((3, 3, 3),) * stages,
            blocks=(2,) * stages, decoder_blocks=(2,) * (stages - 1),
        )
    )  # fmt: skip
    checkpoint = {
        "network_weights": _as_nnunet(network.state_dict()), "optimizer_state": {}, "grad_scaler_state": None,
        "logging": {}, "_best_ema": None, "current_epoch": 1000, "trainer_name": "nnUNetTrainer",
        "init_args": {"configuration": "3d_fullres", "fold": 0, "plans": plans, "dataset_json": dataset},
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }  # fmt: skip
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    torch.save(checkpoint, folder / "fold_0" / "checkpoint_final.pth")
    return folder


def _as_nnunet(state: dict[str, object]) -> dict[str, object]:
    """nnU-Net keeps each layer under a second name, and the encoder again within the decoder."""
    import re

    twice = {}
    for name, tensor in state.items():
        twice[name] = tensor
        again = re.sub(r"\.conv\.(weight|bias)$", r".all_modules.0.\1", name)
        again = re.sub(r"\.norm\.(weight|bias)$", r".all_modules.1.\1", again)
        if again != name:
            twice[again] = tensor
    inner = {f"decoder.{name}": tensor for name, tensor in twice.items() if name.startswith("encoder.")}
    return {**twice, **inner}


def thorax(path: Path, shape: tuple[int, int, int] = (134, 512, 512)) -> Path:
    """A phantom of the size of the thorax CT that the figures were measured on."""
    from calque.geometry import Grid
    from calque.image import Image
    from calque.io import write_image

    rng = np.random.default_rng(0)
    y, x = np.ogrid[: shape[1], : shape[2]]
    body = ((y / shape[1] - 0.5) / 0.4) ** 2 + ((x / shape[2] - 0.5) / 0.45) ** 2 < 1
    array = np.full(shape, -1000, np.int16)
    for plane in array:
        plane[body] = rng.normal(40, 200, int(body.sum())).astype(np.int16)
    grid = Grid.from_parts(shape, (3.0, 0.98, 0.98))
    write_image(Image(array[None], grid, ("CT",)), path)
    return path
