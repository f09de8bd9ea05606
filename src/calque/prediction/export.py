"""A model as files that other programs run: ONNX or OpenVINO, and a JSON that says what to feed them."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from calque import __version__
from calque.errors import InputError, MissingExtraError
from calque.io.atomic import atomic_path
from calque.planning import Plan
from calque.prediction.last_layer import Ensemble
from calque.prediction.openvino_convert import convert, load_openvino
from calque.value import Value

Target = Literal["onnx", "openvino"]

DESCRIPTION = "calque.json"
_OPSET = 18
_REGISTRATION = "torch.onnx._internal.exporter._registration"
"""Where torch says, for each operation of torchvision, that it is not installed: nobody needs it here."""


class Recipe(Value):
    """What a program must do around the network; every field is as in `Plan`.

    Args:
        calque: version that wrote it.
        network: file beside this one.
        plan: orientation, spacing, normalisation, patch.
        classes: name and value of each class, in the order of the logits after background.
        overlap: of neighbouring windows.
        inputs: name, and shape (1, c, z, y, x), of the network's input.
        outputs: name of its logits (1, k, z, y, x), folds averaged.
    """

    calque: str
    network: str
    plan: Plan
    classes: tuple[tuple[str, int], ...]
    overlap: float
    inputs: tuple[str, tuple[int, ...]]
    outputs: str


def export(plan: Plan, networks: Sequence[nn.Module], target: str, folder: Path | str) -> Path:
    """Write a folder with the network (all folds as one) and `calque.json`.

    Args:
        plan: of the networks.
        networks: an ensemble.
        target: "onnx" or "openvino".
        folder: must not exist, or be empty.

    Returns:
        The network's file.

    Raises:
        InputError: an unknown target, a cascade, or the folder holds something.
        MissingExtraError: what writes the format is not installed.
        ResourceError: the disk is full.
    """
    if target not in TARGETS:
        raise InputError("Models are not exported to this", expected=sorted(TARGETS), got=target)
    if plan.first is not None:
        raise InputError(
            "A cascade is not exported: whoever runs it must look twice",
            fix="predict with Calque, or export a model that was planned with --kind 3d or lowres",
        )
    name, write = TARGETS[target]
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("There is something here already", where=folder, fix="choose another folder")
    shape = (1, plan.network.given, *plan.patch)
    recipe = Recipe(
        calque=__version__,
        network=name,
        plan=plan,
        classes=tuple((label.name, label.value) for label in plan.labels.classes),
        overlap=0.5,
        inputs=("windows", shape),
        outputs="logits",
    )
    with atomic_path(folder) as aside:
        aside.mkdir()
        write(networks, shape, aside / name)
        (aside / DESCRIPTION).write_text(recipe.to_json(), encoding="utf-8")
    return folder / name


def _onnx(networks: Sequence[nn.Module], shape: tuple[int, ...], path: Path) -> None:
    for module in ("onnx", "onnxscript"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(module, "onnx")
    with warnings.catch_warnings(), torch.no_grad(), _unlogged(_REGISTRATION):
        warnings.simplefilter("ignore")  # of torch's and onnxscript's own making
        torch.onnx.export(
            Ensemble(networks).cpu().eval(),
            (torch.zeros(shape),),
            str(path),
            input_names=["windows"],
            output_names=["logits"],
            opset_version=_OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextmanager
def _unlogged(name: str) -> Iterator[None]:
    """Without the warnings of a logger."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _openvino(networks: Sequence[nn.Module], shape: tuple[int, ...], path: Path) -> None:
    load_openvino().save_model(convert(networks, shape), path, compress_to_fp16=False)


TARGETS: dict[str, tuple[str, Callable[[Sequence[nn.Module], tuple[int, ...], Path], None]]] = {
    "onnx": ("network.onnx", _onnx),
    "openvino": ("network.xml", _openvino),
}
