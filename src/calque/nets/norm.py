"""Instance norm that leaves channels last, where a processor trains.

torch computes it as a batch norm of one sample with b * c channels, for which it brings the input to
channels first, and the next convolution brings it back: copies that take a quarter of a bf16 step
(docs/log.md). Sample by sample the same kernels take channels as they lie.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_LAST = torch.channels_last_3d
_ATEN = torch.ops.aten


class InstanceNorm3d(nn.InstanceNorm3d):
    """As torch's, with its parameters; (b, c, z, y, x) -> the same, in the same memory layout on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        if torch.is_grad_enabled() and x.device.type == "cpu" and self.affine and _channels_last(x):
            return _PerSample.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call, no-any-return]
        return super().forward(x)


def _channels_last(x: Tensor) -> bool:
    """Whether it is laid out so, and only so."""
    return x.is_contiguous(memory_format=_LAST) and not x.is_contiguous()


class _PerSample(torch.autograd.Function):
    """A batch norm for each sample."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        out = torch.empty_like(x)
        mean = torch.empty(x.shape[:2], dtype=weight.dtype)
        inverse = torch.empty_like(mean)  # of the deviation
        for k in range(len(x)):
            _ATEN.native_batch_norm.out(
                x[k : k + 1], weight, bias, None, None, True, 0.0, eps,
                out=out[k : k + 1], save_mean=mean[k], save_invstd=inverse[k],
            )  # fmt: skip
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.eps = eps
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, inverse = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=_LAST)
        of_x = torch.empty_like(x)
        of_weight, of_bias = torch.zeros_like(weight), torch.zeros_like(weight)
        for k in range(len(x)):
            of_x[k : k + 1], for_weight, for_bias = _ATEN.native_batch_norm_backward(
                gradient[k : k + 1], x[k : k + 1], weight, None, None, mean[k], inverse[k], True, ctx.eps,
                [True, True, True],
            )  # fmt: skip
            of_weight += for_weight
            of_bias += for_bias
        return of_x, of_weight, of_bias, None
