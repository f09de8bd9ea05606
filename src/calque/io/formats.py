"""Which format reads and writes which suffix."""

from __future__ import annotations

from pathlib import Path

from calque.errors import ReadError
from calque.io import nifti
from calque.io.model import Format

NIFTI = Format("NIfTI", nifti.read, nifti.read_header, nifti.write)

FORMATS: dict[str, Format] = {
    ".nii.gz": NIFTI,
    ".nii": NIFTI,
}
"""Suffix, in lower case -> format."""


def suffix_of(path: Path) -> str | None:
    """The longest known suffix of this name, as in `FORMATS`; None for an unknown or a hidden file."""
    name = path.name.lower()
    fitting = [suffix for suffix in FORMATS if name.endswith(suffix) and not name.startswith(".")]
    return max(fitting, key=len, default=None)


def stem_of(path: Path) -> str:
    """The name without its known suffix: "a.b.nii.gz" is "a.b"."""
    return path.name.removesuffix(path.name[len(path.name) - len(suffix_of(path) or "") :])


def format_of(path: Path) -> Format:
    """The format of this file's name.

    Raises:
        ReadError: the suffix is unknown.
    """
    name = path.name.lower()
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if name.endswith(suffix):
            return FORMATS[suffix]
    raise ReadError(
        "The suffix of this file is unknown",
        where=path,
        expected=", ".join(FORMATS),
        got=path.suffix or "none",
    )
