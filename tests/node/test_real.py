"""Real CT, MR and PET through the node and through Orthanc."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_orthanc import in_namespace, judge, save_model


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "place",
    ["lung-ct-dicom", "sarcoma-petct/dicom/STS_008/MR_T1/image", "sarcoma-petct/dicom/STS_008/PET/image"],
)
def test_a_real_series_comes_back_as_it_was_predicted(place: str, data_root: Path, tmp_path: Path) -> None:
    folders = (data_root / place, *(data_root / place).rglob("*"))
    source = max(folders, key=lambda folder: len(list(folder.glob("*.dcm"))))
    (tmp_path / "series").symlink_to(source)
    model = save_model(tmp_path / "model.calque", spacing=(6.0, 6.0, 6.0), patch=(16, 16, 16))
    in_namespace("round_trip", str(tmp_path))
    judge(
        tmp_path, model, contours=place != "lung-ct-dicom"
    )  # its specks are 70 MB of contours: minutes each
