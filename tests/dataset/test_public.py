"""Public datasets: a table without gaps, and fetching from a server on this machine."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.io.test_archive import archive

from calque.dataset.public import PUBLIC, PublicSet, fetch, public_set
from calque.errors import InputError, ReadError, ResourceError
from calque.io.room import size_in_words

_NOISE = hashlib.sha256(b"noise").digest() * 30_000
FILES = {"Task99_Tiny/dataset.json": b"{}", "Task99_Tiny/imagesTr/a.nii.gz": _NOISE}


class Server:
    """Serves one archive; may break off, and may not know ranges."""

    def __init__(self, data: bytes) -> None:
        self.data, self.ranges, self.asked = data, True, [""]
        self.break_after: int | None = None
        self.asked.clear()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/Task99_Tiny.tar"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range", "")
        self.asked.append(asked)
        start = int(asked[6:-1]) if asked and self.ranges else 0
        if start >= len(self.data):
            request.send_error(416)
            return
        body = self.data[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body if self.break_after is None else body[: self.break_after])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    served = Server(archive(tmp_path / "served.tar", FILES).read_bytes())
    yield served
    served.http.shutdown()
    served.http.server_close()


def _tiny(server: Server) -> PublicSet:
    checksum = hashlib.md5(server.data, usedforsecurity=False).hexdigest()
    return replace(
        PUBLIC["hippocampus"],
        name="tiny",
        folder="Task99_Tiny",
        url=server.url,
        size=len(server.data),
        checksum=f"md5:{checksum}",
    )


def test_the_table_has_no_gaps() -> None:
    assert len(PUBLIC) == 10
    assert sorted(s.folder[:6] for s in PUBLIC.values()) == [f"Task{k:02d}" for k in range(1, 11)]
    for name, entry in PUBLIC.items():
        assert entry.name == name
        assert entry.url == f"https://msd-for-monai.s3-us-west-2.amazonaws.com/{entry.folder}.tar"
        assert re.fullmatch(r"md5:[0-9a-f]{32}", entry.checksum)
        assert entry.size > 10**7
        assert entry.licence
        assert entry.cite
    assert len({entry.checksum for entry in PUBLIC.values()}) == 10


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(InputError) as caught:
        public_set("lungs")
    assert "hepatic-vessel" in str(caught.value)


def test_it_is_fetched_once_and_unpacked(tmp_path: Path, server: Server) -> None:
    for _ in range(2):
        folder = fetch(_tiny(server), tmp_path / "out", cache=tmp_path / "cache")
        assert folder == tmp_path / "out" / "Task99_Tiny"
        assert (folder / "imagesTr" / "a.nii.gz").read_bytes() == _NOISE
    shutil.rmtree(folder)
    fetch(_tiny(server), tmp_path / "out", cache=tmp_path / "cache")
    assert server.asked == [""]  # the archive was kept


def test_an_interrupted_download_goes_on(tmp_path: Path, server: Server) -> None:
    server.break_after = 300_000
    with pytest.raises(OSError, match="have arrived"):
        fetch(_tiny(server), tmp_path / "out", cache=tmp_path / "cache")
    assert not (tmp_path / "out").exists()
    part = tmp_path / "cache" / "Task99_Tiny.tar.part"
    arrived = part.stat().st_size
    assert 0 < arrived <= 300_000
    server.break_after = None
    fetch(_tiny(server), tmp_path / "out", cache=tmp_path / "cache")
    assert server.asked == ["", f"bytes={arrived}-"]
    assert not part.exists()


def test_a_server_without_ranges_is_asked_for_all(tmp_path: Path, server: Server) -> None:
    server.ranges = False
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "Task99_Tiny.tar.part").write_bytes(b"something else")
    folder = fetch(_tiny(server), tmp_path / "out", cache=tmp_path / "cache")
    assert (folder / "dataset.json").read_bytes() == b"{}"


def test_a_part_that_is_too_long_is_thrown_away(tmp_path: Path, server: Server) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "Task99_Tiny.tar.part").write_bytes(server.data + b"more")
    assert fetch(_tiny(server), tmp_path / "out", cache=tmp_path / "cache").is_dir()
    assert server.asked[-1] == ""


def test_another_checksum_is_refused_and_nothing_is_kept(tmp_path: Path, server: Server) -> None:
    wrong = replace(_tiny(server), checksum="md5:" + "0" * 32)
    with pytest.raises(ReadError, match="not what it should be"):
        fetch(wrong, tmp_path / "out", cache=tmp_path / "cache")
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_full_disk_is_seen_before_anything_is_fetched(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(ResourceError, match="not enough room"):
        fetch(_tiny(server), tmp_path / "out", cache=tmp_path / "cache")
    assert server.asked == []


def test_only_the_web_is_fetched_from(tmp_path: Path, server: Server) -> None:
    (tmp_path / "secret.tar").write_bytes(server.data)
    local = replace(_tiny(server), url=f"file://{tmp_path}/secret.tar")
    with pytest.raises((InputError, ReadError)):
        fetch(local, tmp_path / "out", cache=tmp_path / "cache")


def test_sizes_for_people() -> None:
    assert size_in_words(28_400_000) == "28.4 MB"
    assert size_in_words(7_600_000_000) == "7.6 GB"
