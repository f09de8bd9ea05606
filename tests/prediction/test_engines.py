"""One contract for every engine."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from calque.errors import InputError, MissingExtraError, ModelError
from calque.nets import NetworkConfig, build
from calque.prediction import choice, engines, openvino_engine
from calque.prediction.choice import choose_engine
from calque.prediction.engines import ENGINES, EngineOptions, make_engine
from calque.prediction.openvino_engine import digest

CONFIG = NetworkConfig(
    kind="residual", inputs=2, outputs=3, features=(4, 8), strides=((1, 1, 1), (2, 2, 2)),
    kernels=((3, 3, 3),) * 2, blocks=(1, 1), decoder_blocks=(1,),
)  # fmt: skip
FLAT = CONFIG.model_copy(
    update={"dimensions": 2, "kind": "plain", "strides": ((1, 1, 1), (1, 2, 2)), "kernels": ((1, 3, 3),) * 2}
)
SHAPE = (2, 8, 12, 8)


@pytest.fixture(params=sorted(ENGINES))
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "openvino":
        _needs_openvino()
    return str(request.param)


def _needs_openvino() -> None:
    if not engines.openvino_is_there():  # importing it here would load its telemetry
        pytest.skip("OpenVINO is not installed")


def networks(members: int = 1, config: NetworkConfig = CONFIG) -> list[torch.nn.Module]:
    return [build(config, seed=seed).eval() for seed in range(members)]


def windows(count: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(1))


def expected(nets: list[torch.nn.Module], x: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(torch.stack([net(x)[0] for net in nets]).mean(0))


@pytest.mark.parametrize(("count", "members"), [(1, 2), (3, 1)])
def test_logits_are_the_mean_of_the_networks(name: str, count: int, members: int) -> None:
    nets, x = networks(members), windows(count)
    logits = make_engine(name, nets, EngineOptions("f32", streams=2))(x)
    assert (logits.dtype, logits.device.type) == (torch.float32, "cpu")
    np.testing.assert_allclose(logits.numpy(), expected(nets, x), atol=2e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_the_last_layer_can_be_left_out(name: str, count: int) -> None:
    nets, x = networks(2), windows(count)
    engine = make_engine(name, nets, EngineOptions("f32", streams=2, split=True))
    features = engine(x)
    assert features.shape[1] == 2 * CONFIG.features[0]
    assert engine.last is not None
    logits = torch.stack([engine.last(one) for one in features])
    np.testing.assert_allclose(logits.numpy(), expected(nets, x), atol=2e-5)
    assert make_engine(name, nets, EngineOptions("f32")).last is None


def test_networks_of_slices(name: str) -> None:
    nets, x = networks(1, FLAT), windows(2, (2, 1, 12, 8))
    logits = make_engine(name, nets, EngineOptions("f32"))(x)
    np.testing.assert_allclose(logits.numpy(), expected(nets, x), atol=2e-5)


def test_windows_of_several_sizes_and_of_any_layout(name: str) -> None:
    nets = networks()
    engine = make_engine(name, nets, EngineOptions("f32"))
    for shape in (SHAPE, (2, 4, 4, 4)):
        x = windows(1, shape).transpose(3, 4).contiguous().transpose(3, 4)  # not contiguous
        np.testing.assert_allclose(engine(x).numpy(), expected(nets, x), atol=2e-5)


def test_calls_of_one_and_of_many_windows_in_turn(name: str) -> None:
    nets = networks()
    engine = make_engine(name, nets, EngineOptions("f32", streams=2))
    for count in (3, 1, 3, 1, 1, 2, 5):
        x = windows(count) * count
        np.testing.assert_allclose(engine(x).numpy(), expected(nets, x), atol=5e-5)
        del x


def test_precision_is_what_was_asked_for(name: str) -> None:
    nets, x = networks(), windows(1)
    right = expected(nets, x)
    gaps = {}
    for precision in ("f32", "bf16"):
        engine = make_engine(name, nets, EngineOptions(precision))  # type: ignore[arg-type]
        assert engine.precision == precision
        gaps[precision] = np.abs(engine(x).float().numpy() - right).max()
    assert gaps["f32"] < 2e-5
    # engines compute in f32 where the processor has no bf16
    assert gaps["bf16"] < 0.05 * np.abs(right).max()


@pytest.mark.parametrize("members", [1, 2])
def test_the_last_layer_is_computed_in_f32_whatever_the_precision(name: str, members: int) -> None:
    nets, x = networks(members), windows(1)
    apart = make_engine(name, nets, EngineOptions("bf16", split=True))
    assert apart.last is not None
    exact = apart.last(apart(x)[0])
    whole = make_engine(name, nets, EngineOptions("bf16"))
    assert whole.last is None
    logits = whole(x)
    assert logits.dtype == torch.float32
    np.testing.assert_allclose(logits[0].numpy(), exact.numpy(), atol=2e-5)


def test_automatic_precision_is_settled_by_the_processor(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "computes_in_bf16", lambda _: False)
    assert make_engine(name, networks(), EngineOptions()).precision == "f32"
    monkeypatch.setattr(engines, "computes_in_bf16", lambda _: True)
    assert make_engine(name, networks(), EngineOptions()).precision == "bf16"


def test_an_unknown_engine_lists_the_choices() -> None:
    with pytest.raises(InputError, match="openvino"):
        make_engine("abacus", networks(), EngineOptions())


def test_no_network_is_an_error(name: str) -> None:
    with pytest.raises(ModelError, match="no network"):
        make_engine(name, [], EngineOptions())


# OpenVINO's own


def test_a_converted_network_is_kept_and_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _needs_openvino()
    nets, x = networks(2), windows(1)
    options = EngineOptions("f32", cache=tmp_path)
    first = make_engine("openvino", nets, options)(x).clone()
    kept = sorted(path.name for path in tmp_path.rglob("network.*"))
    assert kept == ["network.bin", "network.xml"]
    monkeypatch.setattr(openvino_engine, "convert", None)  # it is not called again
    np.testing.assert_array_equal(make_engine("openvino", nets, options)(x), first)
    monkeypatch.undo()
    make_engine("openvino", networks(3), options)(x)  # other weights are another network
    make_engine("openvino", nets, options)(windows(1, (2, 4, 4, 4)))  # and so is another window
    assert len(list(tmp_path.rglob("network.xml"))) == 3


def test_names_of_networks_depend_on_layers_and_weights() -> None:
    several = (networks(), networks(2), networks(1, FLAT), [build(CONFIG, seed=5)])
    names = {digest(nets) for nets in several}
    assert len(names) == 4
    assert digest(networks()) in names


def test_no_telemetry_is_loaded() -> None:
    _needs_openvino()
    openvino_engine.load_openvino()
    assert sys.modules.get("openvino_telemetry") is None


def test_a_missing_openvino_is_named_or_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match="openvino"):
        make_engine("openvino", networks(), EngineOptions())
    monkeypatch.setattr(engines, "openvino_is_there", lambda: False)
    monkeypatch.setattr(choice, "_openvino_version", lambda: "")
    assert make_engine("auto", networks(), EngineOptions()).name == "torch"
    found = choose_engine("auto", networks(), EngineOptions(cache=tmp_path, key="k"), SHAPE, precision="f32")
    assert found.engine == "torch"
    assert "OpenVINO is not installed" in found.reason


# The probe


def test_the_fastest_engine_is_chosen_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _needs_openvino()
    seconds = {"openvino": 3.0, "torch": 2.0}
    timed = []

    def clock(engine: engines.Engine, shape: object, best: float = 0) -> float:
        timed.append(engine.name)
        return seconds[engine.name]

    monkeypatch.setattr(choice, "time_window", clock)
    options = EngineOptions(cache=tmp_path, key="k")
    first = choose_engine("auto", networks(), options, SHAPE, precision="f32", most_streams=1)
    assert (first.engine, first.window_seconds) == ("torch", 2.0)
    assert "openvino f32 3 s" in first.reason
    again = choose_engine("auto", networks(), options, SHAPE, precision="f32", most_streams=1)
    assert again == first
    assert timed == ["openvino", "torch"]
    choose_engine("auto", networks(), options, (2, 4, 4, 4), precision="f32", most_streams=1)
    assert len(timed) == 4


def test_without_a_cache_nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "time_window", None)
    found = choose_engine("torch", networks(), EngineOptions(), SHAPE, precision="bf16")
    assert (found.engine, found.precision, found.window_seconds) == ("torch", "bf16", None)
