"""How a file reaches a destination: C-STORE or STOW-RS."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from calque.errors import InputError
from calque.io.dicom.web import authorization
from calque.node.rules import Destination, DicomDestination, StowDestination, Tls

if TYPE_CHECKING:
    from requests import Session

_WARNINGS = range(0xB000, 0xC000)
_SECONDS = 30.0


@dataclass(frozen=True)
class Sender:
    """Sends files.

    Args:
        destinations: by name.
        aet: our application entity title.
        tokens: by the name of their environment variable; see `authorization`.
    """

    destinations: Mapping[str, Destination]
    aet: str
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)

    def require_usable(self) -> None:
        """Look at what destinations need before the first result is on its way.

        Raises:
            InputError: a token's variable is not set, or a file of TLS cannot be used.
        """
        for destination in self.destinations.values():
            if isinstance(destination.tls, Tls):
                context_of(destination.tls)
            if isinstance(destination, StowDestination):
                self._token(destination)

    def send(self, file: Path, name: str) -> str | None:
        """None if `file` has arrived, else why not, without identifiers."""
        destination = self.destinations.get(name)
        if destination is None:
            return "no such destination is configured any more"
        if not file.is_file():
            return "its file has gone from the spool"
        try:
            if isinstance(destination, DicomDestination):
                return send_c_store(file, destination, self.aet)
            return send_stow(file, destination, self._token(destination))
        except Exception as problem:  # a network fails in many ways; each is tried again
            return _what_failed(problem)

    def _token(self, destination: StowDestination) -> str | None:
        variable = destination.token_variable
        if variable is None:
            return None
        if variable not in self.tokens:
            raise InputError(
                "The environment variable of a destination's token is not set",
                where=destination.url,
                expected=variable,
            )
        return self.tokens[variable]


def context_of(tls: Tls | bool) -> ssl.SSLContext:
    """For connections to a destination, whose certificate is verified.

    Raises:
        InputError: a file cannot be used.
    """
    if isinstance(tls, bool):
        return ssl.create_default_context()
    try:
        context = ssl.create_default_context(cafile=tls.authorities)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except OSError as problem:
        files = ", ".join(
            str(file) for file in (tls.authorities, tls.certificate, tls.key) if file is not None
        )
        raise InputError("TLS to a destination cannot be set up", where=files, got=problem) from None
    return context


def _session(url: str, tls: Tls | None) -> Session:
    from requests import Session
    from requests.utils import get_environ_proxies

    session = Session()
    if tls is not None and tls.authorities is not None:
        session.verify = str(tls.authorities)
        session.proxies.update(get_environ_proxies(url))
        session.trust_env = False  # else REQUESTS_CA_BUNDLE would be trusted in their place
    if tls is not None and tls.certificate is not None:
        session.cert = (str(tls.certificate), str(tls.key))
    return session


def _what_failed(problem: BaseException) -> str:
    """The kind of a problem, and what TLS did not like; never an address, a header or what was sent."""
    cause: BaseException | None = problem
    while cause is not None and not isinstance(cause, ssl.SSLError):
        reason = getattr(cause, "reason", None)  # of urllib3
        cause = reason if isinstance(reason, BaseException) else cause.__cause__ or cause.__context__
    if cause is None:
        return type(problem).__name__
    return f"TLS: {getattr(cause, 'verify_message', '') or cause.reason or 'failed'}"


def send_c_store(file: Path, destination: DicomDestination, aet: str) -> str | None:
    """Send one file as it is encoded; None if it was stored, else why not."""
    from pydicom import dcmread
    from pynetdicom import AE

    data = dcmread(file)
    entity = AE(ae_title=aet)
    entity.connection_timeout = entity.acse_timeout = _SECONDS
    entity.dimse_timeout = entity.network_timeout = 4 * _SECONDS
    entity.add_requested_context(data.file_meta.MediaStorageSOPClassUID, data.file_meta.TransferSyntaxUID)
    tls = (context_of(destination.tls), destination.host) if destination.tls else None
    association = entity.associate(destination.host, destination.port, ae_title=destination.aet, tls_args=tls)
    if not association.is_established:
        return "rejected" if association.is_rejected else "no association"
    try:
        if not association.accepted_contexts:
            return "it does not take this kind of object"
        status = association.send_c_store(data)
    finally:
        association.release()
    if "Status" not in status:
        return "no answer"
    if status.Status == 0 or status.Status in _WARNINGS:
        return None
    return f"status {status.Status:04X}"


def send_stow(file: Path, destination: StowDestination, token: str | None) -> str | None:
    """Post one file; None if it was stored, else why not."""
    from dicomweb_client.web import DICOMwebClient
    from pydicom import dcmread
    from requests import HTTPError

    headers = {} if token is None else {"Authorization": authorization(token)}
    client = DICOMwebClient(
        destination.url.rstrip("/"),
        _session(destination.url, destination.tls),
        headers=headers,
        timeout=(_SECONDS, 4 * _SECONDS),
    )
    client.set_http_retry_params(retry=False)  # the queue tries again
    try:
        answer = client.store_instances([dcmread(file)])
    except HTTPError as problem:
        return "HTTP error" if problem.response is None else f"HTTP {problem.response.status_code}"
    refused = answer.get("FailedSOPSequence")
    return None if not refused else f"refused, reason {refused[0].get('FailureReason', 0):04X}"
