"""TLS on every way, with certificates on both ends and a login: dcmtk, Orthanc, and back."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.certificates import make_certificates
from ..support.dicom_series import phantom, write_series
from .test_orthanc import in_namespace, save_model


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_ways_by_tls(tmp_path: Path) -> None:
    make_certificates(tmp_path / "tls")
    save_model(tmp_path / "model.calque")
    for name in ("one", "two"):
        write_series(
            tmp_path / name,
            phantom((6, 12, 10)),
            series=name,
            edit=lambda data, _, name=name: setattr(data, "SeriesDescription", name),
        )
    result = in_namespace(str(tmp_path), module="secure_scenarios")
    assert result["stopped"] == 0
    assert not result["strangers"], "a sender without a certificate was let in"
    assert int(result["answer"]["InstancesCount"]) == 6
    assert {kind: len(found) for kind, found in result["found"].items()} == {"SEG": 2, "SR": 1, "RTSTRUCT": 1}
    fetched = result["fetched"]
    assert fetched["login"]["code"] == 0
    assert fetched["none"]["code"] == fetched["distrust"]["code"] == 2
    assert "CALQUE_DICOMWEB_TOKEN" in fetched["none"]["said"]
    assert "REQUESTS_CA_BUNDLE" in fetched["distrust"]["said"]
    for secret in ("a:long secret", "0123456789abcdef", "Phantom"):
        assert secret not in result["log"]
