"""What a stage before saw, as the network sees it: a channel of zeros and ones for each class.

It comes as class numbers, one channel whatever the number of classes, and is spread out within the network:
windows, engines and stores carry one channel more, and memory does not grow with the classes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def spread(x: Tensor, classes: int) -> Tensor:
    """(b, c + 1, z, y, x), class numbers last -> (b, c + classes, z, y, x), background left out.

    With no `classes` there is no such channel, and `x` stays as it is.
    """
    if classes == 0:
        return x
    numbers = torch.arange(1, classes + 1, dtype=x.dtype, device=x.device).view(1, -1, 1, 1, 1)
    return torch.cat((x[:, :-1], ((x[:, -1:] - numbers).abs() < 0.5).to(x.dtype)), 1)
