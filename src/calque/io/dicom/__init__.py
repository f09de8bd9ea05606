"""DICOM: series of slices to images, strictly. pydicom (extra `dicom`) is imported when something is read."""

from calque.io.dicom.finding import choose_stack, find_stacks
from calque.io.dicom.model import Found, Refused, Series, Slice, Stack
from calque.io.dicom.voxels import read_stack

__all__ = [
    "Found",
    "Refused",
    "Series",
    "Slice",
    "Stack",
    "choose_stack",
    "find_stacks",
    "read_stack",
]
