"""multipart/related (RFC 2046, 2387) and chunked bodies (RFC 9112), one bounded part after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from email.message import Message
from email.parser import BytesParser
from typing import NamedTuple

Read = Callable[[int], bytes]
"""At most so many of the next bytes of a body; none at its end."""

_CHUNK = 256 * 1024
_HEADERS = 16 * 1024
_LINE = 1024
_PARAMETERS = 200  # characters: a boundary has 70


class BodyError(Exception):
    """A body that is not what it says; `status` is the HTTP answer."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class Part(NamedTuple):
    """One part: its headers and all of its content."""

    headers: Message
    content: bytes


def boundary_of(content_type: str | None, kind: str) -> bytes:
    """The boundary of "multipart/related" whose root is of a media type.

    Raises:
        BodyError: 415 for another type, 400 without a boundary.
    """
    header = Message()
    header["Content-Type"] = content_type or ""
    related = str(header.get_param("type", kind)).partition(";")[0].strip().lower()
    if header.get_content_type() != "multipart/related" or related != kind:
        raise BodyError(415, f'the content is not multipart/related; type="{kind}"')
    boundary = str(header.get_param("boundary", ""))
    if not 1 <= len(boundary) <= _PARAMETERS or not boundary.isascii():
        raise BodyError(400, "there is no boundary")
    return boundary.encode()


def parts(read: Read, boundary: bytes, longest: int) -> Iterator[Part]:
    """Every part of a body.

    Args:
        read: gives the body.
        boundary: without its dashes.
        longest: bytes that a part may have.

    Raises:
        BodyError: 413 for a part that is longer, 400 for a body that ends early or is none of this kind.
    """
    buffer = _Buffer(read, b"\r\n")  # a boundary begins with the end of a line, which the first one may lack
    mark = b"\r\n--" + boundary
    buffer.until(mark, _HEADERS, 400)
    while not buffer.begins(b"--"):
        headers = buffer.until(b"\r\n\r\n", _HEADERS, 400)
        found = BytesParser().parsebytes(headers.partition(b"\r\n")[2] + b"\r\n\r\n", headersonly=True)
        yield Part(found, buffer.until(mark, longest, 413))


class _Buffer:
    """Bytes that were read and not yet used."""

    def __init__(self, read: Read, first: bytes) -> None:
        self._read, self._bytes = read, bytearray(first)

    def until(self, mark: bytes, most: int, status: int) -> bytes:
        """What lies before `mark`, which is dropped."""
        begin = 0
        while (at := self._bytes.find(mark, begin)) < 0:
            begin = max(len(self._bytes) - len(mark) + 1, 0)
            if begin > most:
                raise BodyError(status, f"a part of more than {most} bytes")
            self._more()
        if at > most:
            raise BodyError(status, f"a part of more than {most} bytes")
        with memoryview(self._bytes) as view:
            found = bytes(view[:at])
        del self._bytes[: at + len(mark)]
        return found

    def begins(self, mark: bytes) -> bool:
        while len(self._bytes) < len(mark):
            self._more()
        return self._bytes.startswith(mark)

    def _more(self) -> None:
        data = self._read(_CHUNK)
        if not data:
            raise BodyError(400, "the body ends before its last boundary")
        self._bytes += data


def body(stream: Read, line: Read, length: str | None, coding: str | None, most: int) -> Read:
    """How to read a request's body, of a length that is told or in chunks.

    Args:
        stream: reads from the connection, less than asked for only at its end.
        line: reads from the connection up to the end of a line.
        length: of the header Content-Length.
        coding: of the header Transfer-Encoding.
        most: bytes that a body may have.

    Raises:
        BodyError: 411 where nothing tells the length, 400 where both do, 413 where it is too long.
    """
    if coding is not None:
        if coding.strip().lower() != "chunked" or length is not None:
            raise BodyError(400, "the length is told in a way that is not understood")
        return _Chunked(stream, line, most).read
    if length is None:
        raise BodyError(411, "nothing tells the length of the body")
    if not (length.isascii() and length.isdigit()) or len(length) > 20:
        raise BodyError(400, "the length is no number")
    if int(length) > most:
        raise BodyError(413, "the request is too long")
    return _Counted(stream, int(length)).read


class _Counted:
    def __init__(self, stream: Read, length: int) -> None:
        self._stream, self._left = stream, length

    def read(self, size: int) -> bytes:
        data = self._stream(min(size, self._left))
        self._left -= len(data)
        return data


class _Chunked:
    def __init__(self, stream: Read, line: Read, most: int) -> None:
        self._stream, self._line, self._most = stream, line, most
        self._left, self._ended = 0, False

    def read(self, size: int) -> bytes:
        if self._left == 0 and not self._ended:
            self._begin()
        data = self._stream(min(size, self._left))
        if len(data) < min(size, self._left):
            raise BodyError(400, "the body ends within a chunk")
        self._left -= len(data)
        if data and self._left == 0 and self._line(_LINE) not in (b"\r\n", b"\n"):
            raise BodyError(400, "a chunk is longer than it says")
        return data

    def _begin(self) -> None:
        digits = self._line(_LINE).partition(b";")[0].strip()
        if not 1 <= len(digits) <= 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise BodyError(400, "a chunk has no length")
        self._left = int(digits, 16)
        self._most -= self._left
        if self._most < 0:
            raise BodyError(413, "the request is too long")
        if self._left == 0:
            self._ended = True
            for _ in range(100):  # trailers, which nothing here needs
                if self._line(_LINE) in (b"\r\n", b"\n", b""):
                    return
            raise BodyError(400, "too many trailers")
