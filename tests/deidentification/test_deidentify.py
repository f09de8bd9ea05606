"""No identifier is left in the bytes; what refers to what, geometry and pixels stay."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from calque.cli.app import run
from calque.deidentification import DeidOptions, Pseudonyms, deidentify, read_salt
from calque.errors import InputError, ReadError

from ..support.dicom_series import uid, write_series

SALT = Pseudonyms(b"a secret of this test, 32 bytes.")
SECRETS = (
    b"Dubois",
    b"DUBOIS",
    b"Celestine",
    b"HOSP-4711",
    b"ACC-99812",
    b"19480229",
    b"20251103",
    b"101517",
)
SECRETS += (b"Grandville", b"Praetorius")


def personal(data: Dataset, k: int) -> None:
    """Identifiers in every kind of place."""
    data.preamble = b"Dubois".ljust(128, b"\0")
    data.file_meta.SourceApplicationEntityTitle = "Grandville"
    data.PatientName, data.PatientID = "Dubois^Celestine", "HOSP-4711"
    data.PatientBirthDate, data.PatientAge, data.PatientWeight = "19480229", "077Y", 61.5
    data.AccessionNumber, data.StudyID = "ACC-99812", "ACC-99812"
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = "20251103"
    data.StudyTime = data.ContentTime = "101517"
    data.AcquisitionDateTime = "20251103101517"
    data.InstitutionName, data.ReferringPhysicianName = "Grandville Clinic", "Praetorius^A"
    data.SeriesDescription = "thorax of Dubois"
    data.RequestedContrastAgent = "as Dr Praetorius wishes"
    data.add_new(0x00091001, "LO", "private: Dubois")
    data.add_new(0x00090010, "LO", "SOMEBODY 1.0")
    data.add_new(0x60000010, "US", 4)
    data.add_new(0x60000022, "LO", "Dubois")
    data.private_block(0x0041, "SOMEBODY 2.0", create=True).add_new(1, "PN", "Dubois^Celestine")
    reference, request = Dataset(), Dataset()
    reference.ReferencedSOPClassUID = data.SOPClassUID
    reference.ReferencedSOPInstanceUID = uid("series", "instance", 1)
    reference.add_new(0x00091001, "LO", "private: Dubois")
    data.SourceImageSequence = [reference]
    request.ScheduledProcedureStepDescription = "Dubois, thorax"
    data.RequestAttributesSequence = [request]
    step = Dataset()
    step.PerformedProcedureStepStartDate = "20251103"
    step.PerformedProtocolCodeSequence = [Dataset()]
    step.PerformedProtocolCodeSequence[0].OperatorsName = "Praetorius^B"
    data.PerformedProtocolCodeSequence = [step]


def structures(path: Path) -> None:
    """What refers to the series, as a structure set does."""
    data = pydicom.dcmread(sorted(path.parent.glob("*.dcm"))[0])
    refers = Dataset()
    refers.SeriesInstanceUID = data.SeriesInstanceUID
    refers.ContourImageSequence = [Dataset()]
    refers.ContourImageSequence[0].ReferencedSOPInstanceUID = data.SOPInstanceUID
    refers.ContourImageSequence[0].ReferencedSOPClassUID = data.SOPClassUID
    frame = Dataset()
    frame.FrameOfReferenceUID = data.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [refers]
    roi = Dataset()
    roi.ROIName, roi.ROINumber = "liver", 1
    for name in ("PixelData", "Rows", "Columns"):
        del data[name]
    data.Modality, data.SOPClassUID = "RTSTRUCT", "1.2.840.10008.5.1.4.1.1.481.3"
    data.SOPInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.ReferencedFrameOfReferenceSequence = [frame]
    data.StructureSetROISequence = [roi]
    data.save_as(path)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "Dubois"
    write_series(folder / "ct", edit=personal)
    structures(folder / "ct" / "structures.dcm")
    (folder / "notes.txt").write_text("Dubois")
    return folder


def cleaned(folder: Path) -> dict[str, list[Dataset]]:
    found: dict[str, list[Dataset]] = {}
    for file in sorted(folder.rglob("*.dcm")):
        data = pydicom.dcmread(file)
        found.setdefault(data.Modality, []).append(data)
    return found


def test_no_identifier_is_left_anywhere(scans: Path, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in scans.rglob("*") if file.is_file()}
    report = deidentify(scans, tmp_path / "out", SALT)
    assert (report.written, report.series, report.studies, report.patients) == (7, 2, 1, 1)
    assert not report.failed
    assert [path.name for path in report.skipped] == ["notes.txt"]
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    originals = {uid("study"), uid("series"), uid("frame of reference")} | {
        uid("series", "instance", k) for k in range(1, 7)
    }
    for file in written:
        content = file.read_bytes()
        for secret in (*SECRETS, *(one.encode() for one in originals)):
            assert secret not in content, (file.name, secret)
            assert secret.decode() not in str(file.relative_to(tmp_path))
    assert {file: file.read_bytes() for file in before} == before


def test_references_geometry_and_pixels_stay(scans: Path, tmp_path: Path) -> None:
    deidentify(scans, tmp_path / "out", SALT)
    found = cleaned(tmp_path / "out")
    originals = {
        int(data.InstanceNumber): data
        for data in (pydicom.dcmread(f) for f in sorted((scans / "ct").glob("series-*.dcm")))
    }
    uids = {}
    for data in found["CT"]:
        original = originals[int(data.InstanceNumber)]
        uids[original.SOPInstanceUID] = data.SOPInstanceUID
        assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
        assert data.PixelData == original.PixelData
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleIntercept"):
            assert data[name].value == original[name].value
        assert data.SOPClassUID == original.SOPClassUID
        assert data.SourceImageSequence[0].ReferencedSOPInstanceUID == SALT.uid(uid("series", "instance", 1))
        assert data.PatientIdentityRemoved == "YES"
        assert not any(element.tag.is_private for element in data.iterall())
    structure = found["RTSTRUCT"][0]
    frame = structure.ReferencedFrameOfReferenceSequence[0]
    series = frame.RTReferencedStudySequence[0]
    assert frame.FrameOfReferenceUID == found["CT"][0].FrameOfReferenceUID
    assert series.SeriesInstanceUID == found["CT"][0].SeriesInstanceUID
    assert series.ContourImageSequence[0].ReferencedSOPInstanceUID == uids[uid("series", "instance", 1)]
    assert series.ContourImageSequence[0].ReferencedSOPClassUID == found["CT"][0].SOPClassUID
    assert len(set(uids.values())) == 6


def test_the_same_salt_gives_the_same_pseudonyms(scans: Path, tmp_path: Path) -> None:
    deidentify(scans, tmp_path / "one", SALT)
    deidentify(scans, tmp_path / "two", SALT, workers=1)
    deidentify(scans, tmp_path / "three", Pseudonyms(b"another secret"))
    names = [sorted(str(f.relative_to(tmp_path / n)) for f in (tmp_path / n).rglob("*.dcm"))
             for n in ("one", "two", "three")]  # fmt: skip
    assert names[0] == names[1]
    assert not set(names[0]) & set(names[2])


def test_what_may_be_kept(scans: Path, tmp_path: Path) -> None:
    options = DeidOptions(retain=("dates", "characteristics"))
    deidentify(scans, tmp_path / "out", SALT, options)
    data = cleaned(tmp_path / "out")["CT"][0]
    assert (data.PatientAge, data.PatientWeight) == ("077Y", 61.5)
    assert data.PatientBirthDate in ("", None)
    assert data.StudyDate == data.SeriesDate == SALT.shift("20251103", "\0HOSP-4711") != "20251103"
    assert data.StudyTime == "101517"
    assert data.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [item.CodeValue for item in data.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113107", "113108"]


def test_a_description_that_names_the_patient_is_not_kept(scans: Path, tmp_path: Path) -> None:
    report = deidentify(scans, tmp_path / "out", SALT, DeidOptions(retain=("descriptors",)))
    assert report.written == 0
    assert len(report.failed) == 7
    assert all("SeriesDescription" in one.error and "Dubois" not in one.error for one in report.failed)


def test_names_of_structures_may_be_kept(tmp_path: Path) -> None:
    write_series(tmp_path / "in")
    structures(tmp_path / "in" / "structures.dcm")
    deidentify(tmp_path / "in", tmp_path / "out", SALT, DeidOptions(retain=("descriptors",)))
    found = cleaned(tmp_path / "out")
    assert found["RTSTRUCT"][0].StructureSetROISequence[0].ROIName == "liver"
    assert found["CT"][0].SeriesDescription == "synthetic series"
    deidentify(tmp_path / "in", tmp_path / "bare", SALT)
    assert not cleaned(tmp_path / "bare")["RTSTRUCT"][0].StructureSetROISequence[0].ROIName


@pytest.mark.parametrize(
    ("modality", "annotation", "refused"),
    [("CT", "YES", True), ("CT", None, False), ("US", None, True), ("US", "NO", False), ("OT", None, True)],
)
def test_pictures_that_may_show_names(
    tmp_path: Path, modality: str, annotation: str | None, refused: bool
) -> None:
    def burn(data: Dataset, k: int) -> None:
        if annotation is not None:
            data.BurnedInAnnotation = annotation

    write_series(tmp_path / "in", modality=modality, edit=burn)
    report = deidentify(tmp_path / "in", tmp_path / "out", SALT)
    assert (report.written, len(report.failed)) == ((0, 6) if refused else (6, 0))
    checked = deidentify(tmp_path / "in", tmp_path / "checked", SALT, DeidOptions(pixels_checked=True))
    assert checked.written == 6


def test_values_that_are_too_long_are_no_news(tmp_path: Path) -> None:
    """A scanner wrote them; pydicom's warning, which is an error here, would reach the terminal."""

    def long(data: Dataset, _: int) -> None:
        data.add(DataElement("ConvolutionKernel", "SH", "a kernel with a long name", validation_mode=0))

    write_series(tmp_path / "in", edit=long)
    assert deidentify(tmp_path / "in", tmp_path / "out", SALT).failed == ()


