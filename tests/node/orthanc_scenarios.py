"""Run in a network namespace of its own: Orthanc binds every interface, and here there is loopback alone.

    python orthanc_scenarios.py round_trip|load FOLDER ...

Prints what a test needs to know as JSON in its last line.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pydicom
from pynetdicom import AE

PLACES = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")
PLUGINS = [Path(folder) / "libOrthancDicomWeb.so" for folder in PLACES]
OUTPUTS = {"SEG": "seg", "RTSTRUCT": "rtstruct", "SR": "sr", "OT": "overlay"}
"""Modality of what the node makes -> its name in a rule."""


class Orthanc:
    """One server; instances are asked for over its REST interface."""

    def __init__(self, dicom: int, http: int) -> None:
        self.dicom, self.http = dicom, http

    def ask(self, path: str, question: object = None) -> bytes:
        """GET, or POST where there is a question."""
        body = None if question is None else json.dumps(question).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", body)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return bytes(answer.read())

    def find(self, level: str, modality: str) -> list[str]:
        """Its own names of what it has."""
        found = json.loads(self.ask("/tools/find", {"Level": level, "Query": {"Modality": modality}}))
        return [str(name) for name in found]

    def instances(self, modality: str) -> list[pydicom.Dataset]:
        files = [self.ask(f"/instances/{name}/file") for name in self.find("Instance", modality)]
        return [pydicom.dcmread(pydicom.filebase.DicomBytesIO(file)) for file in files]

    def count(self, modality: str) -> int:
        """Series of a modality."""
        return len(self.find("Series", modality))


@contextmanager
def orthanc(
    folder: Path, dicom: int, http: int, server: Orthanc | None = None, **more: object
) -> Iterator[Orthanc]:
    """A running one; `server` says how it is asked, `more` how it is configured."""
    folder.mkdir(parents=True)
    config = {
        "Name": "test", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "DicomPort": dicom, "HttpPort": http, "DicomAet": "ORTHANC", "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False, "DicomCheckCalledAet": False, "TcpNoDelay": True,
        "Plugins": [str(path) for path in PLUGINS if path.is_file()],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"}, **more,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", str(folder / "config.json")], stdout=log, stderr=log)
    server = server or Orthanc(dicom, http)
    try:
        until(lambda: answers(server), 60, "Orthanc does not answer")
        yield server
    finally:
        process.terminate()
        process.wait(30)


def answers(server: Orthanc) -> bool:
    try:
        server.ask("/system")
    except OSError:
        return False
    return True


class Listener:
    """`calque listen` as a process."""

    def __init__(self, model: Path | None, folder: Path, *options: str) -> None:
        self.log = folder / "node.log"
        self._command = [
            sys.executable, "-m", "calque.cli", "listen", *([str(model)] if model else []), "--port", "11112",
            "--spool", str(folder / "spool"), "--cache", str(folder / "cache"), "--min-free", "1MB", *options,
        ]  # fmt: skip
        self.starts = 0

    def start(self) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until(self._listens, 120, "the node does not start")

    def said(self) -> str:
        return self.log.read_text()

    def _listens(self) -> bool:
        if self.process.poll() is not None:
            raise SystemExit(self.said())
        return self.said().count("listens on") == self.starts

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def until(condition: Callable[[], bool], seconds: float, otherwise: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(otherwise)
        time.sleep(0.1)


def store(files: Sequence[Path], port: int, aet: str) -> bool:
    """One association; whether every instance was taken."""
    entity = AE(ae_title="SENDER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    entity.add_requested_context(pydicom.dcmread(files[0], stop_before_pixels=True).SOPClassUID)
    association = entity.associate("127.0.0.1", port, ae_title=aet)
    if not association.is_established:
        return False
    taken = 0
    try:
        for file in files:
            answer = association.send_c_store(pydicom.dcmread(file))
            if answer.get("Status") != 0:
                return False
            taken += 1
    except (RuntimeError, ValueError):  # the association broke
        return False
    finally:
        if association.is_established:
            association.release()
    return taken == len(files)


def round_trip(folder: Path) -> dict[str, Any]:
    """Scan -> node -> every output -> two servers, by C-STORE and STOW-RS; and a prediction by DICOMweb."""
    files = sorted((folder / "series").glob("*.dcm"))
    header = pydicom.dcmread(files[0], stop_before_pixels=True)
    model = folder / "model.calque"
    with ExitStack() as stack:
        stored = stack.enter_context(orthanc(folder / "a", 4242, 8042))
        posted = stack.enter_context(orthanc(folder / "b", 4243, 8043))
        node = Listener(
            model, folder, "--send", "127.0.0.1:4242:ORTHANC",
            "--stow", "http://127.0.0.1:8043/dicom-web", "--quiet", "10s", "--settle", "0.5s",
            "--outputs", ",".join(OUTPUTS.values()),
        )  # fmt: skip
        node.start()
        assert store(files, 11112, "CALQUE")
        sent = 2 * (len(OUTPUTS) - 1 + len(files))  # an overlay is a picture for each slice
        until(lambda: node.said().count(": delivered") == sent, 500, "not everything was delivered")
        for name, server in (("stored", stored), ("posted", posted)):
            for modality, output in OUTPUTS.items():
                (folder / name / output).mkdir(parents=True)
                for k, data in enumerate(server.instances(modality)):
                    data.save_as(folder / name / output / f"{k}.dcm", enforce_file_format=True)
        code = node.stop()
        assert store(files, 4242, "ORTHANC")
        address = f"dicomweb://127.0.0.1:8042/dicom-web/studies/{header.StudyInstanceUID}/series/"
        call = [sys.executable, "-m", "calque.cli", "predict", str(model), address + header.SeriesInstanceUID]
        cache = ["--cache", str(folder / "cache")]
        subprocess.run([*call, "-o", str(folder / "fetched"), *cache], check=True, stdout=sys.stderr)
    return {"stopped": code, "log": node.said()}


def load(folder: Path, senders: str) -> dict[str, Any]:
    """Series from several senders at once; the node is killed in the middle and started again."""
    folders = sorted((folder / "series").iterdir())
    waiting = list(folders)
    lock = threading.Lock()

    def send() -> None:
        while True:
            with lock:
                if not waiting:
                    return
                one = waiting.pop()
            while not store(sorted(one.glob("*.dcm")), 11112, "CALQUE"):
                time.sleep(random.uniform(0.1, 0.5))  # noqa: S311
            time.sleep(random.uniform(0.1, 0.5))  # noqa: S311

    begun = time.monotonic()
    with orthanc(folder / "a", 4242, 8042) as server:
        node = Listener(
            folder / "model.calque", folder, "--send", "127.0.0.1:4242:ORTHANC",
            "--quiet", "15s", "--settle", "0.5s",
        )  # fmt: skip
        node.start()
        threads = [threading.Thread(target=send) for _ in range(int(senders))]
        for thread in threads:
            thread.start()
        until(lambda: server.count("SEG") >= max(1, len(folders) // 4), 200, "nothing before the kill")
        node.kill()
        killed = server.count("SEG")
        node.start()
        for thread in threads:
            thread.join()
        until(lambda: server.count("SEG") >= len(folders), 400, f"only {server.count('SEG')} results")
        for one in folders:  # everything once more: no second result may come of it
            assert store(sorted(one.glob("*.dcm")), 11112, "CALQUE")
        time.sleep(2)
        found = server.instances("SEG")
        seconds = time.monotonic() - begun
        code = node.stop()
    sources = [data.ReferencedSeriesSequence[0].SeriesInstanceUID for data in found]
    return {
        "stopped": code, "sources": [str(uid) for uid in sources], "killed_at": killed, "seconds": seconds,
        "log": node.said(),
    }  # fmt: skip


SCENARIOS = {"round_trip": round_trip, "load": load}

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.stdout.write(json.dumps(SCENARIOS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])) + "\n")
