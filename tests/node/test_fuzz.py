"""Nonsense in data sets and associations, in bounded number: the node stays up and its memory flat."""

from __future__ import annotations

import gzip
import random
import re
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

from ..support.dicom_series import write_series
from .nodes import send

MEBIBYTE = 2**20


@pytest.fixture
def node(tmp_path: Path):
    """The process, its ports of DICOM and of DICOMweb, and its log."""
    log, rules = tmp_path / "log", tmp_path / "rules.json"
    rules.write_text('{"rules": [{"ignore": true}]}')
    command = [
        *(sys.executable, "-m", "calque.cli", "listen", "--port", "0", "--spool", str(tmp_path / "spool")),
        *("--rules", str(rules), "--dicomweb", "--web-port", "0"),
        *("--quiet", "600s", "--settle", "600s", "--max-instance", "2MB", "--min-free", "1MB"),
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        end = time.monotonic() + 90
        while "listens on" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        dicom = re.search(r"listens on 127\.0\.0\.1:(\d+)", log.read_text())
        web = re.search(r"STOW-RS on http://127\.0\.0\.1:(\d+)", log.read_text())
        assert dicom is not None
        assert web is not None
        yield process, (int(dicom[1]), int(web[1])), log
    finally:
        process.terminate()
        assert process.wait(60) == 0


def resident(process: subprocess.Popen[bytes]) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) * 1024


def spoiled(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut out, repeated; lengths that promise too much."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(changed))
        match rng.randrange(4):
            case 0:
                changed[at] = rng.randrange(256)
            case 1:
                del changed[at : at + rng.randrange(1, 64)]
            case 2:
                changed[at:at] = changed[at : at + rng.randrange(1, 256)]
            case _:
                changed[at : at + 4] = struct.pack("<I", rng.choice((0xFFFFFFFF, 0x7FFFFFFF, 0)))
        changed = changed or bytearray(b"\0")
    return bytes(changed)


def send_spoiled(port: int, file: Path, rng: random.Random, number: int) -> None:
    """One association with several data sets that are not what they say."""
    data = pydicom.dcmread(file)
    entity = AE(ae_title="FUZZ")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 5
    entity.add_requested_context(data.SOPClassUID, data.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", port, ae_title="CALQUE")
    assert association.is_established
    content = file.read_bytes()
    body = content[144 + int.from_bytes(content[140:144], "little") :]
    association._reactor_checkpoint.clear()  # its own thread must not take the answers
    while not association._is_paused:
        time.sleep(0.001)
    for _ in range(number):
        request = C_STORE()
        request.MessageID, request.Priority = 1, 2
        request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
        request.DataSet = BytesIO(spoiled(body, rng))
        association.dimse.send_msg(request, 1)
        _, answer = association.dimse.get_msg(block=True)
        assert answer is not None, "the node hung up on a data set"
    association._reactor_checkpoint.set()
    association.release()


def send_bytes(port: int, request: bytes, rng: random.Random) -> None:
    """A connection with nonsense in place of an association."""
    kinds = (
        lambda: rng.randbytes(rng.randrange(1, 200)),
        lambda: spoiled(request, rng),
        lambda: bytes([rng.randrange(1, 8), 0]) + struct.pack(">I", rng.choice((0, 10, 2**20, 2**32 - 1))),
        lambda: request[: rng.randrange(len(request))],
    )
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(rng.choice(kinds)())
        except OSError:
            return


def post_spoiled(port: int, files: list[bytes], rng: random.Random) -> int:
    """A request that is not what it says; its status, 0 where there was no answer."""
    head = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    sound = head + (b"\r\n" + head).join(files) + b"\r\n--b--\r\n"
    kinds = (
        (sound[: rng.randrange(len(sound))], {}),
        (spoiled(sound, rng), {}),
        (sound, {"Content-Type": 'multipart/related; type="application/dicom"; boundary=another'}),
        (sound, {"Content-Length": str(rng.choice((2**31, 2**62, 10**30, -1)))}),
        (gzip.compress(bytes(2**24)), {"Content-Encoding": "gzip"}),
        (head + bytes(3 * MEBIBYTE), {}),
        (spoiled(b"%x\r\n" % len(sound) + sound + b"\r\n0\r\n\r\n", rng), {"Transfer-Encoding": "chunked"}),
        (rng.randbytes(2000), {"X" * rng.randrange(1, 70_000): "y"}),
    )
    content, more = rng.choice(kinds)
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'} | more
    if "Transfer-Encoding" not in headers:
        headers.setdefault("Content-Length", str(len(content)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            connection.sendall(f"POST /studies HTTP/1.1\r\n{lines}\r\n".encode() + content)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(100)
        except OSError:
            return 0
    return int(answer[9:12]) if answer else 0


def association_request() -> bytes:
    """The bytes of a valid request, caught on their way."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        entity = AE(ae_title="FUZZ")
        entity.acse_timeout = 1
        entity.add_requested_context("1.2.840.10008.1.1")
        thread = threading.Thread(
            target=lambda: entity.associate("127.0.0.1", server.getsockname()[1], ae_title="CALQUE")
        )
        thread.start()
        connection, _ = server.accept()
        with connection:
            data = connection.recv(65536)
        thread.join()
    return data


@pytest.mark.parametrize("rounds", [4, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_it_stays_up_and_its_memory_flat(node, tmp_path: Path, rounds: int) -> None:
    process, (port, web), log = node
    file, *others = write_series(tmp_path / "in")
    posted = [other.read_bytes() for other in others]
    statuses: Counter[int] = Counter()
    request = association_request()
    rng = random.Random(7)  # noqa: S311
    before = 0
    for k in range(rounds + 5):
        if k == 5:
            before = resident(process)
        send_spoiled(port, file, rng, 6)
        for _ in range(4):
            send_bytes(port, request, rng)
            statuses[post_spoiled(web, posted, rng)] += 1
    assert set(statuses) <= {0, 200, 202, 400, 408, 409, 411, 413, 415, 431}, statuses
    assert process.poll() is None
    assert set(send(port, write_series(tmp_path / "sound", series="sound"))) == {0}
    grown = resident(process) - before
    assert grown < 24 * MEBIBYTE, f"{grown / MEBIBYTE:.1f} MB more after {rounds} rounds"
    said = log.read_text()
    assert "Traceback" not in said
    assert "Phantom" not in said
    assert_whole(tmp_path / "spool")
    figures = f"{rounds} rounds: {before / MEBIBYTE:.1f} + {grown / MEBIBYTE:.1f} MB; {dict(statuses)}"
    (tmp_path / "figures").write_text(figures)


def assert_whole(spool: Path) -> None:
    """Every file is recorded, and as long as it was when it was recorded; nothing else lies there."""
    with closing(sqlite3.connect(spool / "queue.sqlite")) as base:
        recorded = dict(base.execute("SELECT file, bytes FROM instance").fetchall())
    lying = {file.relative_to(spool).as_posix(): file.stat().st_size for file in spool.glob("series/*/*")}
    assert lying == recorded
    assert recorded
