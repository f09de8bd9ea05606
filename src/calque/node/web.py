"""The DICOMweb service: STOW-RS by the standard library's HTTP server, bounded as the DICOM service is."""

from __future__ import annotations

import hmac
import re
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from typing import Any

from calque.errors import InputError
from calque.io.dicom.web import authorization
from calque.node.intake import Intake
from calque.node.limits import Patience
from calque.node.listening import Listening, is_loopback
from calque.node.multipart import BodyError, Read, body, boundary_of, parts
from calque.node.paced import Paced
from calque.node.receiver import hush_libraries, taken
from calque.node.stow import DICOM, JSON, XML, Storing
from calque.node.traffic import Traffic

_STUDIES = re.compile(r"(?:/dicom-web)?/studies(?:/(?P<study>[\d.]{1,64}))?/?")
_DRAINED = 4 * 2**20  # bytes of a refused request that are read, so that its sender sees the answer
_DRAINING = 2.0  # seconds for that


class WebReceiver:
    """Takes HTTP requests until it is stopped.

    Args:
        listening: `listening.web` says where; the addresses of `listening.allow` and TLS are those of DICOM.
        intake: takes each instance.
        traffic: counts and bounds what arrives, together with what comes by DICOM.
        patience: how long a silent peer is borne.
        say: gets one line about what an operator should know.
        token: that callers must show; None: none, which is for loopback alone.
    """

    def __init__(
        self,
        listening: Listening,
        intake: Intake,
        traffic: Traffic,
        patience: Patience,
        say: Callable[[str], None],
        token: str | None = None,
    ) -> None:
        self.listening, self.intake, self.traffic = listening, intake, traffic
        self.patience, self.say, self.token = patience, say, token
        self.classes: tuple[list[str], list[str]] = ([], [])
        self._server: _Server | None = None

    def start(self) -> str:
        """Listen; returns the address of the service.

        Raises:
            InputError: the address is beyond loopback and there is no token, or it cannot be bound, or TLS
                cannot be set up.
        """
        web = self.listening.web
        if web is None:
            raise InputError("Nothing says where DICOMweb is to be spoken", expected="listening.web")
        web.require_guard(self.token is not None)
        hush_libraries()
        self.classes = taken()
        try:
            server = _Server((web.host, web.port), self)
        except OSError as problem:
            raise InputError(
                "This address cannot be listened on",
                where=f"{web.host}:{web.port}",
                got=problem,
                fix="choose another --web-port, or stop what uses it",
            ) from None
        context = self.listening.tls()
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        self._server = server
        threading.Thread(target=server.serve_forever, name="calque-web", daemon=True).start()
        scheme = "http" if context is None else "https"
        return f"{scheme}://{web.host}:{server.server_address[1]}/dicom-web"

    def stop(self) -> None:
        """Close the port, and what is open."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    """A thread for each connection, and no more of them than callers are borne."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], owner: WebReceiver) -> None:
        self.owner = owner
        self._places = threading.BoundedSemaphore(owner.traffic.limits.associations)
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        super().__init__(address, _Request)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  (of the base)
        address = str(client_address[0])
        known = is_loopback(address) or self.owner.listening.knows(address)
        if not known:
            self.owner.say(f"a connection from {address} was closed: its address is not on the list")
        return known

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.owner.say(f"a connection from {client_address[0]} was closed: too many are open")
            self.shutdown_request(request)
            return
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._connections.discard(request)
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke; the traceback would quote what was sent."""

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            left = tuple(self._connections)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has gone by itself


class _Request(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Calque", ""
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.owner.patience.network)
        self.rfile.close()
        self._paced = Paced(self.connection, self.server.owner.patience.network)
        self.rfile = BufferedReader(self._paced, 65536)

    def handle_one_request(self) -> None:
        """Each request of a connection has its own time."""
        self._paced.begin()
        super().handle_one_request()

    def do_POST(self) -> None:
        """Store what the body holds."""
        owner = self.server.owner
        owner.traffic.open(self)
        try:
            storing = self._store(owner)
            # Only now: what was cut off may come again, and its series is not taken for complete before that.
            owner.intake.release(owner.traffic.released(self))
        except BodyError as problem:
            owner.say(f"refused (HTTP {problem.status}): {problem}")
            self._refuse(problem.status)
        except TimeoutError:
            owner.say("refused (HTTP 408): a request that does not come to its end")
            self._refuse(408)
        except OSError:
            self.close_connection = True  # it broke
        else:
            kind = XML if XML in (accept := self.headers.get("Accept", "")) and JSON not in accept else JSON
            self._answer(storing.status, storing.answer(kind), kind)
        finally:
            owner.traffic.close(self)

    def _store(self, owner: WebReceiver) -> Storing:
        self._authorise(owner.token)
        found = _STUDIES.fullmatch(self.path)
        if found is None:
            raise BodyError(404, "there is no such address")
        limits = owner.traffic.limits
        boundary, read = self._body(owner)
        storing = Storing(
            owner.intake, owner.classes, found["study"], lambda key: owner.traffic.brought(self, key)
        )
        for number, part in enumerate(parts(read, boundary, limits.instance_bytes), start=1):
            if number > limits.series_instances:
                raise BodyError(413, f"more than {limits.series_instances} instances in one request")
            owner.traffic.forget(self)
            storing.take(part)
        while read(65536):  # what follows the last boundary, so that the connection can be used again
            owner.traffic.forget(self)
        if storing.status == 400:
            raise BodyError(400, "the body holds nothing")
        return storing

    def _body(self, owner: WebReceiver) -> tuple[bytes, Read]:
        """Its boundary, and how it is read; what is read is counted."""
        headers, limits = self.headers, owner.traffic.limits
        for name in ("Content-Length", "Transfer-Encoding", "Content-Type"):
            if len(headers.get_all(name, [])) > 1:
                raise BodyError(400, f"{name} is there twice")
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise BodyError(415, "the content is compressed")
        length, coding = headers.get("Content-Length"), headers.get("Transfer-Encoding")
        boundary = boundary_of(headers.get("Content-Type"), DICOM)
        read = body(self.rfile.read, self.rfile.readline, length, coding, limits.series_bytes)

        def counted(size: int) -> bytes:
            data = read(min(size, limits.instance_bytes))
            try:
                owner.traffic.expect(self, len(data))
            except OSError as problem:
                raise BodyError(503, f"too much arrives at once: {problem}") from None
            return data

        return boundary, counted

    def _authorise(self, token: str | None) -> None:
        """Refuse strangers, and web pages that a browser on this machine shows."""
        shown = self.headers.get("Authorization", "").encode("latin-1", "replace")
        if token is not None and not hmac.compare_digest(shown, authorization(token).encode()):
            raise BodyError(401, "a request without the token")
        if "Origin" in self.headers:
            raise BodyError(403, "a request of a web page")

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if status == 401:
            self.send_header("WWW-Authenticate", 'Bearer realm="Calque"')
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: int) -> None:
        """Answer, and hang up once the sender has had time to read that."""
        self.close_connection = True
        try:
            self._answer(status, b"", "text/plain")
            self.connection.settimeout(_DRAINING)
            end, left = time.monotonic() + _DRAINING, _DRAINED
            while left > 0 and time.monotonic() < end and (data := self.connection.recv(65536)):
                left -= len(data)
        except OSError:
            return  # it did not wait for the answer

    def log_message(self, format: str, *args: Any) -> None:
        """Addresses that were asked for hold UIDs of patients' studies: nothing is logged."""
