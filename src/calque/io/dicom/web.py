"""A series of a DICOMweb service, fetched whole (QIDO-RS, WADO-RS) or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calque.errors import InputError, MissingExtraError, ReadError

if TYPE_CHECKING:
    from dicomweb_client.web import DICOMwebClient

_ADDRESS = re.compile(
    r"dicomweb(?P<tls>s?):/{1,2}(?P<service>[^/].*)/studies/(?P<study>[\d.]+)/series/(?P<series>[\d.]+)/?"
)
_TIMEOUT = (20.0, 120.0)
_MOST_BYTES = 20 * 2**30


@dataclass(frozen=True)
class WebSeries:
    """Where a series is.

    Args:
        service: URL of the service.
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
    """

    service: str
    study: str
    series: str


def is_web_series(text: str) -> bool:
    """Whether this is meant as an address of a DICOMweb service."""
    return text.startswith(("dicomweb:", "dicomwebs:"))


def parse_web_series(text: str) -> WebSeries:
    """Of "dicomweb://HOST:PORT/PATH/studies/UID/series/UID"; dicomwebs:// is TLS.

    Raises:
        InputError: it is not of this form.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise InputError(
            "This is not the address of a series",
            expected="dicomweb://HOST:PORT/PATH/studies/UID/series/UID, or dicomwebs:// for TLS",
            got=text,
        )
    return WebSeries(f"http{found['tls']}://{found['service']}", found["study"], found["series"])


def fetch_series(source: WebSeries, folder: Path, token: str | None = None) -> int:
    """Write a series' instances, as they are encoded there, into `folder`; returns how many.

    Raises:
        ReadError: the service cannot be reached, has no such series, or did not send all of it.
        InputError: the series is larger than 20 GB.
        MissingExtraError: dicomweb-client is not installed (extra `dicom`).
    """
    try:
        from dicomweb_client.web import DICOMwebClient
    except ImportError:
        raise MissingExtraError("dicomweb-client", "dicom") from None
    from requests import RequestException

    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    client = DICOMwebClient(source.service, headers=headers, timeout=_TIMEOUT)
    try:
        expected = _instances(client, source)
        fetched = _fetch(client, source, folder)
    except (RequestException, OSError) as problem:
        raise ReadError("The series cannot be fetched", where=source.service, got=problem) from None
    missing = expected - fetched
    if not fetched or missing:
        raise ReadError(
            "The service did not send the whole series",
            where=source.service,
            expected=f"{len(expected)} instances",
            got=f"{len(fetched)}, {len(missing)} of those that it lists are missing",
        )
    return len(fetched)


def _instances(client: DICOMwebClient, source: WebSeries) -> set[str]:
    """SOP instance UIDs that the service lists, page by page."""
    found: set[str] = set()
    while True:
        page = client.search_for_instances(
            source.study, source.series, fields=["SOPInstanceUID"], limit=500, offset=len(found)
        )
        uids = {str(one["00080018"]["Value"][0]) for one in page}
        if uids <= found:
            return found
        found |= uids


def _fetch(client: DICOMwebClient, source: WebSeries, folder: Path) -> set[str]:
    folder.mkdir(parents=True, exist_ok=True)
    fetched: set[str] = set()
    size = 0
    kinds = (("application/dicom", "*"),)
    for data in client.iter_series(source.study, source.series, media_types=kinds):
        file = folder / f"{len(fetched):06d}.dcm"
        data.save_as(file)
        fetched.add(str(data.SOPInstanceUID))
        size += file.stat().st_size
        if size > _MOST_BYTES:
            raise InputError("The series is too large", where=source.service, expected="at most 20 GB")
    return fetched
