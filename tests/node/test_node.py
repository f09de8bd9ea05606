"""The node on a real socket: what it takes, refuses, makes and sends, and what is left when it stops."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

pytest.importorskip("pynetdicom")

from pynetdicom import AE, evt

from calque.errors import InputError
from calque.node import Limits, Listening, node_status, parse_peer
from calque.node.node import plain_threads
from calque.node.rules import DicomDestination

from ..support.dicom_series import write_series
from .nodes import Copier, Running, running, send, until

# pynetdicom forgets the socket of a connection that was refused; the garbage collector closes it
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)


class Archive:
    """A PACS that keeps what it is sent, and may be down."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.port = _free_port()
        self._server = None

    @property
    def destination(self) -> DicomDestination:
        return DicomDestination(host="127.0.0.1", port=self.port, aet="ARCHIVE")

    def up(self, status: int = 0) -> None:
        entity = AE(ae_title="ARCHIVE")
        entity.add_supported_context("1.2.840.10008.5.1.4.1.1.2")

        def store(event: evt.Event) -> int:
            if status == 0:
                self.taken.append(str(event.request.AffectedSOPInstanceUID))
            return status

        self._server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, store)]
        )

    def down(self) -> None:
        if self._server is not None:
            self._server.ae.shutdown()
            self._server = None


@pytest.fixture
def archive() -> Iterator[Archive]:
    found = Archive()
    yield found
    found.down()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def states(node: Running) -> dict[str, int]:
    return node_status(node.options.spool).series


def deliveries(node: Running) -> dict[str, int]:
    return node_status(node.options.spool).deliveries


def test_a_series_comes_in_and_its_result_goes_out(tmp_path: Path, archive: Archive) -> None:
    files = write_series(tmp_path / "in")
    archive.up()
    with running(tmp_path / "spool", destinations={"archive": archive.destination}) as node:
        assert set(send(node.port, files)) == {0}
        until(lambda: deliveries(node) == {"sent": 1})
        status = node_status(node.options.spool)
        assert status.running
        assert status.healthy
        stored = sorted(pydicom.dcmread(f).SOPInstanceUID for f in (tmp_path / "spool").glob("series/*/*"))
        assert stored == sorted(pydicom.dcmread(f).SOPInstanceUID for f in files)
    assert len(archive.taken) == 1
    assert not node_status(tmp_path / "spool").running
    uid = pydicom.dcmread(files[0]).SeriesInstanceUID
    assert not any(uid in line or "Phantom" in line for line in node.said)


def test_echo_and_the_name_that_is_called(tmp_path: Path) -> None:
    with running(tmp_path / "spool") as node:
        entity = AE()
        entity.add_requested_context("1.2.840.10008.1.1")
        association = entity.associate("127.0.0.1", node.port, ae_title="CALQUE")
        assert association.send_c_echo().Status == 0
        association.release()
        assert entity.associate("127.0.0.1", node.port, ae_title="ANOTHER").is_rejected


def test_duplicates_make_no_second_result_and_growth_makes_a_new_one(
    tmp_path: Path, archive: Archive
) -> None:
    files = write_series(tmp_path / "in")
    archive.up()
    maker = Copier()
    with running(tmp_path / "spool", maker, {"archive": archive.destination}) as node:
        send(node.port, files[:-1])
        until(lambda: deliveries(node) == {"sent": 1})
        assert set(send(node.port, files[:-1])) == {0}
        assert set(send(node.port, files[2:4])) == {0}
        assert states(node) == {"done": 1}
        send(node.port, files)
        until(lambda: deliveries(node) == {"sent": 2})
        assert maker.calls == 2
        assert any("has grown since it was done" in line for line in node.said)
    with running(tmp_path / "spool", maker, {"archive": archive.destination}) as node:
        send(node.port, files)
        assert states(node) == {"done": 1}
    assert maker.calls == 2
    assert len(set(archive.taken)) == len(archive.taken) == 2


def test_its_own_results_are_not_worked_at(tmp_path: Path) -> None:
    maker = Copier()
    with running(tmp_path / "spool", maker) as node:
        send(node.port, write_series(tmp_path / "in"))
        until(lambda: states(node) == {"done": 1})
        send(node.port, list((tmp_path / "spool").glob("results/*/*/*.dcm")))
        until(lambda: states(node) == {"done": 1, "ignored": 1})
    assert maker.calls == 1


def test_a_destination_that_is_down_gets_its_result_when_it_is_up(tmp_path: Path, archive: Archive) -> None:
    with running(tmp_path / "spool", destinations={"archive": archive.destination}) as node:
        send(node.port, write_series(tmp_path / "in"))
        until(lambda: any("again in" in line for line in node.said))
        assert not node_status(node.options.spool).healthy
    with running(tmp_path / "spool", destinations={"archive": archive.destination}) as node:
        archive.up(status=0xA700)
        until(lambda: any("status A700" in line for line in node.said))
        archive.down()
        archive.up()
        until(lambda: deliveries(node) == {"sent": 1})
    assert len(archive.taken) == 1


