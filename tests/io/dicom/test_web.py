"""What is said when a series cannot be fetched: what may help, and no address of a patient's study."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

pytest.importorskip("dicomweb_client")

from calque.errors import ReadError
from calque.io.dicom.web import WebSeries, authorization, fetch_series


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 0.5

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def refused(service: str, folder: Path) -> str:
    with pytest.raises(ReadError) as caught:
        fetch_series(WebSeries(service, "1.2.34567", "1.2.98765"), folder)
    said = str(caught.value)
    assert service in said
    assert "34567" not in said
    assert "98765" not in said
    return said


@pytest.mark.parametrize(
    ("status", "help"),
    [(401, "CALQUE_DICOMWEB_TOKEN"), (403, "USER:PASSWORD"), (404, "both UIDs"), (500, "HTTP 500")],
)
def test_statuses_say_what_may_help(status: int, help: str, tmp_path: Path) -> None:
    with answering(status) as port:
        assert help in refused(f"http://127.0.0.1:{port}/dicom-web", tmp_path)


def test_a_series_that_is_not_there(tmp_path: Path) -> None:
    with answering(204) as port:
        assert "no such series" in refused(f"http://127.0.0.1:{port}/dicom-web", tmp_path)


def test_a_service_that_has_gone_or_speaks_no_tls(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        gone = int(probe.getsockname()[1])
    assert "no connection" in refused(f"http://127.0.0.1:{gone}/dicom-web", tmp_path)
    with answering(200) as port:
        assert "REQUESTS_CA_BUNDLE" in refused(f"https://127.0.0.1:{port}/dicom-web", tmp_path)


def test_a_login_is_told_from_a_token() -> None:
    assert authorization("abc.def") == "Bearer abc.def"
    assert authorization("alice:a:b") == "Basic YWxpY2U6YTpi"
