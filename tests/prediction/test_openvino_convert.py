"""What is done to networks on their way to OpenVINO changes what they take, not what they compute."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from calque.nets import NetworkConfig, build
from calque.planning.machine import fast_bf16, find_machine
from calque.prediction import engines, openvino_convert, openvino_engine
from calque.prediction.engines import EngineOptions, any_window, make_engine

VOLUMES = NetworkConfig(
    kind="plain", inputs=1, outputs=3, features=(4, 8, 8), strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
    kernels=((3, 3, 3),) * 3, blocks=(1, 1, 1), decoder_blocks=(1, 1),
)  # fmt: skip
RESIDUAL = VOLUMES.model_copy(update={"kind": "residual"})
SLICES = VOLUMES.model_copy(
    update={"dimensions": 2, "strides": ((1, 1, 1), (1, 2, 2), (1, 2, 2)), "kernels": ((1, 3, 3),) * 3}
)
NEIGHBOURS = SLICES.model_copy(update={"slices": 3})
ODD = (9, 12, 14)


@pytest.fixture(autouse=True)
def _needs_openvino() -> None:
    if not engines.openvino_is_there():
        pytest.skip("OpenVINO is not installed")


def expected(network: torch.nn.Module, x: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(network(x)[0])


@pytest.mark.parametrize("config", [VOLUMES, RESIDUAL, SLICES])
def test_one_conversion_serves_windows_of_any_size(config: NetworkConfig, tmp_path: Path) -> None:
    network = build(config).eval()
    options = EngineOptions("f32", cache=tmp_path, divisor=any_window(config))
    engine = make_engine("openvino", [network], options)
    generator = torch.Generator().manual_seed(0)
    for size in (ODD, (8, 16, 12), (10, 9, 9)):
        shape = (1, *size[1:]) if config.dimensions == 2 else size
        x = torch.randn((1, 1, *shape), generator=generator)
        np.testing.assert_allclose(engine(x).numpy(), expected(network, x), atol=5e-5)
    assert len(list(tmp_path.rglob("network.xml"))) == 1


def test_networks_that_see_neighbouring_slices_are_converted_for_each_size() -> None:
    assert any_window(NEIGHBOURS) is None
    assert any_window(VOLUMES) == (4, 4, 4)


def test_a_norm_is_one_operation_and_joined_features_are_never_held() -> None:
    model = openvino_convert.convert([build(RESIDUAL).eval()], (1, 1, 8, 8, 8), split=True)
    kinds = [node.get_type_name() for node in model.get_ordered_ops()]
    assert "ReduceMean" not in kinds
    assert "Concat" not in kinds
    assert "MVN" in kinds


def test_the_network_that_is_converted_stays_as_it_is() -> None:
    network = build(VOLUMES).eval()
    before = repr(network)
    openvino_convert.convert([network], (1, 1, 8, 8, 8))
    assert repr(network) == before


def test_features_in_bf16_are_handed_over_in_bf16_and_logits_in_f32() -> None:
    network, x = (
        build(VOLUMES).eval(),
        torch.randn((3, 1, 8, 8, 8), generator=torch.Generator().manual_seed(0)),
    )
    assert make_engine("openvino", [network], EngineOptions("bf16", split=True))(x).dtype == torch.bfloat16
    found = make_engine("openvino", [network], EngineOptions("bf16"))(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, torch.from_numpy(expected(network, x)), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("config", [VOLUMES, SLICES])
def test_last_layers_keep_f32_where_the_rest_is_bf16(config: NetworkConfig, tmp_path: Path) -> None:
    openvino = openvino_convert.load_openvino()
    shape = (1, 1, 1, 8, 8) if config.dimensions == 2 else (1, 1, 8, 8, 8)
    nets = [build(config, seed=seed).eval() for seed in range(2)]
    file = openvino_convert.save_converted(openvino_convert.convert(nets, shape), tmp_path / "kept")
    precisions = []
    for model in (openvino_convert.convert(nets, shape), openvino.Core().read_model(file)):
        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
        told = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
        precisions.append(
            [str(one["runtimePrecision"].value) for one in told if one["layerType"].value == "Convolution"]
        )
    assert precisions[0] == precisions[1]
    lower = "bf16" if fast_bf16(find_machine()) else "f32"
    assert sorted(precisions[0]) == sorted([lower] * (len(precisions[0]) - 2) + ["f32"] * 2)


@pytest.mark.parametrize("config", [VOLUMES, RESIDUAL, SLICES])
def test_skip_connections_are_convolved_before_features_are_upsampled(config: NetworkConfig) -> None:
    shape = (1, 1, 1, 8, 8) if config.dimensions == 2 else (1, 1, 8, 8, 8)
    model = openvino_convert.convert([build(config).eval()], shape)
    order = {node.get_friendly_name(): k for k, node in enumerate(model.get_ordered_ops())}
    upsampled = [n for n in model.get_ordered_ops() if n.get_type_name() == "ConvolutionBackpropData"]
    assert len(upsampled) == 2
    for node in upsampled:
        later = node.input_value(0).get_node()
        value = later.input_value(1).get_node().input_value(0).get_node()  # of the convolved skip connection
        skip = value.input_value(0).get_node()
        assert (later.get_type_name(), skip.get_type_name()) == ("Add", "Convolution")
        assert order[skip.get_friendly_name()] < order[node.get_friendly_name()]


def test_what_came_out_stays_while_the_engine_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "RESTING_VOXELS", 0)
    network, x = (
        build(VOLUMES).eval(),
        torch.randn((1, 1, 8, 8, 8), generator=torch.Generator().manual_seed(0)),
    )
    engine = make_engine("openvino", [network], EngineOptions("f32"))
    found = engine(x)
    before = found.clone()
    engine.rest()
    assert torch.equal(found, before)
    assert torch.equal(engine(x), before)


RESIDENT = """
import sys, torch
from pathlib import Path
from calque.nets import NetworkConfig, build
from calque.prediction.engines import EngineOptions, make_engine
stages = 5
config = NetworkConfig(
    kind="plain", inputs=1, outputs=3, features=(16,) * stages,
    strides=((1, 1, 1), *((2, 2, 2),) * (stages - 1)),
    kernels=((3, 3, 3),) * stages, blocks=(2,) * stages, decoder_blocks=(2,) * (stages - 1),
)
engine = make_engine("openvino", [build(config).eval()], EngineOptions("f32", split=True))
windows = torch.zeros(1, 1, 64, 96, 96)
engine._queue(tuple(windows.shape))
def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
before = resident()
engine(windows)
print((resident() - before) / (4 * 16 * 64 * 96 * 96))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel says what is resident; this is not Linux")
def test_a_window_takes_two_tensors_of_full_size_and_what_comes_out() -> None:
    done = subprocess.run([sys.executable, "-c", RESIDENT], capture_output=True, check=True)
    assert float(done.stdout) < 3.6  # 4.1 where upsampled features wait for the skip connection
