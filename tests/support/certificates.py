"""Certificates for tests, by openssl: an authority, and one certificate that it has signed for loopback."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


@dataclass(frozen=True)
class Certificates:
    """PEM files."""

    authority: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """Good for servers and for clients, for two days; the test is skipped without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder.mkdir(parents=True)
    names = ("ca.pem", "ca.key", "cert.pem", "cert.key")
    authority, secret, certificate, key = (folder / name for name in names)
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-x509"]
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    _run([*new, *usage, "-subj", "/CN=authority", "-out", authority, "-keyout", secret])
    signed = ["-CA", authority, "-CAkey", secret, "-addext", _NAMES, "-addext", "basicConstraints=CA:FALSE"]
    _run([*new, *signed, "-subj", "/CN=localhost", "-out", certificate, "-keyout", key])
    return Certificates(authority, certificate, key)


def _run(command: list[object]) -> None:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