def test_a_series_that_fails_is_recorded_and_the_next_one_is_done(tmp_path: Path) -> None:
    def fail(data: pydicom.Dataset) -> None:
        if data.SeriesDescription == "sick":
            raise InputError("This series is sick", got=str(data.PatientName))

    def sick(data: pydicom.Dataset, k: int) -> None:
        data.SeriesDescription = "sick"
        data.PatientName = "Secret^Name"

    with running(tmp_path / "spool", Copier(fail)) as node:
        send(node.port, write_series(tmp_path / "sick", edit=sick, series="sick"))
        until(lambda: states(node) == {"failed": 1})
        send(node.port, write_series(tmp_path / "in"))
        until(lambda: states(node) == {"failed": 1, "done": 1})
        failed = [one for one in node_status(node.options.spool).all_series if one.state == "failed"]
        assert "This series is sick" in failed[0].reason
        assert any(line.endswith("This series is sick") for line in node.said)
        assert not any("Secret" in line for line in node.said)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(free_bytes=2**60), [0xA700] * 6),
        (Limits(free_bytes=0, instance_bytes=1200), [0xA700] * 6),
        (Limits(free_bytes=0, series_instances=4), [0] * 4 + [0xA700] * 2),
    ],
)
def test_limits_are_told_by_status(tmp_path: Path, limits: Limits, expected: list[int]) -> None:
    with running(tmp_path / "spool", limits=limits) as node:
        assert send(node.port, write_series(tmp_path / "in")) == expected
        assert any("refused (A700)" in line for line in node.said)


def test_what_is_far_too_big_is_cut_off_while_it_arrives(tmp_path: Path) -> None:
    with running(tmp_path / "spool", limits=Limits(free_bytes=0, arriving_bytes=600)) as node:
        assert send(node.port, write_series(tmp_path / "in"))[0] == -1
        assert states(node) == {}


def test_too_many_associations_are_rejected(tmp_path: Path) -> None:
    with running(tmp_path / "spool", limits=Limits(free_bytes=0, associations=2)) as node:
        entity = AE()
        entity.add_requested_context("1.2.840.10008.1.1")
        two = [entity.associate("127.0.0.1", node.port, ae_title="CALQUE") for _ in range(2)]
        assert all(one.is_established for one in two)
        assert entity.associate("127.0.0.1", node.port, ae_title="CALQUE").is_rejected
        for one in two:
            one.release()
        until(lambda: len(send(node.port, write_series(tmp_path / "in"))) == 6)


def test_only_callers_on_the_list_are_admitted(tmp_path: Path) -> None:
    listening = Listening(port=0, allow=(parse_peer("PACS@127.0.0.1"),))
    files = write_series(tmp_path / "in")
    with running(tmp_path / "spool", listening=listening) as node:
        assert send(node.port, files, calling="STRANGER") == []
        assert set(send(node.port, files, calling="PACS")) == {0}
    elsewhere = Listening(port=0, allow=(parse_peer("PACS@10.9.8.7"),))
    with running(tmp_path / "spool", listening=elsewhere) as node:
        assert send(node.port, files, calling="PACS") == []
        assert any("not on the list" in line for line in node.said)


def test_a_spool_has_one_node(tmp_path: Path) -> None:
    with running(tmp_path / "spool") as node, pytest.raises(InputError, match="Another node"):
        node.node.run()


def test_a_port_in_use_is_an_error(tmp_path: Path) -> None:
    with running(tmp_path / "one") as node:
        options = node.options.model_copy(
            update={"spool": tmp_path / "two", "listening": Listening(port=node.port)}
        )
        with pytest.raises(InputError, match="cannot be listened on"):
            type(node.node)(options, Copier()).run()


def test_dcmtk_can_send(tmp_path: Path) -> None:
    if shutil.which("storescu") is None:
        pytest.skip("storescu of dcmtk is not installed")
    write_series(tmp_path / "in")
    with running(tmp_path / "spool") as node:
        call = ["-aec", "CALQUE", "127.0.0.1", str(node.port)]
        subprocess.run(["echoscu", *call], check=True)
        subprocess.run(["storescu", *call, "+sd", str(tmp_path / "in")], check=True)
        until(lambda: states(node) == {"done": 1})


def test_nonsense_on_the_wire_does_not_stop_it(tmp_path: Path) -> None:
    nonsense = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\x00" + struct.pack(">I", 2**32 - 1),  # an association request of 4 GB
        b"\x04\x00" + struct.pack(">I", 100),
        b"\x01\x00" + struct.pack(">I", 68) + bytes(68),
    ]
    with running(tmp_path / "spool") as node:
        for data in nonsense:
            with socket.create_connection(("127.0.0.1", node.port), timeout=10) as connection:
                connection.sendall(data)
        assert set(send(node.port, write_series(tmp_path / "in"))) == {0}
    until(lambda: not [one for one in threading.enumerate() if "AcceptorThread" in one.name])


def test_a_thread_that_fails_is_one_line_in_the_log() -> None:
    def fails() -> None:
        raise ValueError("Phantom^Patient")

    said: list[str] = []
    before = threading.excepthook
    with plain_threads(said.append):
        thread = threading.Thread(target=fails)
        thread.start()
        thread.join()
    assert said == ["an association ended out of turn: ValueError"]
    assert threading.excepthook is before
