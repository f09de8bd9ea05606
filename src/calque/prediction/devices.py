"""Where torch computes: the processor, or a GPU of one kind or the other."""

from __future__ import annotations

import torch

from calque.errors import InputError
from calque.planning.machine import Machine, fast_bf16, find_machine
from calque.prediction.options import DeviceName


def find_device(wanted: DeviceName = "auto") -> torch.device:
    """The device of that name; "auto" is a CUDA GPU where there is one, else the processor.

    Apple's (MPS) is taken by name alone: nobody has measured there yet what Calque computes.

    Raises:
        InputError: there is none here.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return torch.device("cuda" if there["cuda"] else "cpu")
    if not there[wanted]:
        raise InputError(
            "There is no such device on this machine, or this torch was not built for it",
            expected=["auto", *(name for name, found in there.items() if found)],
            got=wanted,
            fix="leave --device out",
        )
    return torch.device(wanted)


def computes_in_bf16(device: DeviceName = "auto") -> bool:
    """Whether products in bfloat16 run in hardware there; torch's 3-D upsampling on MPS takes f32 alone."""
    if device == "mps":
        return False
    return fast_bf16(Machine("cpu", "") if device == "cpu" else find_machine())
