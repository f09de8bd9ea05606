"""STOW-RS (PS3.18 10.5): the instances of one request into the spool, and what is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple
from xml.sax.saxutils import escape

from calque.node.intake import NOT_UNDERSTOOD, STORED, Answer, Intake
from calque.node.multipart import Part

DICOM = "application/dicom"
JSON, XML = "application/dicom+json", "application/dicom+xml"

_OTHER_CLASS = 0x0122  # SOP class not supported
_OTHER_SYNTAX = 0xC122  # transfer syntax not supported
_OTHER_STUDY = 0xC409  # of the implementation's own range: it is of another study than the address


class Announced(NamedTuple):
    """What an instance says of itself."""

    sop: str
    sop_class: str
    syntax: str
    study: str


class Storing:
    """What became of each instance of a request.

    Args:
        intake: takes them.
        classes: SOP classes and transfer syntaxes that are taken.
        study: of the request's address; None: any.
        brought: is told the series of each instance that is stored.
    """

    def __init__(
        self,
        intake: Intake,
        classes: tuple[list[str], list[str]],
        study: str | None,
        brought: Callable[[str], None],
    ) -> None:
        self._intake, self._study, self._brought = intake, study, brought
        self._classes, self._syntaxes = (frozenset(uids) for uids in classes)
        self._stored: list[tuple[str, str]] = []
        self._failed: list[tuple[str, str, int]] = []

    def take(self, part: Part) -> None:
        """Store one part; when this returns, it is on the disk or refused."""
        kind = part.headers.get_content_type() if "Content-Type" in part.headers else DICOM
        coding = part.headers.get("Content-Transfer-Encoding", "binary").strip().lower()
        found = announced(part.content) if kind == DICOM and coding == "binary" else None
        if found is None:
            self._failed.append(("", "", NOT_UNDERSTOOD))
            return
        answer = Answer(self._refused(found))
        if answer.status == STORED:
            answer = self._intake.store(part.content, found.sop, found.sop_class)
        if answer.status == STORED:
            self._stored.append((found.sop_class, found.sop))
        else:
            self._failed.append((found.sop_class, found.sop, answer.status))
        if answer.key is not None:
            self._brought(answer.key)

    def _refused(self, found: Announced) -> int:
        if found.sop_class not in self._classes:
            return _OTHER_CLASS
        if found.syntax not in self._syntaxes:
            return _OTHER_SYNTAX
        return STORED if self._study in (None, found.study) else _OTHER_STUDY

    @property
    def status(self) -> int:
        """Of HTTP: all, some or none were stored; 400 where there was nothing."""
        if not self._stored and not self._failed:
            return 400
        return 200 if not self._failed else 202 if self._stored else 409

    def answer(self, kind: str) -> bytes:
        """The Store Instances Response Module (PS3.18 I.2) as `JSON` or `XML`."""
        stored: list[Item] = [{_CLASS: one[0], _INSTANCE: one[1]} for one in self._stored]
        failed: list[Item] = [{_CLASS: one[0], _INSTANCE: one[1], _REASON: one[2]} for one in self._failed]
        sequences = {_STORED: stored, _FAILED: failed}
        return (_xml if kind == XML else _json)({tag: items for tag, items in sequences.items() if items})


def announced(data: bytes) -> Announced | None:
    """What an encoded file (PS3.10) says of itself; None where it cannot be parsed.

    A deflated data set is not looked into: inflating is not bounded by what was received.
    """
    from pydicom import dcmread
    from pydicom.filereader import read_dataset

    stream = BytesIO(data)
    stream.seek(128)
    if stream.read(4) != b"DICM":
        return None
    try:
        meta = read_dataset(
            stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, *_: tag.group != 2
        )
        sop, sop_class, syntax = (
            str(meta[name].value)
            for name in ("MediaStorageSOPInstanceUID", "MediaStorageSOPClassUID", "TransferSyntaxUID")
        )
        study = ""
        if "deflate" not in _name(syntax).lower():
            found = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=["StudyInstanceUID"])
            study = str(found.get("StudyInstanceUID", ""))
    except Exception:  # pydicom raises a dozen kinds on bytes that are not DICOM; whichever: refused
        return None
    return Announced(sop, sop_class, syntax, study)


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    return UID(syntax).name


Item = dict[tuple[str, str, str], str | int]
"""(tag, VR, keyword) -> value."""

_STORED = ("00081199", "SQ", "ReferencedSOPSequence")
_FAILED = ("00081198", "SQ", "FailedSOPSequence")
_CLASS = ("00081150", "UI", "ReferencedSOPClassUID")
_INSTANCE = ("00081155", "UI", "ReferencedSOPInstanceUID")
_REASON = ("00081197", "US", "FailureReason")


def _json(sequences: dict[tuple[str, str, str], list[Item]]) -> bytes:
    """PS3.18 F.2."""

    def element(vr: str, value: str | int) -> dict[str, object]:
        return {"vr": vr} if value == "" else {"vr": vr, "Value": [value]}

    return json.dumps(
        {
            tag: {
                "vr": vr,
                "Value": [{t: element(v, value) for (t, v, _), value in one.items()} for one in items],
            }
            for (tag, vr, _), items in sequences.items()
        }
    ).encode()


def _xml(sequences: dict[tuple[str, str, str], list[Item]]) -> bytes:
    """The native DICOM model of PS3.19 A.1."""

    def attribute(tag: str, vr: str, keyword: str, content: str) -> str:
        return f'<DicomAttribute tag="{tag}" vr="{vr}" keyword="{keyword}">{content}</DicomAttribute>'

    def value(found: str | int) -> str:
        return "" if found == "" else f'<Value number="1">{escape(str(found))}</Value>'

    def item(number: int, one: Item) -> str:
        inner = "".join(attribute(*name, value(found)) for name, found in one.items())
        return f'<Item number="{number}">{inner}</Item>'

    content = "".join(
        attribute(*name, "".join(item(k, one) for k, one in enumerate(items, start=1)))
        for name, items in sequences.items()
    )
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f'{head}<NativeDicomModel xml:space="preserve">{content}</NativeDicomModel>'.encode()
