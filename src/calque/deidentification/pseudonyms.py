"""Stand-ins that are the same wherever the same secret salt is used, and say nothing without it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from calque.errors import InputError, ReadError

_SALT_BYTES = 32
_STANDARD = "1.2.840.10008."
_LONGEST_SHIFT = 3650


@dataclass(frozen=True)
class Pseudonyms:
    """Stand-ins by HMAC-SHA256.

    Args:
        salt: a secret; who has it can try identifiers until one fits.
    """

    salt: bytes = field(repr=False)

    def uid(self, uid: str) -> str:
        """Another UID (PS3.5, B.2: 2.25 and a 128-bit number); what the standard defines stays."""
        if not uid or uid.startswith(_STANDARD):
            return uid
        number = bytearray(self._digest("uid", uid)[:16])
        number[6] = (number[6] & 0x0F) | 0x80  # RFC 9562, version 8: of our own making
        number[8] = (number[8] & 0x3F) | 0x80
        return f"2.25.{int.from_bytes(number, 'big')}"

    def patient(self, identity: str) -> str:
        """A name for a patient: "CQ" and 12 letters or digits."""
        return "CQ" + base64.b32encode(self._digest("patient", identity)).decode()[:12]

    def days(self, identity: str) -> int:
        """By how many days a patient's dates are moved back, 1 to 3650."""
        return 1 + int.from_bytes(self._digest("days", identity)[:8], "big") % _LONGEST_SHIFT

    def shift(self, text: str, identity: str) -> str:
        """A DA or DT value moved by `days`; "" where it is not one, or would fall before the year 1."""
        try:
            moved = datetime.strptime(text[:8], "%Y%m%d") - timedelta(self.days(identity))
        except (ValueError, OverflowError):
            return ""
        return f"{moved:%Y%m%d}".rjust(8, "0") + text[8:]

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.new(self.salt, f"{kind}\0{text}".encode(), hashlib.sha256).digest()


def read_salt(path: Path) -> tuple[bytes, bool]:
    """The salt in a file, and whether it was made just now.

    Raises:
        ReadError: it cannot be read.
        InputError: it holds no salt.
    """
    try:
        return _parsed(path.read_text("ascii").strip(), path), False
    except FileNotFoundError:
        salt = secrets.token_bytes(_SALT_BYTES)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(salt.hex() + "\n", "ascii")
        return salt, True
    except (OSError, UnicodeDecodeError) as problem:
        raise ReadError("The salt cannot be read", where=path, got=type(problem).__name__) from None


def _parsed(text: str, path: Path) -> bytes:
    try:
        salt = bytes.fromhex(text)
    except ValueError:
        salt = b""
    if len(salt) < 16:
        raise InputError(
            "This file holds no salt",
            where=path,
            expected="at least 32 hexadecimal digits",
            fix="name another --salt; one is made where the file is not there",
        )
    return salt
