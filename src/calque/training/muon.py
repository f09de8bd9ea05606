"""Muon: steps along the orthogonalised momentum of each kernel, and AdamW for all that is no matrix.

Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; a kernel (out, in, z, y, x) is the matrix
(out, in * z * y * x). Its step is scaled to the size of AdamW's, so that one rate and one weight decay serve
both: Liu et al. 2025, "Muon is scalable for LLM training", arXiv:2502.16982.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_MOMENTUM = 0.95
_BETAS = (0.9, 0.999)
_EPSILON = 1e-8
_ROUNDS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of Jordan: singular values come out between about 0.7 and 1.2 after five rounds."""
_SIZE = 0.2
"""The root mean square of AdamW's steps, about."""


class Muon(torch.optim.Optimizer):
    """Shapes tell which parameters are matrices.

    Args:
        groups: parameters, each group with its `weight_decay`.
        lr: the rate of all.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; what `closure` returns, which computes the loss and its gradients anew."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                moments = self.state[parameter]
                along = _along_momentum if is_matrix(parameter) else _as_adam
                change = along(parameter, moments)
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"]).sub_(change, alpha=group["lr"])
        return loss


def is_matrix(parameter: Tensor) -> bool:
    """Kernels of more than one voxel and matrices; heads of 1x1x1 are left to AdamW."""
    return parameter.ndim == 2 or (parameter.ndim > 2 and parameter[0, 0].numel() > 1)


def orthogonalised(matrix: Tensor) -> Tensor:
    """(n, m) -> (n, m): nearly its polar factor, by Newton and Schulz's iteration in float32."""
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    near: Tensor = x.T if tall else x
    return near


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
