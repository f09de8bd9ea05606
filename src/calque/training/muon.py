"""Muon: steps along the orthogonalised momentum of each kernel, and AdamW for all that is no matrix.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; a kernel (out, in, z, y, x) is the matrix
(out, in * z * y * x). Its step is scaled to the size of AdamW's, so that one rate and one weight decay serve
both: Liu et al. 2025, "Muon is scalable for LLM training", arXiv:2502.16982.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_ROUNDS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of Jordan: singular values come out between about 0.7 and 1.2 after five rounds."""
_SIZE = 0.2
"""The root mean square of AdamW's steps, about."""
_CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


class Muon(torch.optim.Optimizer):
    """Groups tell which parameters are kernels, since shapes do not: a table of positions is no matrix.

    Args:
        groups: parameters, each group with its `weight_decay`, and `kernels`: whether they step as matrices.
        lr: the rate of all.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "kernels": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; what `closure` returns, which computes the loss and its gradients anew."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            along = _along_momentum if group["kernels"] else _as_adam
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                moments = self.state[parameter]
                change = along(parameter, moments)
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"]).sub_(change, alpha=group["lr"])
        return loss


def kernels_of(network: nn.Module) -> list[Tensor]:
    """What Muon is for: linear layers, and convolutions of more than one voxel that are not in groups.

    Heads of 1x1x1 are left to AdamW, as the last layers of language models are, and so are channels that do
    not meet in a group.
    """
    return [
        module.weight
        for module in network.modules()
        if isinstance(module, nn.Linear)
        or (isinstance(module, _CONVOLUTIONS) and module.groups == 1 and module.weight[0, 0].numel() > 1)
    ]


def orthogonalised(matrix: Tensor) -> Tensor:
    """(n, m) -> (n, m): nearly its polar factor, by Newton and Schulz's iteration in float32.

    Every round multiplies by a polynomial of the matrix's Gram matrix, and polynomials of one matrix commute:
    so the rounds are made among (n, n), and the long side is gone over twice rather than ten times.
    """
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    gram = x @ x.T
    size = gram.diagonal().sum().sqrt() + 1e-7
    gram = gram / size**2
    whole = None
    for round_ in range(_ROUNDS):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        whole = factor if whole is None else factor @ whole
        if round_ < _ROUNDS - 1:
            gram = factor @ gram @ factor
    assert whole is not None  # noqa: S101 - there are rounds
    near = (whole / size) @ x
    return near.T if tall else near


def _along_momentum(parameter: Tensor, moments: dict[str, Tensor]) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None  # noqa: S101 - asked before
    if not moments:
        moments["momentum"] = torch.zeros_like(parameter)
    momentum = moments["momentum"].mul_(_MOMENTUM).add_(gradient)
    flat = gradient.add(momentum, alpha=_MOMENTUM).flatten(1)  # Nesterov's
    return orthogonalised(flat).mul_(_SIZE * max(flat.shape) ** 0.5).reshape(parameter.shape)


def _as_adam(parameter: Tensor, moments: dict[str, Tensor]) -> Tensor:
    gradient = parameter.grad
    assert gradient is not None  # noqa: S101 - asked before
    if not moments:
        moments["step"] = torch.zeros(())
        moments["first"], moments["second"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
    steps = float(moments["step"].add_(1.0))
    first = moments["first"].lerp_(gradient, 1.0 - _BETAS[0])
    second = moments["second"].mul_(_BETAS[1]).addcmul_(gradient, gradient, value=1.0 - _BETAS[1])
    deviation = (second / (1.0 - _BETAS[1] ** steps)).sqrt_().add_(_EPSILON)
    change: Tensor = (first / (1.0 - _BETAS[0] ** steps)).div_(deviation)
    return change
