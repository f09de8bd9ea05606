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
from functools import reduce
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
FORM = 4
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
    return bool(_upsampling(output).get_type_name() == "ConvolutionBackpropData")


def _upsampling(output: Any) -> Any:
    """The transposed convolution, where there is one, before its bias and what is cut off."""
    node = output.get_node()
    while node.get_type_name() in ("Add", "Slice"):
        node = node.input_value(0).get_node()
    return node


def _split_joined(model: Any) -> None:
    """A convolution of joined features becomes the sum of one of each: the joined ones are never held.

    OpenVINO adds the second to the first in place. At full resolution that is the peak of a U-Net.
    """
    import openvino.opset13 as ops

    for joined in _of_type(model, "Concat"):
        users = [user.get_node() for user in joined.output(0).get_target_inputs()]
        if joined.get_attributes()["axis"] != 1 or len(users) != 1 or not _is_plain_convolution(users[0]):
            continue
        (conv,), start, pieces = users, 0, []
        weight = conv.input_value(1).get_node().data
        for k in range(joined.get_input_size()):
            part = joined.input_value(k)
            stop = start + part.get_partial_shape()[1].get_length()
            pieces.append((part, ops.constant(np.ascontiguousarray(weight[:, start:stop]))))
            start = stop
        if len(pieces) == 2 and _is_upsampled(pieces[0][0]) and _keeps_size(conv):
            total = _skip_first(conv, *pieces)
        else:
            total = reduce(ops.add, [ops.convolution(*piece, *_manner(conv)) for piece in pieces])
        for user in conv.output(0).get_target_inputs():
            user.replace_source_output(total.output(0))


def _skip_first(conv: Any, grown: tuple[Any, Any], skip: tuple[Any, Any]) -> Any:
    """The sum, for which the skip connection is convolved, and forgotten, before features are upsampled.

    OpenVINO orders operations by what they need, so the upsampling is made to need the other convolution: 0
    times one value of it is added to what is upsampled. Then two tensors of full size do where three were
    held. It places them largest first, and of equals in no order that is known, which would cost the third
    one again: so both convolutions make one row too many, which is cut off their sum.

    Args:
        conv: that of the joined features.
        grown: upsampled features (or what was cut of them) and their weights.
        skip: the skip connection and its weights.
    """
    import openvino.opset13 as ops

    strides, before, after, dilations = _manner(conv)
    manner = (strides, before, [after[0] + 1, *after[1:]], dilations)
    first = ops.convolution(*skip, *manner)
    rank = len(first.output(0).get_partial_shape())
    ones = np.ones(rank, np.int64)
    value = ops.slice(first, np.zeros_like(ones), ones, ones, np.arange(rank))
    upsampling = _upsampling(grown[0])
    later = ops.add(upsampling.input_value(0), ops.clamp(value, 0.0, 0.0))
    upsampling.input(0).replace_source_output(later.output(0))
    total = ops.add(ops.convolution(*grown, *manner), first)
    rows = ops.gather(ops.shape_of(skip[0], output_type="i64"), np.array([2]), np.int64(0))
    return ops.slice(total, np.array([0]), rows, np.array([1]), np.array([2]))


def _manner(conv: Any) -> tuple[list[int], list[int], list[int], list[int]]:
    """Strides, padding before and after, dilations."""
    told = conv.get_attributes()
    strides, before, after, dilations = (
        list(told[name]) for name in ("strides", "pads_begin", "pads_end", "dilations")
    )
    return strides, before, after, dilations


def _keeps_size(conv: Any) -> bool:
    strides, before, after, dilations = _manner(conv)
    kernel = list(conv.input_value(1).get_partial_shape().to_shape())[2:]
    lost = [d * (k - 1) - a - b for d, k, a, b in zip(dilations, kernel, after, before, strict=True)]
    return set(strides) == {1} and set(lost) == {0}


def _is_plain_convolution(node: Any) -> bool:
    plain = node.get_type_name() == "Convolution" and node.get_attributes()["auto_pad"] == "explicit"
    return bool(plain and node.input_value(1).get_node().get_type_name() == "Constant")


def _of_type(model: Any, name: str) -> list[Any]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() == name]
