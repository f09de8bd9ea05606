"""PET: from activity to the standardised uptake value by body weight.

SUVbw = activity concentration (Bq/ml) * body weight (g) / injected dose at the time to which the images are
decay corrected (Bq). After the vendor-neutral pseudo-code of the Quantitative Imaging Biomarkers Alliance
(QIBA, "SUV calculation", 2013), which follows DICOM PS3.3 C.8.9.1; what it cannot know is refused.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path

from calque.errors import InputError
from calque.io.dicom.raw import Elements

_FIX = "read activity instead: --no-suv, or read_stack(stack, suv=False)"
_LONGEST = timedelta(hours=24)  # from injection to scan; more is a wrong date


def suv_factor(path: Path) -> float:
    """What turns rescaled values of the series of this PET slice into SUV (g/ml).

    Raises:
        InputError: the header does not have what it takes; it says what, and what to do.
    """
    from pydicom import dcmread

    elements = Elements(dcmread(path, stop_before_pixels=True), path)
    units = elements.text("Units")
    if units == "GML":
        if elements.text("SUVType") in ("", "BW"):
            return 1.0
        raise _refused(path, "SUV by body weight", f"SUVType {elements.text('SUVType')}")
    if units != "BQML":
        raise _refused(path, "Units BQML or GML", units or "no Units")
    corrected = elements.texts("CorrectedImage")
    if not {"ATTN", "DECY"} <= set(corrected):
        raise _refused(path, "CorrectedImage with ATTN and DECY", corrected or "none")
    drug = elements.item("RadiopharmaceuticalInformationSequence")
    weight = elements.number("PatientWeight")
    dose = None if drug is None else drug.number("RadionuclideTotalDose")
    half_life = None if drug is None else drug.number("RadionuclideHalfLife")
    wanted = {
        "PatientWeight": weight,
        "RadionuclideTotalDose": dose,
        "RadionuclideHalfLife": half_life,
    }
    missing = [name for name, value in wanted.items() if not value or value <= 0]
    if missing or drug is None or not (weight and dose and half_life):
        raise _refused(path, ", ".join(wanted), f"no {', '.join(missing)}")
    correction = elements.text("DecayCorrection")
    if correction == "ADMIN":
        return weight * 1000.0 / dose
    if correction != "START":
        raise _refused(path, "DecayCorrection START or ADMIN", correction or "none")
    decayed = dose * math.exp2(-_seconds_between(elements, drug, path) / half_life)
    return weight * 1000.0 / decayed


def _seconds_between(elements: Elements, drug: Elements, path: Path) -> float:
    """From the injection to the beginning of the scan."""
    start = _moment(elements.text("SeriesDate"), elements.text("SeriesTime"))
    taken = _moment(elements.text("AcquisitionDate"), elements.text("AcquisitionTime"))
    if start is None or taken is None:
        raise _refused(path, "date and time of series and acquisition", "none")
    if start > taken:
        raise _refused(
            path,
            "a series that begins before its slices are taken",
            "a later one: it was processed afterwards",
        )
    given = drug.text("RadiopharmaceuticalStartDateTime")
    injected = _moment(given[:8], given[8:].split("+")[0].split("-")[0])
    if injected is None:
        injected = _moment(elements.text("SeriesDate"), drug.text("RadiopharmaceuticalStartTime"))
        if injected is not None and injected > start:
            injected -= timedelta(days=1)  # the tracer was given before midnight
    if injected is None:
        raise _refused(path, "RadiopharmaceuticalStartTime", "none")
    if not timedelta(0) <= start - injected <= _LONGEST:
        raise _refused(path, "a scan within a day after the injection", f"{start - injected} after it")
    return (start - injected).total_seconds()


def _moment(date: str, time: str) -> datetime | None:
    whole, _, fraction = time.partition(".")
    try:
        return (
            datetime.strptime(f"{date}{whole:0<6}", "%Y%m%d%H%M%S")
            + timedelta(seconds=float(f"0.{fraction or 0}"))
            if date and whole
            else None
        )
    except ValueError:
        return None


def _refused(path: Path, expected: object, got: object) -> InputError:
    return InputError(
        "Uptake (SUV) cannot be computed for this PET series",
        where=path,
        expected=expected,
        got=got,
        fix=_FIX,
    )
