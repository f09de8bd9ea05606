"""TLS: who trusts the node's certificate is served; silent and plain callers block nobody. Sending too."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from pynetdicom import AE

from calque.errors import InputError
from calque.node import Listening, Web
from calque.node.rules import DicomDestination, StowDestination, Tls
from calque.node.sending import Sender, context_of, send_c_store, send_stow

from ..support.certificates import Certificates, make_certificates
from ..support.dicom_series import write_series
from .nodes import running, until

pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <s:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls") / "made")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Of an authority that nobody trusts."""
    return make_certificates(tmp_path_factory.mktemp("other") / "made")


def listening(tls: Certificates, *, asking: bool = False) -> Listening:
    authorities = tls.authority if asking else None
    return Listening(
        port=0, certificate=tls.certificate, key=tls.key, authorities=authorities, web=Web(port=0)
    )


def echo(port: int, context: ssl.SSLContext | None) -> bool:
    entity = AE()
    entity.acse_timeout = entity.connection_timeout = 3
    entity.add_requested_context("1.2.840.10008.1.1")
    how = None if context is None else (context, "localhost")
    association = entity.associate("127.0.0.1", port, ae_title="CALQUE", tls_args=how)
    if not association.is_established:
        return False
    answer = association.send_c_echo()
    association.release()
    return bool(answer.Status == 0)


def web_port(said: list[str]) -> int:
    (line,) = (line for line in said if line.startswith("STOW-RS on https://"))
    return int(re.findall(r":(\d+)/", line)[0])


def test_callers_by_tls(tmp_path: Path, tls: Certificates) -> None:
    trusting = ssl.create_default_context(cafile=str(tls.authority))
    with running(tmp_path / "spool", listening=listening(tls)) as node:
        with socket.create_connection(("127.0.0.1", node.port)):  # says nothing
            assert echo(node.port, trusting)
        assert not echo(node.port, None)
        assert not echo(node.port, ssl.create_default_context())
        assert echo(node.port, trusting)


def test_callers_without_a_certificate_are_refused_where_one_is_asked_for(
    tmp_path: Path, tls: Certificates
) -> None:
    trusting = ssl.create_default_context(cafile=str(tls.authority))
    with running(tmp_path / "spool", listening=listening(tls, asking=True)) as node:
        assert not echo(node.port, trusting)
        trusting.load_cert_chain(tls.certificate, tls.key)
        assert echo(node.port, trusting)


@pytest.mark.parametrize("asking", [False, True])
def test_dicomweb_by_tls_asks_for_what_dicom_asks_for(
    tmp_path: Path, tls: Certificates, other: Certificates, asking: bool
) -> None:
    file = write_series(tmp_path / "in")[0]
    ours = Tls(authorities=tls.authority, certificate=tls.certificate, key=tls.key)
    bare = Tls(authorities=tls.authority)
    with running(tmp_path / "spool", listening=listening(tls, asking=asking)) as node:
        port = web_port(node.said)
        url = f"https://127.0.0.1:{port}/dicom-web"
        with socket.create_connection(("127.0.0.1", port)):  # says nothing, and blocks nobody
            assert send_stow(file, StowDestination(url=url, tls=ours), None) is None
        destinations = {
            "bare": StowDestination(url=url, tls=bare),
            "distrusting": StowDestination(url=url, tls=Tls(authorities=other.authority)),
        }
        sender = Sender(destinations, "CALQUE")
        refused = sender.send(file, "bare")
        assert (refused is not None) is asking
        assert str(sender.send(file, "distrusting")).startswith("TLS: ")
        with pytest.raises(requests.ConnectionError):
            requests.post(f"http://127.0.0.1:{port}/dicom-web/studies", b"plain", timeout=5)


@contextmanager
def storescp(folder: Path, tls: Certificates) -> Iterator[int]:
    """dcmtk's server, which asks for a certificate."""
    if shutil.which("storescp") is None:
        pytest.skip("storescp of dcmtk is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder.mkdir()
    command = ["storescp", "+tls", tls.key, tls.certificate, "+cf", tls.authority, "-od", folder, port]
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.DEVNULL)
    try:
        until(lambda: _listens(port))
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_results_go_by_tls_to_who_can_show_whose_he_is(
    tmp_path: Path, tls: Certificates, other: Certificates
) -> None:
    file = write_series(tmp_path / "in")[0]
    ours = {"certificate": tls.certificate, "key": tls.key}
    with storescp(tmp_path / "out", tls) as port:

        def sent(how: Tls | bool) -> str | None:
            return send_c_store(
                file, DicomDestination(host="localhost", port=port, aet="ANY", tls=how), "CALQUE"
            )

        assert sent(Tls(authorities=tls.authority, **ours)) is None
        assert sent(Tls(authorities=other.authority, **ours)) == "no association"
        assert sent(True) == "no association"
        assert sent(Tls(authorities=tls.authority)) is not None  # it asks for a certificate
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_dcmtk_can_send_by_tls(tmp_path: Path, tls: Certificates) -> None:
    if shutil.which("storescu") is None:
        pytest.skip("storescu of dcmtk is not installed")
    file = write_series(tmp_path / "in")[0]
    with running(tmp_path / "spool", listening=listening(tls, asking=True)) as node:
        call = ["-aec", "CALQUE", "127.0.0.1", str(node.port), str(file)]
        trust = ["+cf", str(tls.authority)]
        subprocess.run(["storescu", "+tls", tls.key, tls.certificate, *trust, *call], check=True, timeout=30)
        for stranger in (["+tla", *trust], []):
            done = subprocess.run(
                ["storescu", *stranger, *call], check=False, timeout=30, capture_output=True
            )
            assert done.returncode


def test_a_certificate_that_cannot_be_used_is_an_error(tmp_path: Path, tls: Certificates) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    listening = Listening(certificate=tmp_path / "cert.pem", key=tmp_path / "cert.pem")
    with pytest.raises(InputError, match="TLS"):
        listening.tls()
    for wrong in (
        Tls(authorities=tmp_path / "nothing.pem"),
        Tls(certificate=tls.certificate, key=tmp_path / "cert.pem"),
    ):
        with pytest.raises(InputError, match="TLS to a destination"):
            context_of(wrong)
        destination = DicomDestination(host="pacs", port=104, aet="PACS", tls=wrong)
        with pytest.raises(InputError, match="TLS to a destination"):
            Sender({"pacs": destination}, "CALQUE").require_usable()
