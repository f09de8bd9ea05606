"""The last layer of converted networks stays in f32, whatever the rest is computed in.

Logits in bf16 are rounded to one part in 256, so that classes tie where they should not: that one layer does
more to labels than all others (docs/decisions/precision.md), and takes hardly any of the time.

The processor plugin leaves a node's precision alone where an attribute of OpenVINO's intermediate
representation says so. Python cannot set that attribute, but it can read a network that has it; so the
convolution comes from there.
"""

from __future__ import annotations

from typing import Any

_LINEAR = ("Add", "Multiply", "Divide", "Convert", "Reshape", "Unsqueeze", "Squeeze", "Transpose")
"""What may stand between a last layer and the result: its bias, and the mean of an ensemble."""

_KEPT = """<?xml version="1.0"?>
<net name="kept" version="11"><layers>
<layer id="0" name="x" type="Parameter" version="opset1"><data shape="{ones}" element_type="f32"/>
<output><port id="0" precision="FP32">{dims}</port></output></layer>
<layer id="1" name="w" type="Parameter" version="opset1"><data shape="{ones}" element_type="f32"/>
<output><port id="0" precision="FP32">{dims}</port></output></layer>
<layer id="2" name="kept" type="Convolution" version="opset1">
<data strides="{steps}" dilations="{steps}" pads_begin="{none}" pads_end="{none}" auto_pad="explicit"/>
<rt_info><attribute name="precise" version="0" value="dynamic:f16"/></rt_info>
<input><port id="0" precision="FP32">{dims}</port><port id="1" precision="FP32">{dims}</port></input>
<output><port id="2" precision="FP32">{dims}</port></output></layer>
<layer id="3" name="y" type="Result" version="opset1">
<input><port id="0" precision="FP32">{dims}</port></input></layer>
</layers><edges><edge from-layer="0" from-port="0" to-layer="2" to-port="0"/>
<edge from-layer="1" from-port="0" to-layer="2" to-port="1"/>
<edge from-layer="2" from-port="2" to-layer="3" to-port="0"/></edges></net>
"""


def keep_last_layers(openvino: Any, model: Any) -> None:
    """Mark the 1x1x1 convolutions that results are made of, one of each network of an ensemble, as f32.

    Args:
        openvino: the module.
        model: a converted network, changed in place.
    """
    for result in model.get_results():
        for conv in _last_layers(result.input_value(0)):
            kept = _kept_convolution(openvino, len(conv.get_output_partial_shape(0)))
            for port in (0, 1):
                kept.input(port).replace_source_output(conv.input_value(port))
            for user in conv.output(0).get_target_inputs():
                user.replace_source_output(kept.output(0))
            kept.set_friendly_name(conv.get_friendly_name())


def _last_layers(output: Any) -> list[Any]:
    """Linear maps of each voxel from which an output is made by nothing but sums and scaling."""
    node = output.get_node()
    if node.get_type_name() == "Convolution":
        pointwise = all(n == 1 for n in list(node.get_input_shape(1))[2:])
        plain = all(n == 1 for n in node.get_attributes()["strides"])
        return [node] if pointwise and plain else []
    if node.get_type_name() not in _LINEAR:
        return []
    return [conv for port in range(node.get_input_size()) for conv in _last_layers(node.input_value(port))]


def _kept_convolution(openvino: Any, rank: int) -> Any:
    """A convolution of kernel 1 between placeholders (b, c, ...) of `rank` axes, that stays in f32."""
    text = _KEPT.format(
        ones=",".join("1" * rank),
        dims="<dim>1</dim>" * rank,
        steps=",".join("1" * (rank - 2)),
        none=",".join("0" * (rank - 2)),
    )
    held = openvino.Core().read_model(text.encode(), b"")
    return next(node for node in held.get_ordered_ops() if node.get_type_name() == "Convolution")
