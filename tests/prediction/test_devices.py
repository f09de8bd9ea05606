"""Where torch computes; GPUs are stood in for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from calque.errors import InputError, ModelError
from calque.nets import NetworkConfig, build
from calque.prediction import devices, engines
from calque.prediction.devices import computes_in_bf16, find_device
from calque.prediction.engines import EngineOptions, available_engines, make_engine

CONFIG = NetworkConfig(
    kind="plain", inputs=1, outputs=2, features=(4, 8), strides=((1, 1, 1), (2, 2, 2)),
    kernels=((3, 3, 3),) * 2, blocks=(1, 1), decoder_blocks=(1,),
)  # fmt: skip

Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Pretend that there are these GPUs."""

    def pretend(*there: str) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in there)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in there)

    return pretend


@pytest.mark.parametrize(
    ("there", "wanted", "expected"),
    [
        ((), "auto", "cpu"),
        (("cuda",), "auto", "cuda"),
        (("mps",), "auto", "cpu"),
        (("mps",), "mps", "mps"),
        (("cuda", "mps"), "cpu", "cpu"),
    ],
)
def test_devices_are_found(machine: Machine, there: tuple[str, ...], wanted: str, expected: str) -> None:
    machine(*there)
    assert find_device(wanted).type == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_missing_device_is_refused_with_what_is_there(machine: Machine, wanted: str) -> None:
    machine()
    with pytest.raises(InputError, match="cpu") as told:
        make_engine("torch", [build(CONFIG)], EngineOptions(device=wanted))  # type: ignore[arg-type]
    assert wanted in str(told.value)


def test_openvino_is_for_the_processor(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine("cuda", "mps")
    monkeypatch.setattr(engines, "openvino_is_there", lambda: True)
    assert available_engines("cpu") == ("openvino", "torch")
    for device in ("auto", "cuda", "mps"):
        assert available_engines(device) == ("torch",)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="on the processor"):
        make_engine("openvino", [build(CONFIG)], EngineOptions(device="mps"))


def test_mps_computes_in_f32(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine("mps")
    monkeypatch.setattr(devices, "fast_bf16", lambda _: True)
    assert not computes_in_bf16("mps")
    assert computes_in_bf16("cpu")
    with pytest.raises(InputError, match="--precision f32"):
        make_engine("torch", [build(CONFIG)], EngineOptions("bf16", device="mps"))


def test_a_stand_in_for_mps_is_what_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def stand_in(wanted: str) -> torch.device:
        asked.append(wanted)
        return torch.device("cpu")

    monkeypatch.setattr(engines, "find_device", stand_in)
    network, x = (
        build(CONFIG).eval(),
        torch.randn((2, 1, 8, 8, 8), generator=torch.Generator().manual_seed(0)),
    )
    engine = make_engine("auto", [network], EngineOptions(channels_last=True, device="mps"))
    assert (asked, engine.name, engine.precision) == (["mps"], "torch", "f32")
    with torch.inference_mode():
        torch.testing.assert_close(engine(x), network(x)[0], atol=2e-5, rtol=0)


def test_a_layer_without_a_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make_engine("torch", [build(CONFIG)], EngineOptions("f32", device="cpu"))

    def missing(*_: object) -> None:
        raise NotImplementedError("The operator 'aten::conv_transpose3d' is not implemented")

    monkeypatch.setattr(torch.nn.ConvTranspose3d, "forward", missing)
    with pytest.raises(ModelError, match="conv_transpose3d") as told:
        engine(torch.zeros((1, 1, 8, 8, 8)))
    assert "--device cpu" in str(told.value)
