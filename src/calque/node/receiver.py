"""The DICOM service: verification and storage, by pynetdicom, with what it does not bound bounded here."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from calque.errors import InputError
from calque.node.intake import NOT_UNDERSTOOD, STORED, Answer, Intake
from calque.node.limits import Limits, Patience
from calque.node.listening import Listening
from calque.node.traffic import Traffic

if TYPE_CHECKING:
    from pynetdicom.events import Event
    from pynetdicom.transport import ThreadedAssociationServer

_REJECTED_CALLER = (0x01, 0x01, 0x03)  # permanent, service user, calling AE title not recognised
_REQUEST_BYTES = 2**20  # association requests are not bounded by the maximum length that we announce
# Inflating is not bounded by what was received: a kilobyte may become a gigabyte.
_DEFLATED = {
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.95",
    "1.2.840.10008.1.2.4.205",
    "1.2.840.10008.1.2.8.1",
}


class Receiver:
    """Takes associations until it is stopped.

    Args:
        listening: where, and from whom.
        intake: takes each instance.
        traffic: counts and bounds what arrives.
        patience: how long a silent peer is borne.
        say: gets one line about what an operator should know.
    """

    def __init__(
        self,
        listening: Listening,
        intake: Intake,
        traffic: Traffic,
        patience: Patience,
        say: Callable[[str], None],
    ) -> None:
        self._listening, self._intake, self._traffic = listening, intake, traffic
        self._limits, self._patience, self._say = traffic.limits, patience, say
        self._server: ThreadedAssociationServer | None = None

    def start(self) -> int:
        """Listen; returns the port.

        Raises:
            InputError: the address cannot be bound, or TLS cannot be set up.
        """
        from pynetdicom import AE, evt

        hush_libraries()
        entity = AE(ae_title=self._listening.aet)
        entity.require_called_aet = True
        entity.maximum_associations = self._limits.associations
        entity.maximum_pdu_size = self._limits.pdu_bytes
        entity.network_timeout = self._patience.network
        entity.acse_timeout = entity.dimse_timeout = min(30.0, self._patience.network)
        _support(entity)
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_CONN_CLOSE, self._closed),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_DIMSE_RECV, lambda event: self._traffic.forget(event.assoc)),
            (evt.EVT_C_STORE, self._stored),
            (evt.EVT_RELEASED, self._released),
            (evt.EVT_ABORTED, self._aborted),
        ]
        address = (self._listening.host, self._listening.port)
        try:
            self._server = entity.start_server(
                address, block=False, ssl_context=self._listening.tls(), evt_handlers=handlers
            )
        except OSError as problem:
            raise InputError(
                "This address cannot be listened on",
                where=f"{address[0]}:{address[1]}",
                got=problem,
                fix="choose another --port, or stop what uses it",
            ) from None
        assert self._server is not None  # noqa: S101  (it is None only when it blocks)
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Close the port and abort what is open."""
        if self._server is not None:
            self._server.ae.shutdown()
            self._server = None

    def _opened(self, event: Any) -> None:
        association = event.assoc
        address = str(event.address[0])
        waiting = self._traffic.open(association)
        if waiting > 2 * self._limits.associations or not self._listening.knows(address):
            self._say(f"a connection from {address} was closed: {_reason(waiting, self._limits)}")
            _close(association)
            return
        longest = max(self._limits.pdu_bytes, _REQUEST_BYTES)
        _bound(association, self._traffic, longest, self._patience)

    def _closed(self, event: Event) -> None:
        self._traffic.close(event.assoc)
        if event.assoc.requestor.primitive is None:
            # It waits for a request that can no longer come, for half a minute, and counts as an association.
            event.assoc.dul.to_user_queue.put(None)

    def _requested(self, event: Event) -> None:
        requestor = event.assoc.requestor
        aet = str(getattr(requestor.primitive, "calling_ae_title", "")).strip()
        if not self._listening.admits(aet, str(requestor.address)):
            self._say(f"rejected: a caller at {requestor.address} who is not on the list")
            event.assoc.acse.send_reject(*_REJECTED_CALLER)
            event.assoc.kill()

    def _stored(self, event: Event) -> int:
        request: Any = event.request
        try:
            data = event.encoded_dataset()
            request.DataSet.close()  # the copy is what is kept
        except (AttributeError, ValueError, TypeError):
            return NOT_UNDERSTOOD
        try:
            answer = self._intake.store(
                data, str(request.AffectedSOPInstanceUID), str(request.AffectedSOPClassUID)
            )
        except Exception as problem:
            # A fault of ours must not end the service: the sender keeps the instance and sends it again.
            self._say(f"refused: an instance could not be stored: {type(problem).__name__}")
            answer = Answer(NOT_UNDERSTOOD)
        if answer.status == STORED and answer.key is not None:
            self._traffic.brought(event.assoc, answer.key)
        return answer.status

    def _released(self, event: Event) -> None:
        self._intake.release(self._traffic.released(event.assoc))

    def _aborted(self, event: Event) -> None:
        self._traffic.close(event.assoc)


def _close(association: Any) -> None:
    connection = association.dul.socket
    if connection is not None:
        connection.close()


def _support(entity: Any) -> None:
    """Every storage class in every transfer syntax that is stored as it comes, and verification."""
    from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

    classes, syntaxes = taken()
    for sop_class in classes:
        entity.add_supported_context(sop_class, syntaxes)
    entity.add_supported_context(Verification)


def taken() -> tuple[list[str], list[str]]:
    """UIDs of the storage classes and of the transfer syntaxes that are stored."""
    from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts

    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    return classes, [str(uid) for uid in ALL_TRANSFER_SYNTAXES if uid not in _DEFLATED]


def _bound(association: Any, traffic: Traffic, longest: int, patience: Patience) -> None:
    """Refuse to read what is too long, before it is read; and do not wait for ever."""
    connection = association.dul.socket
    connection.socket.settimeout(patience.network)
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    receive = connection.recv

    def bounded(length: int) -> bytearray:
        if length > longest:
            raise OSError(f"a protocol data unit of {length} bytes")
        traffic.expect(association, length)
        return bytearray(receive(length))

    connection.recv = bounded


def _reason(waiting: int, limits: Limits) -> str:
    return "too many are open" if waiting > 2 * limits.associations else "its address is not on the list"


def hush_libraries() -> None:
    """Keep the logs of the DICOM libraries to themselves: they quote what patients' files hold."""
    for name in ("pynetdicom", "pydicom", "dicomweb_client", "highdicom"):
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
