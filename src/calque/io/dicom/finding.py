"""From files to stacks, by their headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calque.errors import InputError
from calque.io.dicom.model import Found, Stack
from calque.progress import SILENT, Progress


def find_stacks(paths: Path | str | Sequence[Path | str], *, progress: Progress = SILENT) -> Found:
    """The volumes and pictures of a folder (recursive), a zip, a file or several files.

    Only headers are read. Files that are no DICOM are passed over, so are objects without pixels of a scan:
    SEG, RTSTRUCT, SR, presentation states. What cannot be read without being wrong is in `refused`.

    Raises:
        ReadError: a path does not exist, or a zip is damaged or holds what it should not.
        MissingExtraError: pydicom is not installed (extra `dicom`).
    """
    progress.say("")
    raise InputError("DICOM series are not read yet", where=paths)


def choose_stack(found: Found, wanted: str | None = None, where: object = None) -> Stack:
    """The stack that is wanted: the only one, or that of a series UID, a series number or "UID/stack name".

    Raises:
        InputError: there are several and none is wanted (they are listed), or none is what is wanted.
        CalqueError: the only series was refused: its own error.
    """
    raise InputError("DICOM series are not read yet", where=where, got=(wanted, found))
