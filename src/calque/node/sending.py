"""How a file reaches a destination: C-STORE or STOW-RS."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from calque.errors import InputError
from calque.node.rules import Destination, DicomDestination, StowDestination

_WARNINGS = range(0xB000, 0xC000)
_SECONDS = 30.0


@dataclass(frozen=True)
class Sender:
    """Sends files.

    Args:
        destinations: by name.
        aet: our application entity title.
        tokens: bearer tokens by the name of their environment variable.
    """

    destinations: Mapping[str, Destination]
    aet: str
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)

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
            return type(problem).__name__

    def _token(self, destination: StowDestination) -> str | None:
        variable = destination.token_variable
        if variable is None:
            return None
        if variable not in self.tokens:
            raise InputError("The token's environment variable is not set", got=variable)
        return self.tokens[variable]


def send_c_store(file: Path, destination: DicomDestination, aet: str) -> str | None:
    """Send one file as it is encoded; None if it was stored, else why not."""
    from pydicom import dcmread
    from pynetdicom import AE

    data = dcmread(file)
    entity = AE(ae_title=aet)
    entity.connection_timeout = entity.acse_timeout = _SECONDS
    entity.dimse_timeout = entity.network_timeout = 4 * _SECONDS
    entity.add_requested_context(data.file_meta.MediaStorageSOPClassUID, data.file_meta.TransferSyntaxUID)
    tls = (ssl.create_default_context(), destination.host) if destination.tls else None
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

    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    client = DICOMwebClient(destination.url.rstrip("/"), headers=headers, timeout=(_SECONDS, 4 * _SECONDS))
    client.set_http_retry_params(retry=False)  # the queue tries again
    try:
        answer = client.store_instances([dcmread(file)])
    except HTTPError as problem:
        return "HTTP error" if problem.response is None else f"HTTP {problem.response.status_code}"
    refused = answer.get("FailedSOPSequence")
    return None if not refused else f"refused, reason {refused[0].get('FailureReason', 0):04X}"