def test_damaged_files_are_listed_and_the_others_are_done(tmp_path: Path) -> None:
    files = write_series(tmp_path / "in")
    files[0].write_bytes(files[0].read_bytes()[:700])
    report = deidentify(tmp_path / "in", tmp_path / "out", SALT)
    assert [one.file for one in report.failed] == [files[0]]
    assert report.written == 5


def test_the_output_lies_apart(tmp_path: Path) -> None:
    write_series(tmp_path / "in")
    for output in (tmp_path / "in", tmp_path / "in" / "out", tmp_path):
        with pytest.raises(InputError, match="apart"):
            deidentify(tmp_path / "in", output, SALT)
    with pytest.raises(ReadError, match="no such folder"):
        deidentify(tmp_path / "nowhere", tmp_path / "out", SALT)


def test_a_salt_is_made_once_and_kept(tmp_path: Path) -> None:
    salt, new = read_salt(tmp_path / "salt")
    assert new
    assert (tmp_path / "salt").stat().st_mode & 0o077 == 0
    assert read_salt(tmp_path / "salt") == (salt, False)
    (tmp_path / "salt").write_text("pepper")
    with pytest.raises(InputError, match="no salt"):
        read_salt(tmp_path / "salt")


def test_the_verb(scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["deidentify", str(scans), "-o", str(tmp_path / "out"), "--json", "-"]
    assert run([*call, "--retain", "dates"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["written"] == 7
    assert "a new salt" in streams.err
    assert (tmp_path / "out.salt").is_file()
    assert run([*call, "--retain", "names"]) == 2
    assert "retain" in capsys.readouterr().err


def test_a_validator_finds_no_new_errors(tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy of dicom3tools is not installed")
    write_series(tmp_path / "in", edit=personal, keep=[0])
    deidentify(tmp_path / "in", tmp_path / "out", SALT)
    original = next((tmp_path / "in").rglob("*.dcm"))
    assert errors(next((tmp_path / "out").rglob("*.dcm"))) <= errors(original)


@pytest.mark.data
def test_real_series_and_their_segmentations(data_root: Path, tmp_path: Path) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy of dicom3tools is not installed")
    source = tmp_path / "in"
    for file in sorted((data_root / "lung-ct-dicom").rglob("*.dcm"))[::40]:
        shutil.copy(file, _made(source / file.parent.name) / file.name)
    report = deidentify(source, tmp_path / "out", SALT, DeidOptions(retain=("descriptors",)))
    assert not report.failed
    assert report.written
    before = {SALT.uid(data.SOPInstanceUID): (data, file) for data, file in read_all(source)}
    for data, file in read_all(tmp_path / "out"):
        original, place = before[data.SOPInstanceUID]
        if "PixelData" in data:
            np.testing.assert_array_equal(data.pixel_array, original.pixel_array)
        assert errors(file) <= errors(place)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def read_all(folder: Path) -> list[tuple[Dataset, Path]]:
    return [(pydicom.dcmread(file), file) for file in sorted(folder.rglob("*.dcm"))]


def errors(file: Path) -> set[str]:
    done = subprocess.run(["dciodvfy", "-new", str(file)], check=False, capture_output=True, text=True)
    return {line.split("=", 1)[0] for line in done.stderr.splitlines() if line.startswith("Error")}
