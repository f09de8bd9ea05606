"""DICOM: series to images, strictly, and labels to DICOM objects. Needs the extra `dicom`."""

from calque.io.dicom.finding import choose_stack, find_stacks
from calque.io.dicom.model import Found, Refused, Series, Slice, Stack
from calque.io.dicom.voxels import read_stack
from calque.io.dicom.write_object import Identity, Written
from calque.io.dicom.write_overlay import write_overlay
from calque.io.dicom.write_rtstruct import write_rtstruct
from calque.io.dicom.write_seg import write_seg
from calque.io.dicom.write_sr import write_sr

__all__ = [
    "Found",
    "Identity",
    "Refused",
    "Series",
    "Slice",
    "Stack",
    "Written",
    "choose_stack",
    "find_stacks",
    "read_stack",
    "write_overlay",
    "write_rtstruct",
    "write_seg",
    "write_sr",
]
