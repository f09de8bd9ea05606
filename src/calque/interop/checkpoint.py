"""nnU-Net's checkpoints, read without running what is in them.

A checkpoint is a pickle, and a pickle is a program. torch's restricted unpickler runs none of it: it knows
tensors and plain containers and refuses every other name. nnU-Net also stores numpy scalars (losses, Dice);
for these it is given two stand-ins below, so that not even numpy's own unpickling code is reached.
"""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.serialization import safe_globals

from calque.errors import ModelError, ReadError


class _Type:
    """Stands in for numpy.dtype: a code such as "f8", and the byte order that is set afterwards."""

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.order = str(code), "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


_FORMATS = {
    "f2": "e", "f4": "f", "f8": "d", "b1": "?",
    "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
}  # fmt: skip


def _scalar(kind: _Type, data: bytes) -> float | int | bool:
    """Stands in for numpy's scalar: plain numbers only."""
    if not isinstance(kind, _Type) or kind.code not in _FORMATS or not isinstance(data, bytes):
        raise pickle.UnpicklingError("a numpy scalar that is no plain number")
    value: float | int | bool = struct.unpack(kind.order + _FORMATS[kind.code], data)[0]
    return value


_STAND_INS: list[Any] = [
    (_Type, "numpy.dtype"),
    (_scalar, "numpy._core.multiarray.scalar"),
    (_scalar, "numpy.core.multiarray.scalar"),
]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What an import needs of a checkpoint.

    Args:
        weights: parameter name -> tensor, as nnU-Net names them.
        configuration: such as "3d_fullres".
        trainer: the class that trained it.
        mirror_axes: along which spatial axes of the network mirroring was part of training; empty for none.
        epoch: epochs trained.
    """

    weights: dict[str, Tensor]
    configuration: str
    trainer: str
    mirror_axes: tuple[int, ...]
    epoch: int


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint that nnU-Net v2 wrote.

    Raises:
        ReadError: the file is missing, damaged or truncated.
        ModelError: it holds something other than numbers and names, or is no checkpoint of nnU-Net v2.
    """
    _require_whole(path)
    try:
        with safe_globals(_STAND_INS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickles that it then refuses or reads
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        raise _refused(path, str(problem)) from None
    except MemoryError:
        raise
    except Exception as problem:  # a pickle that makes no sense may raise anything
        raise ModelError("This checkpoint is malformed", where=path, got=_first_line(problem)) from None
    return _understood(content, path)


def _require_whole(path: Path) -> None:
    """A zip whose checksums agree: torch writes them, and does not look at them when it reads."""
    try:
        with zipfile.ZipFile(path) as archive:  # other forms, older than torch 1.6, are not even opened
            bad = archive.testzip()
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        OverflowError,
        zlib.error,
    ) as problem:
        raise ReadError(
            "This checkpoint is missing, damaged or not written by nnU-Net v2", where=path, got=problem
        ) from None
    if bad is not None:
        raise ReadError("This checkpoint is damaged", where=path, got=f"the checksum of {bad} is wrong")


def _refused(path: Path, message: str) -> ModelError:
    names = re.findall(r"(?:GLOBAL|global|class) ['\"`]?([\w.]+)", message)
    return ModelError(
        "This checkpoint holds more than numbers and names, and was refused; nothing in it was run",
        where=path,
        expected="tensors, numbers, text and containers",
        got=names[0] if names else _first_line(message),
        fix="do not load it by other means unless you trust its source",
    )


def _first_line(problem: object) -> str:
    return str(problem).strip().partition("\n")[0][:200] or type(problem).__name__


def _understood(content: object, path: Path) -> Checkpoint:
    fields = content if isinstance(content, dict) else {}
    weights, init = fields.get("network_weights"), fields.get("init_args")
    if not isinstance(weights, dict) or not isinstance(init, dict):
        raise ModelError(
            "This is not a checkpoint of nnU-Net v2",
            where=path,
            expected="network_weights and init_args",
            got=sorted(map(str, fields)) or type(content).__name__,
            fix="models of nnU-Net v1 must be trained again with v2",
        )
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in weights.items()):
        raise ModelError("The weights of this checkpoint are not tensors by name", where=path)
    axes = fields.get("inference_allowed_mirroring_axes") or ()
    epoch = fields.get("current_epoch")
    return Checkpoint(
        dict(weights),
        str(init.get("configuration", "")),
        str(fields.get("trainer_name", "")),
        tuple(int(axis) for axis in axes),
        epoch if isinstance(epoch, int) else 0,
    )
