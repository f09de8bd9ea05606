"""From torch to OpenVINO's intermediate representation, in a form that takes little memory and any window.

Four things are done to a network on its way, none of which changes what it computes but for rounding:
norms become one operation each, joined inputs of a convolution become two convolutions, upsampled
features are cut to the size of their skip connection, and the last layer stays in f32.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from calque.errors import MissingExtraError, ModelError
from calque.io.atomic import atomic_path
from calque.prediction.last_layer import Ensemble
from calque.prediction.openvino_precision import keep_last_layers

EXTRA = "openvino"
FILE = "network.xml"
FORM = 3
"""Of converted networks: with another one what is in caches is made again."""

_TELEMETRY = "openvino_telemetry"


def openvino_is_there() -> bool:
    """Whether OpenVINO is installed; it is not imported."""
    return importlib.util.find_spec("openvino") is not None


def load_openvino() -> Any:
    """The module, with its telemetry left out: it would report each conversion over the network.

    Raises:
        MissingExtraError: it is not installed.
    """
    if "openvino" not in sys.modules:
        sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]  # OpenVINO then takes its own stub
    try:
        import openvino
    except ImportError:
        raise MissingExtraError("openvino", EXTRA) from None
    return openvino


def convert(networks: Sequence[nn.Module], shape: tuple[int, ...], split: bool = False) -> Any:
    """OpenVINO's form of the ensemble, for windows of `shape` (b, c, z, y, x).

    That of U-Nets can be given another size by `reshape`, one that is no multiple of their strides too.

    Args:
        networks: an ensemble.
        shape: of the windows.
        split: whether the last layer is left out.

    Raises:
        ModelError: a layer that OpenVINO does not know.
    """
    openvino = load_openvino()
    ensemble, example = with_plain_norms(Ensemble(networks, split).cpu().eval()), torch.zeros(shape)
    level = logging.root.level
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch's and OpenVINO's own making
        logging.root.setLevel(logging.ERROR)
        try:
            model = openvino.convert_model(torch.export.export(ensemble, (example,)), input=list(shape))
        except (RuntimeError, NotImplementedError) as problem:
            raise ModelError(
                "OpenVINO cannot take this network", got=str(problem)[:500], fix="use --engine torch"
            ) from problem
        finally:
            logging.root.setLevel(level)
    model.inputs[0].get_tensor().set_names({"windows"})
    model.outputs[0].get_tensor().set_names({"logits"})
    _cut_to_skips(model)
    _split_joined(model)
    keep_last_layers(openvino, model)
    model.validate_nodes_and_infer_types()
    return model


def save_converted(model: Any, folder: Path) -> Path:
    """Write `network.xml` and `network.bin` into `folder`, whole or not at all, in full precision."""
    openvino = load_openvino()
    with atomic_path(folder) as aside:
        aside.mkdir()
        openvino.save_model(model, aside / FILE, compress_to_fp16=False)
    return folder / FILE


class _SpatialNorm(nn.Module):
    """An instance norm said as a layer norm over space, which OpenVINO knows as one operation.

    torch exports instance norms as a dozen: moments go through memory, and with bf16 are rounded to it.
    """

    def __init__(self, norm: nn.InstanceNorm2d | nn.InstanceNorm3d) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, ...) -> the same."""
        each = (-1, *(1,) * (x.ndim - 2))
        found = F.layer_norm(x, x.shape[2:], eps=self.norm.eps)
        return found * self.norm.weight.reshape(each) + self.norm.bias.reshape(each)


def with_plain_norms(module: nn.Module) -> nn.Module:
    """The same layers and weights, with instance norms as `_SpatialNorm`; `module` stays as it is."""
    if isinstance(module, nn.InstanceNorm2d | nn.InstanceNorm3d):
        plain = module.affine and not module.track_running_stats
        return _SpatialNorm(module) if plain else module
    twin = copy.copy(module)
    twin._modules = {
        name: None if part is None else with_plain_norms(part) for name, part in module._modules.items()
    }
    return twin


def _cut_to_skips(model: Any) -> None:
    """Where upsampled features meet a skip connection, leave out what lies beyond it.

    With windows that the strides divide nothing does, and OpenVINO removes the cut when it compiles.
    """
    import openvino.opset13 as ops

    for joined in _of_type(model, "Concat"):
        if joined.get_input_size() != 2 or not _is_upsampled(joined.input_value(0)):
            continue
        grown, skip = joined.input_value(0), joined.input_value(1)
        axes = np.arange(2, len(grown.get_partial_shape()))
        ends = ops.gather(ops.shape_of(skip, output_type="i64"), axes, np.int64(0))
        cut = ops.slice(grown, np.zeros_like(axes), ends, np.ones_like(axes), axes)
        joined.input(0).replace_source_output(cut.output(0))


def _is_upsampled(output: Any) -> bool:
    """A transposed convolution, with or without its bias."""
    node = output.get_node()
    while node.get_type_name() == "Add":
        node = node.input_value(0).get_node()
    return bool(node.get_type_name() == "ConvolutionBackpropData")


def _split_joined(model: Any) -> None:
    """A convolution of joined features becomes the sum of one of each: the joined ones are never held.

    OpenVINO adds the second to the first in place. At full resolution that is the peak of a U-Net.
    """
    import openvino.opset13 as ops

    for joined in _of_type(model, "Concat"):
        users = [user.get_node() for user in joined.output(0).get_target_inputs()]
        if joined.get_attributes()["axis"] != 1 or len(users) != 1 or not _is_plain_convolution(users[0]):
            continue
        (conv,), start, parts = users, 0, []
        weight, told = conv.input_value(1).get_node().data, conv.get_attributes()
        manner = [told[name] for name in ("strides", "pads_begin", "pads_end", "dilations")]
        for k in range(joined.get_input_size()):
            part = joined.input_value(k)
            stop = start + part.get_partial_shape()[1].get_length()
            own = ops.constant(np.ascontiguousarray(weight[:, start:stop]))
            parts.append(ops.convolution(part, own, *manner))
            start = stop
        total = parts[0]
        for part in parts[1:]:
            total = ops.add(total, part)
        for user in conv.output(0).get_target_inputs():
            user.replace_source_output(total.output(0))


def _is_plain_convolution(node: Any) -> bool:
    plain = node.get_type_name() == "Convolution" and node.get_attributes()["auto_pad"] == "explicit"
    return bool(plain and node.input_value(1).get_node().get_type_name() == "Constant")


def _of_type(model: Any, name: str) -> list[Any]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() == name]
