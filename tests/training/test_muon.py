"""Muon: what is a matrix, what its steps are, and that it learns."""

from __future__ import annotations

import torch
from torch import nn

from calque.training.muon import Muon, kernels_of, orthogonalised


def test_kernels_are_matrices_and_heads_tables_and_groups_are_not() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv3d(4, 8, 3)
            self.up = nn.ConvTranspose3d(8, 4, 2)
            self.flat = nn.Conv2d(4, 8, 3)
            self.linear = nn.Linear(4, 8)
            self.head = nn.Conv3d(8, 3, 1)
            self.apart = nn.Conv3d(8, 8, 3, groups=8)
            self.norm = nn.InstanceNorm3d(8, affine=True)
            self.table = nn.Parameter(torch.zeros(9, 4))

    net = Net()
    wanted = [net.first.weight, net.up.weight, net.flat.weight, net.linear.weight]
    assert [id(p) for p in kernels_of(net)] == [id(p) for p in wanted]


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


def test_rounds_among_gram_matrices_are_rounds_among_kernels() -> None:
    """Also where the kernel has almost no rank, which is when squares lose the small singular values."""
    generator = torch.Generator().manual_seed(4)
    few = torch.randn(48, 3, generator=generator) @ torch.randn(3, 200, generator=generator)
    steep = torch.randn(48, 200, generator=generator) * torch.logspace(0, -5, 48)[:, None]
    for matrix in (torch.randn(48, 200, generator=generator), few, steep, few.T):
        plain = matrix.double() / matrix.double().norm()
        for _ in range(5):
            gram = plain @ plain.T
            plain = 3.4445 * plain + (-4.7750 * gram + 2.0315 * gram @ gram) @ plain
        difference = (orthogonalised(matrix).double() - plain).norm() / plain.norm()
        assert float(difference) < 2e-3


def test_a_gradient_of_nothing_is_a_step_of_nothing() -> None:
    assert torch.equal(orthogonalised(torch.zeros(4, 27)), torch.zeros(4, 27))


def test_no_gradient_is_no_step_but_decay_and_a_step_has_the_size_of_the_rate() -> None:
    layer = nn.Conv3d(4, 8, 3)
    optimiser = Muon([{"params": [layer.weight], "kernels": True}, {"params": [layer.bias]}], lr=0.01)
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
    optimiser = Muon([{"params": [layer.weight], "kernels": True}, {"params": [layer.bias]}], lr=0.05)
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
