"""Muon: what is a matrix, what its steps are, and that it learns."""

from __future__ import annotations

import torch
from torch import nn

from calque.training.muon import Muon, is_matrix, orthogonalised


def test_kernels_are_matrices_and_heads_are_not() -> None:
    assert is_matrix(nn.Conv3d(4, 8, 3).weight)
    assert is_matrix(nn.ConvTranspose3d(8, 4, 2).weight)
    assert is_matrix(nn.Conv2d(4, 8, 3).weight)
    assert is_matrix(nn.Linear(4, 8).weight)
    assert not is_matrix(nn.Conv3d(8, 3, 1).weight)
    assert not is_matrix(nn.InstanceNorm3d(8, affine=True).weight)


def test_singular_values_come_near_one_and_vectors_stay() -> None:
    generator = torch.Generator().manual_seed(3)
    for shape in ((8, 27), (64, 32), (16, 16), (1, 27)):
        matrix = torch.randn(*shape, generator=generator) * 1e-3
        found = torch.linalg.svdvals(orthogonalised(matrix))
        assert float(found.min()) > 0.3
        assert float(found.max()) < 1.3
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        between = left.T @ orthogonalised(matrix) @ right.T
        assert torch.allclose(between, torch.diag(torch.diagonal(between)), atol=1e-3)


def test_no_gradient_is_no_step_but_decay_and_a_step_has_the_size_of_the_rate() -> None:
    layer = nn.Conv3d(4, 8, 3)
    optimiser = Muon([{"params": layer.parameters()}], lr=0.01)
    before = layer.weight.detach().clone()
    optimiser.step()
    assert torch.equal(before, layer.weight)
    layer.weight.grad = torch.randn_like(layer.weight)
    optimiser.step()
    change = (layer.weight.detach() - before).square().mean().sqrt()
    assert 0.0005 < float(change) < 0.004  # AdamW's are of 0.2 to 0.4 of the rate


def test_what_is_no_matrix_steps_as_with_adam() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Conv3d(4, 3, 1), nn.Conv3d(4, 3, 1)
    theirs.load_state_dict(ours.state_dict())
    ours_grouped, theirs_grouped = [
        [{"params": [layer.weight], "weight_decay": 0.1}, {"params": [layer.bias], "weight_decay": 0.0}]
        for layer in (ours, theirs)
    ]
    one = Muon(ours_grouped, lr=0.01)
    other = torch.optim.AdamW(theirs_grouped, lr=0.01)
    for _ in range(5):
        for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn_like(mine)
            its.grad = mine.grad.clone()
        one.step()
        other.step()
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine, its, atol=1e-6)


def test_it_finds_a_kernel() -> None:
    torch.manual_seed(0)
    wanted, layer = nn.Conv3d(2, 4, 3, padding=1), nn.Conv3d(2, 4, 3, padding=1)
    optimiser = Muon([{"params": layer.parameters()}], lr=0.05)
    losses = []
    for step in range(120):
        optimiser.param_groups[0]["lr"] = 0.05 * (1 - step / 120)
        image = torch.randn(2, 2, 6, 6, 6)
        loss = (layer(image) - wanted(image).detach()).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
