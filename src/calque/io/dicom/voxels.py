"""From a stack to its voxels."""

from __future__ import annotations

from calque.errors import InputError
from calque.image import Image
from calque.io.dicom.model import Stack


def read_stack(stack: Stack, *, suv: bool = True) -> Image:
    """(1 or 3 channels, z, y, x) on `stack.grid`, each slice rescaled by its own slope and intercept.

    int16 where the values are whole and fit, uint8 for colours of 8 bits, else float32.

    Args:
        stack: of `find_stacks`.
        suv: PET as standardised uptake values by body weight; False: as stored, rescaled.

    Raises:
        ReadError: pixel data are damaged, truncated (TruncatedError) or of another size than announced.
        InputError: PET without what SUV needs.
        MissingExtraError: a decoder is not installed (extra `dicom`).
    """
    raise InputError("DICOM series are not read yet", got=(stack.series.uid, suv))
