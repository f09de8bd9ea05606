"""What an archive may hold."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from calque.errors import ReadError
from calque.io.archive import unpack

LIMIT = 2**20


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
    unpack(path, tmp_path / "out", LIMIT)
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
        unpack(path, tmp_path / "sub" / "out", LIMIT)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["a.tar"]


def test_unpack_refuses_too_much(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="more than it should"):
        unpack(archive(tmp_path / "a.tar", GOOD), tmp_path / "out", 6)
    assert not (tmp_path / "out").exists()


def test_unpack_refuses_what_is_damaged(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.tar", {"Task04/a": b"x" * 5000})
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ReadError, match="damaged"):
        unpack(path, tmp_path / "out", LIMIT)
    (tmp_path / "b.tar").write_bytes(b"not a tar archive")
    with pytest.raises(ReadError, match="damaged"):
        unpack(tmp_path / "b.tar", tmp_path / "out", LIMIT)
    assert not (tmp_path / "out").exists()
