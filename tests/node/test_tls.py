"""TLS: who trusts the node's certificate is served; a silent or a plain caller blocks nobody."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest
from pynetdicom import AE

from calque.errors import InputError
from calque.node import Listening

from .nodes import running


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-out", files[0], "-keyout", files[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    return files


def echo(port: int, context: ssl.SSLContext | None) -> bool:
    entity = AE()
    entity.acse_timeout = entity.connection_timeout = 3
    entity.add_requested_context("1.2.840.10008.1.1")
    tls = None if context is None else (context, "localhost")
    association = entity.associate("127.0.0.1", port, ae_title="CALQUE", tls_args=tls)
    if not association.is_established:
        return False
    answer = association.send_c_echo()
    association.release()
    return bool(answer.Status == 0)


@pytest.mark.filterwarnings("ignore:Exception ignored in. <s:pytest.PytestUnraisableExceptionWarning")
def test_callers_by_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    listening = Listening(port=0, certificate=certificate[0], key=certificate[1])
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    with running(tmp_path / "spool", listening=listening) as node:
        with socket.create_connection(("127.0.0.1", node.port)):  # says nothing
            assert echo(node.port, trusting)
        assert not echo(node.port, None)
        assert not echo(node.port, ssl.create_default_context())
        assert echo(node.port, trusting)


@pytest.mark.filterwarnings("ignore:Exception ignored in. <s:pytest.PytestUnraisableExceptionWarning")
def test_callers_without_a_certificate_are_refused_where_one_is_asked_for(
    tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    cert, key = certificate
    listening = Listening(port=0, certificate=cert, key=key, authorities=cert)
    trusting = ssl.create_default_context(cafile=str(cert))
    with running(tmp_path / "spool", listening=listening) as node:
        assert not echo(node.port, trusting)
        trusting.load_cert_chain(cert, key)
        assert echo(node.port, trusting)


def test_a_certificate_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    listening = Listening(certificate=tmp_path / "cert.pem", key=tmp_path / "cert.pem")
    with pytest.raises(InputError, match="TLS"):
        listening.tls()
