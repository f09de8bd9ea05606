"""A series of a DICOMweb service, fetched whole (QIDO-RS, WADO-RS) or not at all."""

from __future__ import annotations

import re
from base64 import b64encode
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


def authorization(secret: str) -> str:
    """The value of the header Authorization: of USER:PASSWORD, or else of a bearer token, which has no colon
    (RFC 6750, 2.1).
    """
    if ":" in secret:
        return f"Basic {b64encode(secret.encode()).decode()}"
    return f"Bearer {secret}"


def fetch_series(source: WebSeries, folder: Path, token: str | None = None) -> int:
    """Write a series' instances, as they are encoded there, into `folder`; returns how many.

    Args:
        source: where it is.
        folder: made if it is not there.
        token: see `authorization`.

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

    headers = {} if token is None else {"Authorization": authorization(token)}
    client = DICOMwebClient(source.service, headers=headers, timeout=_TIMEOUT)
    client.set_http_retry_params(retry=False)  # it would try a server that has gone for a minute
    try:
        expected = _instances(client, source)
        if not expected:
            raise ReadError(
                "The service has no such series", where=source.service, fix="look whether both UIDs are right"
            )
        fetched = _fetch(client, source, folder)
    except (RequestException, OSError) as problem:
        raise _explained(problem, source.service) from None
    missing = expected - fetched
    if not fetched or missing:
        raise ReadError(
            "The service did not send the whole series",
            where=source.service,
            expected=f"{len(expected)} instances",
            got=f"{len(fetched)}, {len(missing)} of those that it lists are missing",
        )
    return len(fetched)


def _explained(problem: Exception, service: str) -> ReadError:
    """What went wrong, without the request's address, and what may help."""
    from requests import ConnectionError, HTTPError, Timeout
    from requests.exceptions import SSLError

    what, got, fix = "The series cannot be fetched", type(problem).__name__, None
    if isinstance(problem, HTTPError) and problem.response is not None:
        status = problem.response.status_code
        got = f"HTTP {status} {problem.response.reason}"
        if status in (401, 403):
            fix = "set CALQUE_DICOMWEB_TOKEN to a token of the service, or to USER:PASSWORD"
        elif status == 404:
            fix = "look whether the address of the service and both UIDs are right"
    elif isinstance(problem, SSLError):
        got = "its certificate is not trusted, or it does not speak TLS"
        fix = "name the authority's PEM file in REQUESTS_CA_BUNDLE, or use dicomweb:// where there is no TLS"
    elif isinstance(problem, Timeout):
        got = "no answer in time"
    elif isinstance(problem, ConnectionError):
        got, fix = "no connection, or it broke", "look whether the service runs and the address is right"
    return ReadError(what, where=service, got=got, fix=fix)


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
