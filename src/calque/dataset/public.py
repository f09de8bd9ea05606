"""Public datasets that can be fetched by name: where they are, their licence, size and checksum."""

from __future__ import annotations

import http.client
import logging
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from calque.errors import InputError, ReadError
from calque.io.archive import unpack
from calque.io.room import require_room, size_in_words
from calque.progress import SILENT, Progress

_CONNECT_SECONDS = 20
_BLOCK = 2**18
_GB = 10**9
_DECATHLON = "https://msd-for-monai.s3-us-west-2.amazonaws.com"
_CC_BY_SA = "CC BY-SA 4.0"
_ANTONELLI = "Antonelli et al., Nature Communications 2022, doi:10.1038/s41467-022-30695-9"


@dataclass(frozen=True)
class PublicSet:
    """A dataset that others have published.

    Args:
        name: to fetch it by.
        folder: what it is called on disk.
        shows: image and what is marked.
        cases: with masks, and without.
        size: of the archive, about, in bytes.
        licence: of the data.
        cite: what to cite.
        url: of a tar archive with a single folder.
        checksum: of the archive: "md5:...".
    """

    name: str
    folder: str
    shows: str
    cases: tuple[int, int]
    size: int
    licence: str
    cite: str
    url: str
    checksum: str


def _task(name: str, folder: str, shows: str, cases: tuple[int, int], size: float, md5: str) -> PublicSet:
    """A task of the Medical Segmentation Decathlon; address and checksum as in MONAI's DecathlonDataset."""
    url = f"{_DECATHLON}/{folder}.tar"
    return PublicSet(name, folder, shows, cases, int(size * _GB), _CC_BY_SA, _ANTONELLI, url, f"md5:{md5}")


PUBLIC: dict[str, PublicSet] = {
    task.name: task
    for task in (
        _task(
            "brain-tumour",
            "Task01_BrainTumour",
            "MR, four sequences: oedema and parts of gliomas",
            (484, 266),
            7.6,
            "240a19d752f0d9e9101544901065d872",
        ),
        _task("heart", "Task02_Heart", "MR: left atrium", (20, 10), 0.46, "06ee59366e1e5124267b774dbd654057"),
        _task(
            "liver",
            "Task03_Liver",
            "CT: liver and tumours",
            (131, 70),
            28.9,
            "a90ec6c4aa7f6a3d087205e23d4e6397",
        ),
        _task(
            "hippocampus",
            "Task04_Hippocampus",
            "MR: anterior and posterior hippocampus",
            (260, 130),
            0.0284,
            "9d24dba78a72977dbd1d2e110310f31b",
        ),
        _task(
            "prostate",
            "Task05_Prostate",
            "MR, two sequences: peripheral and transition zone",
            (32, 16),
            0.24,
            "35138f08b1efaef89d7424d2bcc928db",
        ),
        _task("lung", "Task06_Lung", "CT: lung tumours", (63, 32), 9.2, "8afd997733c7fc0432f71255ba4e52dc"),
        _task(
            "pancreas",
            "Task07_Pancreas",
            "CT: pancreas and tumours",
            (281, 139),
            12.3,
            "4f7080cfca169fa8066d17ce6eb061e4",
        ),
        _task(
            "hepatic-vessel",
            "Task08_HepaticVessel",
            "CT: vessels of the liver and tumours",
            (303, 140),
            9.3,
            "641d79e80ec66453921d997fbf12a29c",
        ),
        _task("spleen", "Task09_Spleen", "CT: spleen", (41, 20), 1.6, "410d4a301da4e5b2f6f86ec3ddba524e"),
        _task(
            "colon", "Task10_Colon", "CT: colon cancer", (126, 64), 6.2, "bad7a188931dc2f6acf72b08eb6202d0"
        ),
    )
}
"""Name -> set."""


def public_set(name: str) -> PublicSet:
    """The set of this name.

    Raises:
        InputError: there is none.
    """
    if name not in PUBLIC:
        raise InputError("There is no such public dataset", got=name, expected=", ".join(PUBLIC))
    return PUBLIC[name]


def fetch(wanted: PublicSet, folder: Path, *, cache: Path | None = None, progress: Progress = SILENT) -> Path:
    """Fetch and unpack a public dataset; the archive is fetched once and an interrupted download goes on.

    Args:
        wanted: as from `public_set`.
        folder: where the dataset's own folder goes.
        cache: where archives are kept; by default the user's cache.
        progress: where to report.

    Returns:
        The dataset's folder.

    Raises:
        OSError: the address cannot be reached.
        ReadError: the checksum is another one, or the archive holds what it should not.
        ResourceError: the disk has not enough room.
    """
    import pooch

    target = folder / wanted.folder
    if target.exists():
        return target
    kept = pooch.os_cache("calque") if cache is None else cache
    kept.mkdir(parents=True, exist_ok=True)
    archive = kept / wanted.url.rpartition("/")[2]
    require_room(folder, wanted.size * (1 if archive.is_file() else 2), f"{wanted.name} and its archive")
    pooch.get_logger().setLevel(logging.WARNING)
    try:
        with progress.task(f"fetching {wanted.name} ({size_in_words(wanted.size)})", wanted.size) as task:
            fetched = pooch.retrieve(
                wanted.url,
                known_hash=wanted.checksum,
                fname=archive.name,
                path=kept,
                downloader=_Resuming(archive.with_name(f"{archive.name}.part"), task.advance),
            )
    except ValueError as problem:
        raise ReadError(
            "What was fetched is not what it should be",
            where=wanted.url,
            expected=wanted.checksum,
            got=problem,
        ) from None
    unpack(Path(fetched), target, limit=2 * wanted.size + _GB)
    return target


class _Resuming:
    """What pooch asks of a downloader; what has arrived stays in `part` until all of it has."""

    def __init__(self, part: Path, advance: Callable[[float], None]) -> None:
        self._part, self._advance = part, advance

    def __call__(self, url: str, output_file: str | Path, pooch: object, check_only: bool = False) -> None:
        del pooch, check_only
        done = self._part.stat().st_size if self._part.is_file() else 0
        try:
            answer = _open(url, done)
        except urllib.error.HTTPError as problem:
            if problem.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            done, answer = 0, _open(url, 0)  # what is there is longer than the file: of another one
        with answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                done = 0
            self._advance(done)
            expected = done + int(answer.headers.get("Content-Length") or 0)
            with self._part.open("ab" if done else "wb") as file:
                while block := answer.read(_BLOCK):
                    file.write(block)
                    self._advance(len(block))
        arrived = self._part.stat().st_size
        if arrived < expected:
            raise ConnectionError(f"{arrived} of {expected} bytes have arrived; fetch again to go on")
        shutil.move(self._part, output_file)


def _open(url: str, start: int) -> http.client.HTTPResponse:
    if not url.startswith(("https://", "http://")):
        raise InputError("Only addresses of the web are fetched", got=url)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_CONNECT_SECONDS)  # noqa: S310
    return answer
