"""Where the demonstration's data come from, and what an archive may hold."""

from __future__ import annotations

import io
import tarfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pooch
import pytest

from calque import demo
from calque.errors import InputError, ReadError
from calque.progress import Silent, Task


class Heard(Silent):
    """A progress that remembers."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)

    def task(self, name: str, total: float | None = None) -> AbstractContextManager[Task]:
        self.messages.append(name)
        return super().task(name, total)


def archive(path: Path, members: dict[str, bytes], *extra: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in extra:
            tar.addfile(member)
    return path


GOOD = {"Task04/dataset.json": b"{}", "Task04/imagesTr/a.nii.gz": b"image"}


def test_unpack_takes_plain_files_and_drops_what_macos_adds(tmp_path: Path) -> None:
    folder = tarfile.TarInfo("Task04/imagesTr")
    folder.type = tarfile.DIRTYPE
    path = archive(
        tmp_path / "a.tar", GOOD | {"Task04/imagesTr/._a.nii.gz": b"mac", "._Task04": b"mac"}, folder
    )
    demo.unpack(path, tmp_path / "out")
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert found == ["dataset.json", "imagesTr/a.nii.gz"]
    assert (tmp_path / "out/imagesTr/a.nii.gz").read_bytes() == b"image"


def _link(kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo("Task04/link")
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("members", "extra"),
    [
        ({"Task04/../../escaped": b"x"}, []),
        ({"/absolute": b"x"}, []),
        ({"Task04\\..\\escaped": b"x"}, []),
        ({}, [_link(tarfile.SYMTYPE)]),
        ({}, [_link(tarfile.LNKTYPE)]),
        ({}, [_link(tarfile.FIFOTYPE)]),
        ({}, [_link(tarfile.CHRTYPE)]),
    ],
)
def test_unpack_refuses_what_leads_elsewhere(
    tmp_path: Path, members: dict[str, bytes], extra: list[tarfile.TarInfo]
) -> None:
    path = archive(tmp_path / "a.tar", GOOD | members, *extra)
    with pytest.raises(ReadError, match="should not"):
        demo.unpack(path, tmp_path / "sub" / "out")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a.tar"]


def test_unpack_refuses_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_UNPACKED_LIMIT", 6)
    with pytest.raises(ReadError, match="1 GB"):
        demo.unpack(archive(tmp_path / "a.tar", GOOD), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unpack_refuses_what_is_damaged(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", {"Task04/a": b"x" * 5000})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ReadError, match="damaged"):
        demo.unpack(path, tmp_path / "out")
    (tmp_path / "b.tar").write_bytes(b"not a tar archive")
    with pytest.raises(ReadError, match="damaged"):
        demo.unpack(tmp_path / "b.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_given_data_are_taken_as_they_are(tmp_path: Path) -> None:
    heard = Heard()
    assert demo.find_data(tmp_path / "o", data=tmp_path, phantom=False, progress=heard) == ("given", tmp_path)
    assert str(tmp_path) in heard.messages[0]
    with pytest.raises(InputError, match="no such folder"):
        demo.find_data(tmp_path / "o", data=tmp_path / "nowhere", phantom=False)


def _retrieve(result: Path | Exception) -> Any:
    def retrieve(url: str, known_hash: str, **_: object) -> str:
        assert url == demo.HIPPOCAMPUS_URL
        assert known_hash == demo.HIPPOCAMPUS_HASH
        if isinstance(result, Exception):
            raise result
        return str(result)

    return retrieve


def test_fetched_data_are_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.tar", GOOD)
    monkeypatch.setattr(pooch, "retrieve", _retrieve(path))
    for _ in range(2):
        origin, folder = demo.find_data(tmp_path / "o", data=None, phantom=False)
        assert origin == "fetched"
        assert (folder / "dataset.json").read_bytes() == b"{}"


def test_without_a_network_there_are_phantoms_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooch, "retrieve", _retrieve(ConnectionError("no route")))
    monkeypatch.setattr(demo, "_PHANTOMS", 2)
    heard = Heard()
    origin, folder = demo.find_data(tmp_path, data=None, phantom=False, progress=heard)
    assert origin == "phantoms"
    assert (folder / "dataset.json").exists()
    assert any("ConnectionError" in message and "phantoms" in message for message in heard.messages)


def test_another_checksum_is_an_error_and_not_phantoms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooch, "retrieve", _retrieve(ValueError("hash is 1234")))
    with pytest.raises(ReadError, match="not what it should be"):
        demo.find_data(tmp_path, data=None, phantom=False)
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_demonstration_is_kept(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="earlier demonstration"):
        demo.demo(tmp_path, phantom=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
