"""A folder of DICOM files, cleaned into another one; the originals are only read."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from calque.deidentification.profile import Cleaner, DeidOptions, Retain
from calque.deidentification.pseudonyms import Pseudonyms
from calque.errors import InputError, MissingExtraError, ReadError
from calque.io.atomic import write_bytes_atomic, write_text_atomic
from calque.io.dicom.raw import quiet
from calque.parallel import map_bounded
from calque.progress import SILENT, Progress
from calque.value import Value

if TYPE_CHECKING:
    from pydicom import Dataset

REPORT = "deidentification.json"


class DeidFailure(Value):
    """A file that was not cleaned: nothing of it is in the output."""

    file: Path
    error: str


class DeidReport(Value):
    """What became of a folder.

    Args:
        profile: what was applied.
        retain: the options.
        patients: how many.
        studies: how many.
        series: how many.
        written: how many instances.
        failed: files that were left out; with their paths, so not written beside the output.
        skipped: files that are no DICOM.
    """

    profile: str = "DICOM PS3.15 basic application level confidentiality profile, table 2026c"
    retain: tuple[Retain, ...]
    patients: int
    studies: int
    series: int
    written: int
    failed: tuple[DeidFailure, ...] = ()
    skipped: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Written:
    patient: str
    study: str
    series: str


def deidentify(
    folder: Path | str,
    output: Path | str,
    pseudonyms: Pseudonyms,
    options: DeidOptions | None = None,
    *,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> DeidReport:
    """Clean every DICOM file below `folder` into `output`/PATIENT/STUDY/SERIES/INSTANCE.dcm, all names new.

    UIDs are replaced consistently over all runs with the same salt, so that SEG, RTSTRUCT and SR still refer
    to their images. Pixels are copied as they are encoded.

    Raises:
        ReadError: there is no such folder.
        InputError: the output lies in the folder, or holds it.
        MissingExtraError: pydicom or dicom-anonymizer is not installed (extra `dicom`).
    """
    folder, output, options = Path(folder), Path(output), options or DeidOptions()
    _require_apart(folder, output)
    cleaner = Cleaner(pseudonyms, options)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    done: list[_Written] = []
    failed: list[DeidFailure] = []
    skipped: list[Path] = []
    with quiet(), progress.task("de-identify", len(files)) as task:
        for outcome in map_bounded(lambda file: _one(file, output, cleaner), files, workers):
            task.advance()
            if isinstance(outcome.error, MissingExtraError):
                raise outcome.error
            if outcome.error is not None:
                failed.append(DeidFailure(file=outcome.item, error=str(outcome.error)))
            elif outcome.value is None:
                skipped.append(outcome.item)
            else:
                done.append(outcome.value)
    report = DeidReport(
        retain=options.retain,
        patients=len({one.patient for one in done}),
        studies=len({one.study for one in done}),
        series=len({one.series for one in done}),
        written=len(done),
        failed=tuple(failed),
        skipped=tuple(skipped),
    )
    shown = report.model_copy(update={"failed": (), "skipped": ()})  # originals' paths may hold names
    write_text_atomic(output / REPORT, shown.to_json())
    return report


def _require_apart(folder: Path, output: Path) -> None:
    if not folder.is_dir():
        raise ReadError("There is no such folder", where=folder)
    one, other = folder.resolve(), output.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise InputError(
            "The output must lie apart from the originals", where=output, fix="choose another folder"
        )


def _one(file: Path, output: Path, cleaner: Cleaner) -> _Written | None:
    """Clean one file; None if it is no DICOM."""
    data = _read(file)
    if data is None:
        return None
    cleaner.clean(data)
    done = _Written(str(data.PatientID), _uid(data, "StudyInstanceUID"), _uid(data, "SeriesInstanceUID"))
    name = f"{_uid(data, 'SOPInstanceUID')}.dcm"
    write_bytes_atomic(output / done.patient / done.study / done.series / name, _encoded(data))
    return done


def _read(file: Path) -> Dataset | None:
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ImportError:
        raise MissingExtraError("pydicom", "dicom") from None
    try:
        data = pydicom.dcmread(file)
        for _ in data.iterall():  # what cannot be parsed is found now, not when half is cleaned
            pass
    except InvalidDicomError:
        return None
    except Exception as problem:  # pydicom raises many kinds on damaged files, and quotes what they hold
        raise ReadError("The file cannot be parsed", got=type(problem).__name__) from None
    if data.file_meta.get("MediaStorageSOPClassUID") == "1.2.840.10008.1.3.10":
        return None  # a DICOMDIR: an index of files under their old names
    return data


def _uid(data: Dataset, name: str) -> str:
    uid = str(data.get(name, "") or "")
    if not uid:
        raise ReadError("The file has no identity", expected=name)
    return uid


def _encoded(data: Dataset) -> bytes:
    """PS3.10, with a preamble and file meta information that say nothing of where it comes from."""
    from pydicom.dataset import FileMetaDataset

    old, meta = data.file_meta, FileMetaDataset()
    meta.TransferSyntaxUID = old.TransferSyntaxUID
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta, data.preamble = meta, bytes(128)
    buffer = BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
