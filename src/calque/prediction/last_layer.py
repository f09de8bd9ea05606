"""The last layer of networks, a linear map of each voxel, apart from the rest.

Windows, folds and mirrorings are averaged, and weighted means and linear interpolation commute with a linear
map. So where a network has more classes than features (118 against 32, say), features are averaged and
resampled, and become logits where a label is decided: memory does not grow with the number of classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from calque.errors import ModelError
from calque.heads import Decoder
from calque.nets import NetworkConfig, is_unet
from calque.nets.unet import UNet
from calque.prediction.options import Precision

_BLOCK = 2**15  # voxels: their logits stay in the processor's cache


@dataclass(frozen=True, eq=False)
class LastLayer:
    """Features of all networks of an ensemble, one after the other, to the mean of their logits.

    Args:
        weight: (k, f).
        bias: (k,).
        members: the networks' own, where there are several.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    members: tuple[LastLayer, ...] = ()

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """(f, ...) to logits (k, ...)."""
        flat = torch.addmm(self.bias[:, None], self.weight, features.flatten(1).float())
        return flat.reshape(-1, *features.shape[1:])

    def apart(self, features: torch.Tensor) -> Iterator[tuple[torch.Tensor, LastLayer]]:
        """Each network's share of features (f, ...), and its last layer; nothing where there is but one."""
        start = 0
        for member in self.members:
            stop = start + int(member.weight.shape[1])
            yield features[start:stop], member
            start = stop


class Ensemble(nn.Module):
    """Networks as one: (b, c, z, y, x) to the mean of their finest logits (b, k, z, y, x), float32.

    Args:
        networks: an ensemble.
        split: whether to give features instead, (b, f, z, y, x), one network's after the other's.
    """

    def __init__(self, networks: Sequence[nn.Module], split: bool = False) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.split = split

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        if self.split:
            found = [network.features(x).float() for network in self.networks]  # type: ignore[operator]
            return torch.cat(found, 1) if len(found) > 1 else found[0]
        mean: torch.Tensor = self.networks[0](x)[0].float()
        for network in list(self.networks)[1:]:
            mean = mean + network(x)[0].float()
        return mean / len(self.networks) if len(self.networks) > 1 else mean


def carried(config: NetworkConfig, members: int, precision: Precision, folds: bool = False) -> int | None:
    """Features per voxel of an ensemble where the last layer is left out of engines, else None.

    It is where features are fewer than outputs. With bf16 also where they are not more than twice as many:
    they are held in two bytes, and logits in four. And where `folds` must be told apart.
    """
    features = config.features[0] * members
    few = features < config.outputs or (precision == "bf16" and features <= 2 * config.outputs)
    return features if is_unet(config) and (few or (folds and members > 1)) else None


def has_last_layer(networks: Sequence[nn.Module]) -> bool:
    """Whether the last layer of all of them can be taken apart."""
    return all(isinstance(network, UNet) for network in networks)


@runtime_checkable
class Heads(Protocol):
    """Networks that are made when they are looked at, and whose last layers can be had without."""

    def heads(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weights (k, f) and biases (k,) of each."""
        ...


def last_layer_of(networks: Sequence[nn.Module]) -> LastLayer:
    """The heads of an ensemble as one.

    Raises:
        ModelError: a network has no last that could be taken off.
    """
    if isinstance(networks, Heads):
        parts = networks.heads()
    elif has_last_layer(networks):
        parts = [network.head for network in networks if isinstance(network, UNet)]
    else:
        raise ModelError("The last layer of this network cannot be taken apart", expected="a U-Net")
    own = tuple(LastLayer(w.detach().float().cpu(), b.detach().float().cpu()) for w, b in parts)
    weight = torch.cat([one.weight for one in own], 1) / len(own)
    bias = torch.stack([one.bias for one in own]).mean(0)
    return LastLayer(weight.contiguous(), bias, own if len(own) > 1 else ())


def logits_of(array: NDArray[np.float32], last: LastLayer | None) -> NDArray[np.float32]:
    """(c, ...) as slabs carry them, to logits (k, ...)."""
    return array if last is None else np.asarray(last(torch.from_numpy(array)).numpy())


def winners(array: torch.Tensor, decoder: Decoder, last: LastLayer | None = None) -> torch.Tensor:
    """The output that decides a voxel's class; `decoder.decisions` says which class that is.

    Args:
        array: (c, ...) as slabs carry them.
        decoder: classes: the largest output, the first of equals; regions: 1 + the last one above 0, or 0.
        last: makes logits of them.

    Returns:
        (...): uint8, or int32 for many outputs. Ten times as fast as an argmax across planes.
    """
    flat, outputs = array.flatten(1), decoder.outputs
    kind = torch.uint8 if outputs < 255 else torch.int32
    upwards = torch.arange(1, outputs + 1, dtype=kind)[:, None]
    result = torch.empty(flat.shape[1], dtype=kind)
    for start in range(0, flat.shape[1], _BLOCK):
        block = flat[:, start : start + _BLOCK]
        block = block if last is None else last(block)
        if decoder.heads:
            result[start : start + _BLOCK] = ((block > 0) * upwards).amax(0)
        elif block.stride(0) == 1:  # voxel by voxel: the first of equals is torch's own promise
            result[start : start + _BLOCK] = block.max(0).indices
        else:
            result[start : start + _BLOCK] = outputs - ((block == block.amax(0)) * upwards.flip(0)).amax(0)
    return result.reshape(array.shape[1:])


def classes_of(array: torch.Tensor, decoder: Decoder, last: LastLayer | None = None) -> NDArray[np.integer]:
    """Class numbers (...), uint8 or int32, of (c, ...) as slabs carry them; as `Decoder.decide`."""
    found = np.asarray(winners(array, decoder, last).numpy())
    return np.array(decoder.decisions, found.dtype)[found] if decoder.heads else found
