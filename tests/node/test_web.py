"""STOW-RS on a real socket: what it takes, refuses and answers."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import pydicom
import pytest

pytest.importorskip("dicomweb_client")

from dicomweb_client.web import DICOMwebClient
from requests import HTTPError

from calque.cli.app import run
from calque.cli.listen import Callers
from calque.errors import InputError
from calque.node import Limits, Listening, Web, node_status, parse_peer
from calque.node.listening import EVERYWHERE
from calque.node.multipart import BodyError, body, boundary_of, parts

from ..support.dicom_series import write_series
from .nodes import QUICK, Copier, Running, running, send, until

RELATED = 'multipart/related; type="application/dicom"; boundary=b'
SECRET = "a long secret"  # noqa: S105
TOKEN = "CALQUE_NODE_TOKEN"  # noqa: S105


@contextmanager
def served(spool: Path, token: str | None = None, **options: object) -> Iterator[tuple[Running, str, int]]:
    """A node, the address of its service, and the port."""
    listening = options.pop("listening", Listening(port=0)).model_copy(update={"web": Web(port=0)})
    tokens = {} if token is None else {TOKEN: token}
    with running(spool, listening=listening, tokens=tokens, **options) as node:
        (address,) = (line.split()[-1] for line in node.said if line.startswith("STOW-RS"))
        yield node, address, int(re.findall(r":(\d+)/", address)[0])


def multipart(files: Sequence[bytes]) -> bytes:
    head = b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + content for content in files) + b"\r\n--b--\r\n"


def post(
    port: int, content: bytes, path: str = "/dicom-web/studies", **headers: str
) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        names = {"Content-Type": RELATED} | {k.replace("_", "-"): v for k, v in headers.items()}
        connection.request("POST", path, content, names)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers.get("Content-Type", "")
    finally:
        connection.close()


@pytest.fixture(scope="module")
def borne(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, int]]:
    """One node for everything that it refuses."""
    limits = Limits(free_bytes=0, instance_bytes=40_000)
    with served(tmp_path_factory.mktemp("web") / "spool", limits=limits) as (node, _, port):
        yield node, port


def test_dicomweb_client_can_store(tmp_path: Path) -> None:
    files = write_series(tmp_path / "in")
    maker = Copier()
    with served(tmp_path / "spool", maker=maker) as (node, address, _):
        client = DICOMwebClient(address, chunk_size=1000)  # so that it sends chunks
        answer = client.store_instances([pydicom.dcmread(f) for f in files])
        assert "FailedSOPSequence" not in answer
        stored = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
        assert stored == {pydicom.dcmread(f).SOPInstanceUID for f in files}
        until(lambda: node_status(node.options.spool).series == {"done": 1})
        study = pydicom.dcmread(files[0]).StudyInstanceUID
        again = client.store_instances([pydicom.dcmread(f) for f in files], study)
        assert len(again.ReferencedSOPSequence) == len(files)
        assert set(send(node.port, files)) == {0}
        assert node_status(node.options.spool).series == {"done": 1}
        assert not any(study in line for line in node.said)
    assert maker.calls == 1


def test_each_instance_is_answered_for(tmp_path: Path) -> None:
    good, other = (f.read_bytes() for f in write_series(tmp_path / "in")[:2])
    strange = pydicom.dcmread(BytesIO(good))
    strange.SOPInstanceUID = "1.2.3"  # not the one of the file meta information
    mixed = BytesIO()
    strange.save_as(mixed, enforce_file_format=False)
    with served(tmp_path / "spool") as (_, _, port):
        status, content, kind = post(port, multipart([good, mixed.getvalue(), b"nonsense", other]))
        assert (status, kind) == (202, "application/dicom+json")
        answer = pydicom.Dataset.from_json(content.decode())
        assert len(answer.ReferencedSOPSequence) == 2
        assert [item.FailureReason for item in answer.FailedSOPSequence] == [0xA900, 0xC000]
        status, content, kind = post(port, multipart([good]), Accept="application/dicom+xml")
        assert (status, kind) == (200, "application/dicom+xml")
        root = ElementTree.fromstring(content)  # noqa: S314  (our own answer)
        found = root.find(".//DicomAttribute[@keyword='ReferencedSOPInstanceUID']/Value")
        assert found is not None
        assert found.text == pydicom.dcmread(BytesIO(good)).SOPInstanceUID
        status, content, _ = post(port, multipart([good]), "/studies/1.2.3")
        assert status == 409
        answer = pydicom.Dataset.from_json(content.decode())
        assert answer.FailedSOPSequence[0].FailureReason == 0xC409


def test_what_is_deflated_is_not_inflated(tmp_path: Path) -> None:
    data = pydicom.dcmread(write_series(tmp_path / "in")[0])
    data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    deflated = BytesIO()
    data.save_as(deflated)
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"  # a directory
    directory = BytesIO()
    data.save_as(directory)
    with served(tmp_path / "spool") as (_, _, port):
        status, content, _ = post(port, multipart([deflated.getvalue(), directory.getvalue()]))
    answer = pydicom.Dataset.from_json(content.decode())
    assert status == 409
    assert [item.FailureReason for item in answer.FailedSOPSequence] == [0xC122, 0x0122]


def test_only_callers_with_the_token_are_served(tmp_path: Path) -> None:
    files = write_series(tmp_path / "in")
    data = [pydicom.dcmread(files[0])]
    with served(tmp_path / "spool", token=SECRET) as (node, address, port):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic a long secret"}):
            with pytest.raises(HTTPError) as caught:
                DICOMwebClient(address, headers=headers).store_instances(data)
            assert caught.value.response.status_code == 401
        assert node_status(node.options.spool).series == {}
        DICOMwebClient(address, headers={"Authorization": "Bearer a long secret"}).store_instances(data)
        assert node_status(node.options.spool).series == {"arriving": 1}
        assert post(port, multipart([files[0].read_bytes()]), Origin="http://evil.example")[0] == 401
        assert not any("secret" in line for line in node.said)
    with served(tmp_path / "spool") as (_, _, port):
        assert post(port, multipart([files[0].read_bytes()]), Origin="http://evil.example")[0] == 403


def test_a_login_is_a_token_too(tmp_path: Path) -> None:
    content = multipart([write_series(tmp_path / "in")[0].read_bytes()])
    with served(tmp_path / "spool", token="alice:a secret") as (_, _, port):  # noqa: S106
        for shown, status in (("Basic YWxpY2U6YSBzZWNyZXQ=", 200), ("Bearer alice:a secret", 401)):
            assert post(port, content, Authorization=shown)[0] == status


def test_without_a_token_only_loopback_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="needs a token"):
        Web(host=EVERYWHERE).require_guard(False)
    monkeypatch.delenv(TOKEN, raising=False)
    spool = ["--port", "0", "--spool", str(tmp_path / "spool"), "--allow", "*@10.0.0.0/8"]
    assert run(["listen", *spool, "--host", EVERYWHERE, "--dicomweb"]) == 2
    assert TOKEN in capsys.readouterr().err
    assert not (tmp_path / "spool").exists()
    callers = Callers(allow=["*@10.0.0.1"], dicomweb=True, web_port=0)
    assert callers.listening(0, "CALQUE").web == Web(port=0)
    monkeypatch.setenv(TOKEN, "a long secret")
    there = callers.listening(0, "CALQUE").web
    assert there is not None
    assert there.host == EVERYWHERE
    assert not Listening(allow=(parse_peer("A@10.0.0.1"),)).knows("10.0.0.2")


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 400),
        (b"--b--", {}, 400),
        (b"no boundary at all", {}, 400),
        (multipart([b"x"])[:-8], {}, 400),
        (multipart([b"x" * 50_000]), {}, 413),
        (b"--b\r\n" + b"a: b\r\n" * 10_000, {}, 400),
        (multipart([b"x"]), {"Content_Type": "multipart/related; type=application/dicom"}, 400),
        (multipart([b"x"]), {"Content_Type": 'multipart/related; type="application/dicom+json"'}, 415),
        (multipart([b"x"]), {"Content_Type": "application/dicom"}, 415),
        (multipart([b"x"]), {"Content_Encoding": "gzip"}, 415),
        (multipart([b"x"]), {"Content_Length": "-5"}, 400),
        (multipart([b"x"]), {"Content_Length": "9" * 20}, 413),
        (multipart([b"x"]), {"Transfer_Encoding": "gzip, chunked"}, 400),
        (b"zz\r\n", {"Transfer_Encoding": "chunked"}, 400),
        (b"5\r\n--b--\r\nrest\r\n", {"Transfer_Encoding": "chunked"}, 400),
        (b"fffffffffffff\r\n--b", {"Transfer_Encoding": "chunked"}, 413),
    ],
)
def test_bodies_that_are_not_what_they_say(
    borne: tuple[Running, int], content: bytes, headers: dict[str, str], status: int
) -> None:
    node, port = borne
    assert post(port, content, **headers)[0] == status
    assert node_status(node.options.spool).series == {}
    assert post(port, multipart([b"x"]))[0] == 409  # it is there still


def test_other_addresses_and_methods(borne: tuple[Running, int]) -> None:
    for path in ("/", "/studies/x/../..", "/dicom-web/studies/1.2/series", "/instances"):
        assert post(borne[1], multipart([b"x"]), path)[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", borne[1], timeout=20)
    connection.request("GET", "/studies")
    assert connection.getresponse().status == 501
    connection.close()


def test_limits_are_those_of_dicom(tmp_path: Path) -> None:
    files = [f.read_bytes() for f in write_series(tmp_path / "in")]
    limits = Limits(free_bytes=0, series_instances=4)
    with served(tmp_path / "spool", limits=limits) as (_, _, port):
        assert post(port, multipart(files))[0] == 413  # four were stored before
        status, content, _ = post(port, multipart(files[3:]))
        assert status == 202
        answer = pydicom.Dataset.from_json(content.decode())
        assert {item.FailureReason for item in answer.FailedSOPSequence} == {0xA700}


def test_what_is_cut_off_is_not_taken_for_complete(tmp_path: Path) -> None:
    files = [f.read_bytes() for f in write_series(tmp_path / "in")]
    patience = QUICK.model_copy(update={"quiet": 600.0, "settle": 0.01})
    maker = Copier()
    with served(tmp_path / "spool", maker=maker, patience=patience) as (node, _, port):
        assert post(port, multipart(files)[:-300])[0] == 400  # its last instance is not whole
        time.sleep(0.5)
        assert node_status(node.options.spool).series == {"arriving": 1}
        assert node_status(node.options.spool).all_series[0].instances == len(files) - 1
        assert post(port, multipart(files))[0] == 200
        until(lambda: node_status(node.options.spool).series == {"done": 1})
    assert maker.calls == 1


def test_one_byte_now_and_then_is_no_request(tmp_path: Path) -> None:
    patience = QUICK.model_copy(update={"network": 0.6})
    with served(tmp_path / "spool", patience=patience) as (_, _, port):
        head = f"POST /studies HTTP/1.1\r\nContent-Type: {RELATED}\r\nContent-Length: 1000\r\n\r\n".encode()
        for sent, drops in ((head, b"-" * 100), (b"", head)):  # in the body; in the header
            with socket.create_connection(("127.0.0.1", port)) as slow:
                slow.settimeout(0.1)
                slow.sendall(sent)
                assert (b" 408 " in _dripped(slow, drops)) is bool(sent)


def _dripped(slow: socket.socket, drops: bytes) -> bytes:
    """What is answered while one byte goes after the other; ends when the other end has hung up."""
    answer = b""
    for k in range(len(drops)):
        try:
            slow.sendall(drops[k : k + 1])
            data = slow.recv(1000)
        except TimeoutError:
            continue
        except OSError:
            return answer
        if not data:
            return answer
        answer += data
    pytest.fail("it waits for ever")


def test_silent_and_too_many_callers_block_nobody(tmp_path: Path) -> None:
    limits = Limits(free_bytes=0, associations=2)
    with served(tmp_path / "spool", limits=limits) as (node, _, port):
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        until(lambda: any("too many are open" in line for line in node.said))
        until(lambda: _served(port))
        for one in silent:
            one.close()
    until(lambda: not [one for one in threading.enumerate() if "process_request" in one.name])


def _served(port: int) -> bool:
    try:
        return post(port, multipart([b"x"]))[0] == 409
    except OSError:
        return False


def test_parts_by_any_reading(tmp_path: Path) -> None:
    content = b"preamble" + multipart([b"one", b"", b"\r\n--a\r\n--", bytes(range(256)) * 9])
    for size in (1, 2, 7, 1000):
        stream = BytesIO(content)
        read = body(stream.read, stream.readline, str(len(content)), None, 10**6)
        found = list(parts(lambda n, read=read, size=size: read(min(n, size)), b"b", 5000))
        assert [one.content for one in found] == [b"one", b"", b"\r\n--a\r\n--", bytes(range(256)) * 9]
        assert {one.headers.get_content_type() for one in found} == {"application/dicom"}
    assert (
        boundary_of('multipart/related; boundary="x y"; type=application/dicom', "application/dicom")
        == b"x y"
    )
    with pytest.raises(BodyError, match="length"):
        body(BytesIO().read, BytesIO().readline, None, None, 5)
