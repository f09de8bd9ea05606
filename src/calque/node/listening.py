"""Where the node listens, and to whom: addresses, allow-list, TLS."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from calque.errors import InputError
from calque.value import Value

LOOPBACK = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104  (bound only with a list of who may call)


class Peer(Value):
    """Who may call.

    Args:
        aet: calling application entity title; "*" is any.
        network: its address, or a network such as 10.1.0.0/16.
    """

    aet: str = Field(min_length=1, max_length=16)
    network: str

    @field_validator("network")
    @classmethod
    def _is_network(cls, text: str) -> str:
        return str(ipaddress.ip_network(text, strict=False))

    def admits(self, aet: str, address: str) -> bool:
        """Whether this is the caller."""
        where = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(where, ipaddress.IPv6Address) and where.ipv4_mapped is not None:
            where = where.ipv4_mapped
        return self.aet in ("*", aet) and where in ipaddress.ip_network(self.network)


def parse_peer(text: str) -> Peer:
    """A `Peer` of "AET@ADDRESS", "AET@NETWORK/BITS" or "*@ADDRESS".

    Raises:
        InputError: it is not of this form.
    """
    aet, at, network = text.partition("@")
    try:
        if not at:
            raise ValueError("there is no @")
        return Peer(aet=aet, network=network)
    except ValueError as problem:
        raise InputError(
            "This does not name a peer",
            expected="AET@ADDRESS, such as PACS@10.1.2.3 or *@10.1.0.0/16",
            got=f"{text}: {str(problem).splitlines()[-1].strip()}",
        ) from None


class Web(Value):
    """Where DICOMweb is spoken.

    Args:
        host: address to bind; beyond loopback there must be a token.
        port: 0 lets the system choose one.
        token_variable: environment variable that holds the token which callers show.
    """

    host: str = LOOPBACK
    port: int = Field(default=11180, ge=0, le=65535)
    token_variable: str = "CALQUE_NODE_TOKEN"  # noqa: S105  (a name, no token)

    def require_guard(self, token: bool) -> None:
        """Refuse an address beyond loopback without a token.

        Raises:
            InputError: there is none.
        """
        if not token and not is_loopback(self.host):
            raise InputError(
                "DICOMweb beyond this machine needs a token",
                where=f"{self.host}:{self.port}",
                fix=f"set {self.token_variable}, or listen on loopback",
            )


class Listening(Value):
    """The node's own end.

    Args:
        host: address to bind; loopback unless `allow` says who may call.
        port: 0 lets the system choose one.
        aet: the node's application entity title; calls for another one are rejected.
        allow: who may call; empty: anybody on this machine.
        certificate: PEM file of TLS; None: no TLS.
        key: PEM file of the certificate's key.
        authorities: PEM file; peers must show a certificate that one of these has signed.
        web: where DICOMweb is spoken too; None: nowhere.
    """

    host: str = LOOPBACK
    port: int = Field(default=11112, ge=0, le=65535)
    aet: str = Field(default="CALQUE", min_length=1, max_length=16)
    allow: tuple[Peer, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None
    web: Web | None = None

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not self.allow and not is_loopback(self.host):
            raise ValueError(f"an address beyond loopback ({self.host}) needs a list of who may call")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("TLS needs a certificate and its key")
        if self.authorities is not None and self.certificate is None:
            raise ValueError("authorities are of TLS, which needs a certificate")
        return self

    def admits(self, aet: str, address: str) -> bool:
        """Whether this caller may associate."""
        if not self.allow:
            return is_loopback(address)
        return any(peer.admits(aet, address) for peer in self.allow)

    def knows(self, address: str) -> bool:
        """Whether somebody at this address may call."""
        return not self.allow or any(peer.admits(peer.aet, address) for peer in self.allow)

    def tls(self) -> ssl.SSLContext | None:
        """The context for incoming connections; None without TLS.

        Raises:
            InputError: the certificate or the authorities cannot be used.
        """
        if self.certificate is None:
            return None
        context = _Patient(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key)
            if self.authorities is not None:
                context.load_verify_locations(self.authorities)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as problem:
            raise InputError("TLS cannot be set up", where=self.certificate, got=problem) from None
        return context


class _Patient(ssl.SSLContext):
    """Shakes hands when something is read, in the association's own thread: a silent caller blocks nobody."""

    def wrap_socket(self, *arguments: object, **options: object) -> ssl.SSLSocket:
        options["do_handshake_on_connect"] = False
        return super().wrap_socket(*arguments, **options)  # type: ignore[arg-type]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def parse_peers(texts: Sequence[str]) -> tuple[Peer, ...]:
    """Several; see `parse_peer`."""
    return tuple(parse_peer(text) for text in texts)
