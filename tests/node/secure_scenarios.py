"""Run as `orthanc_scenarios`: everything by TLS, with certificates on both ends and a login.

    python secure_scenarios.py FOLDER

FOLDER holds two series, a model and certificates (tests/support/certificates.py).
"""

from __future__ import annotations

import base64
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
from orthanc_scenarios import Listener, Orthanc, orthanc, until

USER, PASSWORD = "alice", "a:long secret"
TOKEN = "0123456789abcdef"  # noqa: S105
ADDRESS = "https://127.0.0.1:8443/dicom-web"
OPEN = "dicomwebs://127.0.0.1:8444/dicom-web"
"""Without a certificate of the caller's."""


class Guarded(Orthanc):
    """Asked with a login."""

    def ask(self, path: str, question: object = None) -> bytes:
        body = None if question is None else json.dumps(question).encode()
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}", body, {"Authorization": f"Basic {login}"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return bytes(answer.read())


def front(tls: Path, port: int, behind: int, *, asking: bool) -> None:
    """What stands before a PACS, and may ask for certificates: TLS ends here.

    Debian's Orthanc 1.10.1 ends with a segmentation fault when it is asked by HTTPS itself.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls / "cert.pem", tls / "cert.key")
    context.load_verify_locations(tls / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED if asking else ssl.CERT_NONE

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                with (
                    context.wrap_socket(self.request, server_side=True) as caller,
                    socket.create_connection(("127.0.0.1", behind)) as server,
                ):
                    back = threading.Thread(target=_pump, args=(server, caller))
                    back.start()
                    _pump(caller, server)
                    back.join()
            except OSError:
                return  # a caller that is not let in

    server = socketserver.ThreadingTCPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return  # one of them has gone


def config(tls: Path) -> dict[str, object]:
    """Orthanc with TLS for DICOM, a user, and the node as a peer of DICOM and DICOMweb, by TLS."""
    names = {"ca": "ca.pem", "cert": "cert.pem", "key": "cert.key"}
    file = {name: str(tls / path) for name, path in names.items()}
    return {
        "DicomTlsEnabled": True, "DicomTlsCertificate": file["cert"], "DicomTlsPrivateKey": file["key"],
        "DicomTlsTrustedCertificates": file["ca"], "DicomTlsRemoteCertificateRequired": True,
        "AuthenticationEnabled": True, "RegisteredUsers": {USER: PASSWORD},
        "HttpsVerifyPeers": True, "HttpsCACertificates": file["ca"],
        "DicomModalities": {
            "calque": {"AET": "CALQUE", "Host": "127.0.0.1", "Port": 11112, "UseDicomTls": True}
        },
        "DicomWeb": {
            "Enable": True, "Root": "/dicom-web/",
            "Servers": {
                "calque": {
                    "Url": "https://127.0.0.1:11180/dicom-web/",
                    "CertificateFile": file["cert"], "CertificateKeyFile": file["key"],
                    "HttpHeaders": {"Authorization": f"Bearer {TOKEN}"},
                }
            },
        },
    }  # fmt: skip


def rules(folder: Path) -> Path:
    """The first series' results go back by C-STORE, the second one's by STOW-RS; both by TLS."""
    tls = {"authorities": "tls/ca.pem", "certificate": "tls/cert.pem", "key": "tls/cert.key"}
    back = {"kind": "dicom", "host": "127.0.0.1", "port": 4242, "aet": "ORTHANC", "tls": tls}
    web = {"kind": "stow", "url": ADDRESS, "token_variable": "PACS_LOGIN", "tls": tls}
    rule = {"model": "model.calque"}
    content = {
        "destinations": {"back": back, "web": web},
        "rules": [
            {**rule, "description": "^one$", "outputs": ["seg", "sr"], "send": ["back"]},
            {**rule, "description": "^two$", "outputs": ["seg", "rtstruct"], "send": ["web"]},
        ],
    }
    file = folder / "rules.json"
    file.write_text(json.dumps(content))
    return file


def storescu(files: Sequence[Path], tls: Path, port: int, aet: str, *, certificate: bool = True) -> bool:
    """By dcmtk; without a certificate of its own it must not be let in."""
    ours = ["+tls", tls / "cert.key", tls / "cert.pem"] if certificate else ["+tla"]
    command = ["storescu", *ours, "+cf", tls / "ca.pem", "-aec", aet, "127.0.0.1", str(port), *files]
    return subprocess.run([str(part) for part in command], check=False, timeout=60).returncode == 0


def predict(
    folder: Path, header: pydicom.Dataset, login: str | None, authority: bool = True
) -> dict[str, Any]:
    """`calque predict dicomwebs://...`: its exit code and what it says."""
    place = f"{OPEN}/studies/{header.StudyInstanceUID}/series/{header.SeriesInstanceUID}"
    environment = {name: value for name, value in os.environ.items() if name != "CALQUE_DICOMWEB_TOKEN"}
    if login is not None:
        environment["CALQUE_DICOMWEB_TOKEN"] = login
    if authority:
        environment["REQUESTS_CA_BUNDLE"] = str(folder / "tls" / "ca.pem")
    command = [sys.executable, "-m", "calque.cli", "predict", str(folder / "model.calque")]
    out = ["-o", str(folder / "fetched"), "--cache", str(folder / "cache")]
    done = subprocess.run(
        [*command, place, *out],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {"code": done.returncode, "said": done.stderr}


def secure(folder: Path) -> dict[str, Any]:
    """dcmtk -> Orthanc -> node (C-STORE and STOW-RS) -> Orthanc -> calque predict."""
    tls = folder / "tls"
    one, two = (sorted((folder / name).glob("*.dcm")) for name in ("one", "two"))
    os.environ["CALQUE_NODE_TOKEN"] = TOKEN
    os.environ["PACS_LOGIN"] = f"{USER}:{PASSWORD}"
    with orthanc(folder / "a", 4242, 8042, Guarded(4242, 8042), **config(tls)) as server:
        front(tls, 8443, 8042, asking=True)
        front(tls, 8444, 8042, asking=False)
        assert storescu([*one, *two], tls, 4242, "ORTHANC")
        node = Listener(
            None, folder, "--rules", str(rules(folder)), "--quiet", "10s", "--settle", "0.5s",
            "--tls-cert", str(tls / "cert.pem"), "--tls-key", str(tls / "cert.key"),
            "--tls-ca", str(tls / "ca.pem"), "--dicomweb",
        )  # fmt: skip
        node.start()
        strangers = storescu(one, tls, 11112, "CALQUE", certificate=False)
        header = pydicom.dcmread(two[0], stop_before_pixels=True)
        names = {}
        for series in server.find("Series", "CT"):
            tags = json.loads(server.ask(f"/series/{series}"))["MainDicomTags"]
            names[tags["SeriesDescription"]] = series
        server.ask("/modalities/calque/store", names["one"])
        answer = json.loads(
            server.ask("/dicom-web/servers/calque/stow", {"Resources": [names["two"]], "Synchronous": True})
        )
        until(lambda: node.said().count(": delivered") == 4, 120, "not everything was delivered")
        found = {
            kind: [str(one.SOPClassUID) for one in server.instances(kind)]
            for kind in ("SEG", "SR", "RTSTRUCT")
        }
        fetched = {
            "login": predict(folder, header, f"{USER}:{PASSWORD}"),
            "none": predict(folder, header, None),
            "distrust": predict(folder, header, f"{USER}:{PASSWORD}", authority=False),
        }
        code = node.stop()
    return {
        "stopped": code, "strangers": strangers, "answer": answer, "found": found, "fetched": fetched,
        "log": node.said(),
    }  # fmt: skip


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.stdout.write(json.dumps(secure(Path(sys.argv[1]))) + "\n")
