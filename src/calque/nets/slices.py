"""2-D networks on volumes: slices as samples, with their neighbours as channels (2.5-D)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def fold(x: Tensor, slices: int) -> Tensor:
    """(b, c, z, y, x) -> (b z, c slices, y, x); beyond the first and the last slice lie zeros."""
    batch, channels, depth, height, width = x.shape
    if slices == 1:
        return x.transpose(1, 2).reshape(batch * depth, channels, height, width)
    half = slices // 2
    padded = F.pad(x, (0, 0, 0, 0, half, half))
    beside = torch.stack([padded[:, :, k : k + depth] for k in range(slices)], 2)  # (b, c, slices, z, y, x)
    return beside.permute(0, 3, 1, 2, 4, 5).reshape(batch * depth, channels * slices, height, width)


def unfold(y: Tensor, depth: int) -> Tensor:
    """(b z, k, y, x) -> (b, k, z, y, x)."""
    return y.reshape(y.shape[0] // depth, depth, *y.shape[1:]).transpose(1, 2)
