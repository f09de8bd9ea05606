"""Which format reads and writes which suffix."""

from __future__ import annotations

from pathlib import Path

from calque.errors import InputError, ReadError
from calque.io import itk, nifti, numpy_files, picture, tiff
from calque.io.dicom import source
from calque.io.model import Format

NIFTI = Format("NIfTI", nifti.read, nifti.read_header, nifti.write)
PNG = Format(
    "PNG",
    picture.read,
    picture.read_header,
    picture.write,
    picture.read_mask,
    picture.write_mask,
    picture=True,
)
JPEG = Format("JPEG", picture.read, picture.read_header, read_mask=picture.read_mask, picture=True)
BMP = Format("BMP", picture.read, picture.read_header, read_mask=picture.read_mask, picture=True)
TIFF = Format("TIFF", tiff.read, tiff.read_header, tiff.write, tiff.read_mask, picture=True)
META = Format("MetaImage", itk.read, itk.read_header, itk.write)
META_PAIR = Format("MetaImage", itk.read, itk.read_header)
NRRD = Format("NRRD", itk.read, itk.read_header, itk.write)
NPZ = Format("NumPy archive", numpy_files.read, numpy_files.read_header, numpy_files.write)
NPY = Format("NumPy array", numpy_files.read, numpy_files.read_header)

DICOM = Format("DICOM", source.read, source.read_header)
"""Told by content, not by suffix: folders, zips and files with any name; see `calque.io.dicom.source`."""

FORMATS: dict[str, Format] = {
    ".nii.gz": NIFTI,
    ".nii": NIFTI,
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".bmp": BMP,
    ".tif": TIFF,
    ".tiff": TIFF,
    ".mha": META,
    ".mhd": META_PAIR,
    ".nrrd": NRRD,
    ".npz": NPZ,
    ".npy": NPY,
}
"""Suffix, in lower case -> format."""


def suffix_of(path: Path) -> str | None:
    """The longest known suffix of this name, as in `FORMATS`; None for an unknown or a hidden file."""
    name = path.name.lower()
    fitting = [suffix for suffix in FORMATS if name.endswith(suffix) and not name.startswith(".")]
    return max(fitting, key=len, default=None)


def stem_of(path: Path) -> str:
    """The name without its known suffix: "a.b.nii.gz" is "a.b". For DICOM see `Source.name`."""
    if suffix_of(path) is None:
        found = source.as_source(path)
        return source.without_suffix(path.name) if found is None else found.name
    return path.name.removesuffix(path.name[len(path.name) - len(suffix_of(path) or "") :])


def format_of(path: Path) -> Format:
    """The format of this file's name, or DICOM where that is what is there.

    Raises:
        ReadError: the suffix is unknown.
    """
    name = path.name.lower()
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if name.endswith(suffix):
            return FORMATS[suffix]
    if source.as_source(path) is not None:
        return DICOM
    if name.endswith(source.SUFFIXES) and not path.exists():
        raise ReadError("There is no such file", where=path)
    raise ReadError(
        "The suffix of this file is unknown",
        where=path,
        expected=f"DICOM, or {', '.join(FORMATS)}",
        got=path.suffix or "none",
    )


MASK_FORMATS: dict[str, str | None] = {
    "auto": None,
    "nifti": ".nii.gz",
    "png": ".png",
    "tiff": ".tif",
    "mha": ".mha",
    "nrrd": ".nrrd",
    "dicom-seg": ".seg.dcm",
    "dicom-labelmap": ".labelmap.dcm",
    "rtstruct": ".rtstruct.dcm",
}
"""Name -> suffix of label maps; None: pictures as pictures, volumes as NIfTI."""


def mask_suffix(scan: Path, wanted: str = "auto") -> str:
    """In which format the label map of this scan is written.

    Raises:
        InputError: `wanted` is not in `MASK_FORMATS`.
    """
    if wanted not in MASK_FORMATS:
        raise InputError(
            "There is no such format of label maps", got=wanted, expected=", ".join(MASK_FORMATS)
        )
    chosen, suffix = MASK_FORMATS[wanted], suffix_of(scan)
    if chosen is not None:
        return chosen
    if suffix is None or not FORMATS[suffix].picture:
        return ".nii.gz"
    return suffix if FORMATS[suffix] is TIFF else ".png"
