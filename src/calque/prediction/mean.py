"""The slab of logits that later windows still touch, as a mean of those that came."""

from __future__ import annotations

from collections.abc import Iterable

import torch

MOST = 65504.0
"""What float16 holds: logits of lower precision must lie within."""


class RunningMean:
    """The weighted mean of the windows so far, at each voxel of a slab.

    A running mean is as large as its values wherever the weights are small, so that two bytes can hold it:
    sums of products with the Gaussian's foot could not.

    Args:
        shape: (k, rows, y, x).
        computed: the type that logits come in; means of bfloat16 are held in float16, which rounds eight
            times less.
    """

    def __init__(self, shape: tuple[int, ...], computed: torch.dtype) -> None:
        self.held = torch.zeros(shape, dtype=_held_as(computed))
        self._weight = torch.zeros(shape[1:])

    def add(self, place: tuple[slice, ...], logits: Iterable[torch.Tensor], weight: torch.Tensor) -> None:
        """Class by class: copies of all classes would be as large as the slab.

        Args:
            place: of the window in the slab.
            logits: k of (z, y, x) in streamed axes.
            weight: (z, y, x).
        """
        total = self._weight[place].add_(weight)
        share = weight / total
        for held, one in zip(self.held, logits, strict=True):
            view = held[place]
            if view.dtype == torch.float32:
                view.lerp_(one.float(), share)
            else:
                view.copy_(torch.lerp(view.float(), one.float(), share))

    def shift(self, by: int, used: int) -> None:
        """Move rows `by`..`used` to the front, in place, and empty what follows."""
        for array in (self.held, self._weight[None]):
            for start in range(by, used, by):
                stop = min(start + by, used)
                array[:, start - by : stop - by] = array[:, start:stop]
            array[:, used - by :] = 0


def _held_as(computed: torch.dtype) -> torch.dtype:
    return torch.float32 if computed == torch.float32 else torch.float16
