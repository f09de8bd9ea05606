"""One contract for every network."""

from __future__ import annotations

import pytest
import torch

from calque.errors import PlanError
from calque.nets import BUILDERS, NetworkConfig, build


def config(kind: str = "plain", dimensions: int = 3, **changes: object) -> NetworkConfig:
    flat = dimensions == 2
    base: dict[str, object] = {
        "kind": kind,
        "dimensions": dimensions,
        "inputs": 2,
        "outputs": 3,
        "features": (4, 8, 12),
        "strides": ((1, 1, 1), (1, 2, 2), (1, 2, 2) if flat else (2, 2, 2)),
        "kernels": ((1, 3, 3), (1, 3, 3) if flat else (3, 3, 3), (1, 3, 3) if flat else (3, 3, 3)),
        "blocks": (1, 2, 2),
        "decoder_blocks": (2, 1),
    }
    return NetworkConfig.model_validate(base | changes)


EVERY = [(kind, dimensions) for kind in BUILDERS for dimensions in (2, 3)]


@pytest.mark.parametrize(("kind", "dimensions"), EVERY)
def test_contract(kind: str, dimensions: int) -> None:
    """Shapes, deep supervision only in training, gradients everywhere, independence of cases in a batch."""
    network = build(config(kind, dimensions))
    z = 1 if dimensions == 2 else 4
    x = torch.randn(2, 2, z, 8, 12, generator=torch.Generator().manual_seed(0))

    deep = network(x)
    assert [tuple(level.shape) for level in deep] == [(2, 3, z, 8, 12), (2, 3, z, 4, 6)]
    sum(level.square().mean() for level in deep).backward()
    silent = [name for name, p in network.named_parameters() if p.grad is None]
    assert silent == []

    network.eval()
    with torch.inference_mode():
        both = network(x)
        alone = network(x[1:])
    assert len(both) == 1
    torch.testing.assert_close(both[0][1:], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", list(BUILDERS))
def test_the_seed_decides_and_the_global_generator_is_untouched(kind: str) -> None:
    before = torch.random.get_rng_state()
    first, again, other = (build(config(kind), seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("shape", [(1, 3, 4, 8, 12), (1, 2, 4, 7, 12), (1, 2, 3, 8, 12)])
def test_a_wrong_input_is_named(shape: tuple[int, ...]) -> None:
    network = build(config())
    with pytest.raises(PlanError, match="multiple of"):
        network(torch.zeros(shape))


@pytest.mark.parametrize("kind", ["plain", "residual"])
def test_windows_that_strides_do_not_divide_are_as_padded_ones_to_a_network_without_norms(kind: str) -> None:
    network = build(config(kind)).eval()
    for name, _ in list(network.named_modules()):
        if name.endswith("norm"):
            network.set_submodule(name, torch.nn.Identity())
    x = torch.randn(1, 2, 4, 63, 67, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        cut, padded = network(x)[0], network(torch.nn.functional.pad(x, (0, 1, 0, 1)))[0]
    assert cut.shape[2:] == x.shape[2:]
    near = (..., slice(0, 32), slice(0, 32))  # beyond the reach of the far side
    torch.testing.assert_close(cut[near], padded[near])


def test_two_dimensional_networks_refuse_volumes() -> None:
    with pytest.raises(PlanError, match="z = 1"):
        build(config(dimensions=2))(torch.zeros(1, 2, 2, 8, 12))


def test_an_unknown_kind_lists_the_choices() -> None:
    with pytest.raises(PlanError, match="plain"):
        build(config("transformer"))


@pytest.mark.parametrize(
    "changes", [{"kernels": ((3, 3, 3),)}, {"decoder_blocks": (1, 1, 1)}, {"kernels": ((2, 3, 3),) * 3}]
)
def test_contradictions_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"needs|odd"):
        config(**changes)


def test_names_are_those_of_nnunet() -> None:
    plain = build(config("plain")).state_dict()
    residual = build(config("residual")).state_dict()
    assert {
        "encoder.stages.0.0.convs.0.conv.weight",
        "encoder.stages.1.0.convs.1.norm.bias",
        "decoder.transpconvs.0.weight",
        "decoder.stages.1.convs.0.conv.weight",
        "decoder.seg_layers.1.bias",
    } <= set(plain)
    assert {
        "encoder.stem.convs.0.conv.weight",
        "encoder.stages.0.blocks.0.conv1.conv.weight",
        "encoder.stages.1.blocks.0.skip.1.conv.weight",  # 0 is the pooling
    } <= set(residual)
