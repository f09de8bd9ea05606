"""Pixels of every kind: compressed, coloured, signed, inverted, PET; right values or an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from tests.support.dicom_series import Edit, base_dataset, phantom, write_enhanced, write_series

from calque.errors import InputError, ReadError, TruncatedError
from calque.image import Image
from calque.io.dicom import Stack, choose_stack, find_stacks, read_stack

FACES = (8, 9)


def only(folder: Path) -> Image:
    return read_stack(choose_stack(find_stacks(folder)))


def colours() -> NDArray[np.uint8]:
    """(1, y, x, 3): smooth, so that lossy compression keeps it; no flip leaves it the same."""
    y, x = np.mgrid[:32, :34].astype(np.uint8)
    return np.stack((40 + 5 * y, 30 + 5 * x, 200 - 3 * y - 2 * x), axis=-1)[None]


def picture(folder: Path, edit: Edit | None = None, array: NDArray[np.uint8] | None = None) -> Path:
    """A photograph: colours, and nothing of a place in a patient."""

    def bare(data: Dataset, k: int) -> None:
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
            delattr(data, name)
        if edit is not None:
            edit(data, k)

    return write_series(folder, colours() if array is None else array, modality="XC", edit=bare)[0]


def compressed(syntax: str) -> Edit:
    return lambda data, k: data.compress(syntax, generate_instance_uid=False)


def rewritten(folder: Path, syntax: str) -> None:
    """Write native files again in another transfer syntax."""
    for path in folder.iterdir():
        data = dcmread(path)
        if syntax == ExplicitVRBigEndian:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
        data.file_meta.TransferSyntaxUID = syntax
        list(data.iterall())  # values are read before their bytes are turned
        dcmwrite(
            path,
            data,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != ExplicitVRBigEndian,
            force_encoding=True,
        )


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda s: s.name)
def test_compressed_series_are_those_that_are_not(tmp_path: Path, syntax: str) -> None:
    array = phantom((3, 40, 36))
    write_series(tmp_path, array, edit=compressed(syntax))
    np.testing.assert_array_equal(only(tmp_path).array[0], array)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda s: s.name,
)
def test_other_ways_to_write_a_series(tmp_path: Path, syntax: str) -> None:
    write_series(tmp_path)
    rewritten(tmp_path, syntax)
    np.testing.assert_array_equal(only(tmp_path).array[0], phantom())


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda s: s.name)
def test_compressed_files_cut_off_are_refused(tmp_path: Path, syntax: str) -> None:
    path = write_series(tmp_path, phantom((1, 64, 60)), edit=compressed(syntax))[0]
    content = path.read_bytes()
    for length in range(len(content) - 9, len(content) - 900, -97):
        path.write_bytes(content[:length])
        with pytest.raises(ReadError):
            only(tmp_path)


def test_a_compressed_frame_without_its_end_is_refused(tmp_path: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        data.compress(JPEGLSLossless, generate_instance_uid=False)
        whole = data.PixelData[16:].rsplit(b"\xff\xd9", 1)[0]
        data.PixelData = encapsulate([whole[: len(whole) // 4 * 2]])

    write_series(tmp_path, phantom((1, 64, 60)), edit=edit)
    with pytest.raises(TruncatedError, match="not whole"):
        only(tmp_path)


@pytest.mark.parametrize("kind", ["JPEG", "JPEG-LS", "JPEG 2000"])
def test_a_frame_of_another_size_than_announced_is_refused(tmp_path: Path, kind: str) -> None:
    def edit(data: Dataset, k: int) -> None:
        COLOURS[kind][0](data, k)
        data.Rows, data.Columns = data.Columns, data.Rows  # as many pixels: the decoder does not mind

    picture(tmp_path, edit)
    with pytest.raises(ReadError, match="another size"):
        only(tmp_path)


def test_jpeg_lossless_by_another_librarys_encoder(tmp_path: Path) -> None:
    gdcm = pytest.importorskip("gdcm")
    array = phantom((2, 40, 36))
    for path in write_series(tmp_path, array):
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
    np.testing.assert_array_equal(only(tmp_path).array[0], array)
    path = next(tmp_path.iterdir())
    content = path.read_bytes()
    tables = content.index(b"\xff\xc4", content.index(b"\xff\xd8"))
    for place, byte in ((1, 0x79), (3, 0xFF), (4, 0x09), (5, 0xFF), (21, 0x60)):
        damaged = bytearray(content)
        damaged[tables + place] = byte
        path.write_bytes(damaged)
        with pytest.raises(TruncatedError, match="not whole"):  # and the process goes on
            only(path)


def test_enhanced_frames_compressed(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "e.dcm", order=[2, 0, 1, 5, 4, 3])
    data = dcmread(path)
    data.compress(JPEGLSLossless, generate_instance_uid=False)
    data.save_as(path)
    np.testing.assert_array_equal(only(path).array[0], phantom())


def test_an_unknown_compression_is_named(tmp_path: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        data.file_meta.TransferSyntaxUID = MPEG2MPML
        data.PixelData = encapsulate([b"\0" * 100])
        data["PixelData"].is_undefined_length = True

    write_series(tmp_path, keep=[0], edit=edit)
    with pytest.raises(ReadError, match="not supported") as caught:
        only(tmp_path)
    assert "MPEG2" in str(caught.value.got)


def test_a_compressed_bomb_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        data.compress(RLELossless, generate_instance_uid=False)
        data.Rows = data.Columns = 60000

    write_series(tmp_path, keep=[0], edit=edit)
    with pytest.raises(ReadError, match="more pixels than they can hold"):
        only(tmp_path)


@pytest.mark.parametrize("stored", [12, 16])
def test_signed_values(tmp_path: Path, stored: int) -> None:
    """Twelve bits in sixteen, the sign extended or not: both are written."""
    values = phantom() - 500

    def edit(data: Dataset, k: int) -> None:
        bits = values[k].astype("<i2").view("<u2")
        data.PixelData = (bits & (2**stored - 1) if k % 2 else bits).tobytes()
        data.BitsStored, data.HighBit, data.PixelRepresentation = stored, stored - 1, 1
        data.RescaleIntercept = -100

    write_series(tmp_path, edit=edit)
    np.testing.assert_array_equal(only(tmp_path).array[0], values - 100)


def test_an_overlay_in_unused_bits_is_no_value(tmp_path: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        bits = np.frombuffer(data.PixelData, "<u2").copy()
        bits[3::7] |= 0x1000
        data.PixelData = bits.tobytes()
        data.BitsStored, data.HighBit = 12, 11
        data.add_new((0x6000, 0x0100), "US", 16)
        data.add_new((0x6000, 0x0102), "US", 12)

    write_series(tmp_path, edit=edit)
    np.testing.assert_array_equal(only(tmp_path).array[0], phantom())


def test_a_photograph_has_a_plane_of_its_own(tmp_path: Path) -> None:
    picture(tmp_path)
    image = only(tmp_path)
    assert not image.placed
    assert image.channels == ("red", "green", "blue")
    assert image.grid.shape == (1, 32, 34)
    np.testing.assert_array_equal(np.moveaxis(image.array[:, 0], 0, -1), colours()[0])


def planar(data: Dataset, k: int) -> None:
    data.PlanarConfiguration = 1
    data.PixelData = np.moveaxis(colours()[0], -1, 0).tobytes()


def full_ybr(data: Dataset, k: int) -> None:
    from pydicom.pixels import convert_color_space

    data.PhotometricInterpretation = "YBR_FULL"
    data.PixelData = convert_color_space(colours()[0], "RGB", "YBR_FULL").tobytes()


def jpeg(data: Dataset, k: int) -> None:
    import io

    from PIL import Image as Picture

    held = io.BytesIO()
    Picture.fromarray(colours()[0]).save(held, "JPEG", quality=95, subsampling=0)
    data.PixelData = encapsulate([held.getvalue()])
    data["PixelData"].is_undefined_length = True
    data.PhotometricInterpretation = "YBR_FULL_422"
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit


COLOURS: dict[str, tuple[Edit, int]] = {
    "planes": (planar, 0),
    "YBR_FULL": (full_ybr, 2),
    "JPEG": (jpeg, 6),
    "JPEG-LS": (compressed(JPEGLSLossless), 0),
    "JPEG 2000": (compressed(JPEG2000Lossless), 0),
    "RLE": (compressed(RLELossless), 0),
}


@pytest.mark.parametrize(("edit", "most"), COLOURS.values(), ids=COLOURS)
def test_colours_however_stored(tmp_path: Path, edit: Edit, most: int) -> None:
    picture(tmp_path, edit)
    found = np.moveaxis(only(tmp_path).array[:, 0], 0, -1).astype(int)
    assert np.abs(found - colours()[0]).max() <= most


@pytest.mark.parametrize("upper", [True, False], ids=["16 bits", "8 bits in 16"])
def test_a_palette_gives_its_colours(tmp_path: Path, upper: bool) -> None:
    table = np.random.default_rng(0).integers(0, 256, (3, 256))
    table[:, 0] = 255

    def edit(data: Dataset, k: int) -> None:
        data.PhotometricInterpretation, data.SamplesPerPixel = "PALETTE COLOR", 1
        del data.PlanarConfiguration
        data.PixelData = colours()[0, ..., 0].tobytes()
        for name, values in zip(("Red", "Green", "Blue"), table, strict=True):
            setattr(data, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
            stored = (values * 257 if upper else values).astype("<u2")
            setattr(data, f"{name}PaletteColorLookupTableData", stored.tobytes())

    picture(tmp_path, edit)
    np.testing.assert_array_equal(only(tmp_path).array[:, 0], table[:, colours()[0, ..., 0]])


def radiograph(folder: Path, edit: Edit) -> Stack:
    data = base_dataset("1.2.840.10008.5.1.4.1.1.1", "CR", "chest", 1)
    data.InstanceNumber, data.SamplesPerPixel, data.PhotometricInterpretation = 1, 1, "MONOCHROME2"
    data.Rows, data.Columns, data.BitsAllocated, data.BitsStored, data.HighBit = *FACES, 16, 10, 9
    data.PixelRepresentation = 0
    data.PixelData = np.arange(FACES[0] * FACES[1], dtype="<u2").tobytes()
    data["PixelData"].VR = "OW"
    edit(data, 0)
    folder.mkdir(exist_ok=True)
    data.save_as(folder / "chest.dcm", enforce_file_format=True)
    return choose_stack(find_stacks(folder))


def test_what_is_white_is_turned_in_radiographs_alone(tmp_path: Path) -> None:
    plain = np.arange(72).reshape(FACES)
    stack = radiograph(tmp_path / "a", lambda d, k: setattr(d, "PhotometricInterpretation", "MONOCHROME1"))
    np.testing.assert_array_equal(read_stack(stack).array[0, 0], 1023 - plain)
    write_series(tmp_path / "ct", edit=lambda d, k: setattr(d, "PhotometricInterpretation", "MONOCHROME1"))
    np.testing.assert_array_equal(only(tmp_path / "ct").array[0], phantom())


def test_the_size_of_a_radiographs_pixels_is_said_to_be_the_detectors(tmp_path: Path) -> None:
    stack = radiograph(tmp_path, lambda d, k: setattr(d, "ImagerPixelSpacing", ["0.2", "0.1"]))
    assert stack.grid.spacing[1:] == (0.2, 0.1)
    assert stack.spacing_known
    assert not stack.placed
    assert any("detector" in note for note in stack.notes)
    assert not radiograph(tmp_path, lambda d, k: None).spacing_known


def test_ultrasound_says_its_size_in_regions(tmp_path: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        region = Dataset()
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
        region.PhysicalDeltaX, region.PhysicalDeltaY = 0.03, 0.02
        data.Modality, data.SequenceOfUltrasoundRegions = "US", [region]

    picture(tmp_path, edit)
    stack = choose_stack(find_stacks(tmp_path))
    assert stack.grid.spacing[1:] == pytest.approx((0.2, 0.3))


def test_pictures_of_one_series_are_told_apart(tmp_path: Path) -> None:
    picture(tmp_path, array=np.repeat(colours(), 3, axis=0))
    found = find_stacks(tmp_path)
    assert [stack.name for stack in found.stacks] == ["picture 1", "picture 2", "picture 3"]


def pet(data: Dataset, k: int) -> None:
    """100 MBq, given an hour before the scan, half of it gone; 50 kg: 1 SUV is 1000 Bq/ml."""
    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 1e8, 3600.0
    drug.RadiopharmaceuticalStartTime = "092000"
    data.RadiopharmaceuticalInformationSequence = [drug]
    data.Units, data.DecayCorrection, data.CorrectedImage = "BQML", "START", ["ATTN", "DECY"]
    data.PatientWeight = "50"


def _with(change: Callable[[Dataset], object]) -> Edit:
    def edit(data: Dataset, k: int) -> None:
        pet(data, k)
        change(data)

    return edit


def _drug(name: str, value: object) -> Callable[[Dataset], object]:
    return lambda d: setattr(d.RadiopharmaceuticalInformationSequence[0], name, value)


UPTAKE: dict[str, tuple[Edit, float]] = {
    "corrected to the start": (pet, 1000.0),
    "corrected to the injection": (_with(lambda d: setattr(d, "DecayCorrection", "ADMIN")), 2000.0),
    "is SUV already": (_with(lambda d: setattr(d, "Units", "GML")), 1.0),
    "with the date of the injection": (
        _with(_drug("RadiopharmaceuticalStartDateTime", "20260102082000.00")),
        500.0,
    ),
}


@pytest.mark.parametrize(("edit", "one"), UPTAKE.values(), ids=UPTAKE)
def test_pet_becomes_uptake(tmp_path: Path, edit: Edit, one: float) -> None:
    write_series(tmp_path, modality="PT", edit=edit)
    image = only(tmp_path)
    assert image.array.dtype == np.float32
    np.testing.assert_allclose(image.array[0], phantom() / one, rtol=1e-6)
    stored = read_stack(choose_stack(find_stacks(tmp_path)), suv=False)
    np.testing.assert_array_equal(stored.array[0], phantom())


NO_UPTAKE: dict[str, Edit] = {
    "PatientWeight": _with(lambda d: delattr(d, "PatientWeight")),
    "RadionuclideTotalDose": _with(_drug("RadionuclideTotalDose", 0.0)),
    "RadionuclideHalfLife": _with(_drug("RadionuclideHalfLife", None)),
    "Units": _with(lambda d: setattr(d, "Units", "CNTS")),
    "SUV by body weight": _with(lambda d: (setattr(d, "Units", "GML"), setattr(d, "SUVType", "LBM"))),
    "CorrectedImage": _with(lambda d: setattr(d, "CorrectedImage", ["ATTN"])),
    "DecayCorrection": _with(lambda d: setattr(d, "DecayCorrection", "NONE")),
    "RadiopharmaceuticalStartTime": _with(_drug("RadiopharmaceuticalStartTime", "")),
    "within a day": _with(_drug("RadiopharmaceuticalStartDateTime", "20251202082000")),
    "begins before": _with(lambda d: setattr(d, "SeriesTime", "112000")),
}


@pytest.mark.parametrize(("missing", "edit"), NO_UPTAKE.items(), ids=NO_UPTAKE)
def test_pet_without_what_uptake_needs_is_refused(tmp_path: Path, missing: str, edit: Edit) -> None:
    write_series(tmp_path, modality="PT", edit=edit)
    with pytest.raises(InputError, match="Uptake") as caught:
        only(tmp_path)
    assert missing in str(caught.value.expected)
    assert "--no-suv" in str(caught.value.fix)
