"""Half precision to train with: bf16 by autocast, but for convolutions that oneDNN gets wrong.

On a CPU the gradient of a convolution's bf16 weights is read from or written to memory that is not its own
where an axis is shorter than the kernel: seen with torch 2.13 (oneDNN, AVX512-BF16) for two planes along z,
and for strides along an axis of length 1. What comes out is wrong, infinite, different each time, or ends the
process (docs/log.md). float32 is right there, and such convolutions are small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS: tuple[Callable[..., Any], ...] = (torch.conv2d, torch.conv3d)


@contextmanager
def half_precision(device: str, enabled: bool = True) -> Iterator[None]:
    """Run a network of any kind in bf16 as far as its gradient can be trusted.

    Args:
        device: its type, such as "cpu".
        enabled: if not, everything stays in the precision that it has.
    """
    with torch.autocast(device, torch.bfloat16, enabled=enabled):
        if not (enabled and device == "cpu"):
            yield
            return
        with _ShortAxesInFull():
            yield


class _ShortAxesInFull(TorchFunctionMode):
    """Whatever module asks for a convolution: see above."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func in _CONVOLUTIONS and _shorter_than_kernel(*_operands(args, given)):
            with torch.autocast("cpu", enabled=False):
                return func(*(_full(a) for a in args), **{name: _full(a) for name, a in given.items()})
        return func(*args, **given)


def _operands(args: tuple[Any, ...], given: dict[str, Any]) -> tuple[Tensor, Tensor]:
    image = args[0] if args else given["input"]
    return image, args[1] if len(args) > 1 else given["weight"]


def _shorter_than_kernel(image: Tensor, weight: Tensor) -> bool:
    pairs = zip(image.shape[2:], weight.shape[2:], strict=True)
    return any(length < kernel for length, kernel in pairs)


def _full(value: object) -> object:
    return value.float() if isinstance(value, Tensor) else value
