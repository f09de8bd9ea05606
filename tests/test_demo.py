"""Where the demonstration's data come from."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pooch
import pytest
from tests.io.test_archive import GOOD, archive

from calque import demo
from calque.dataset.public import PUBLIC
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


def test_given_data_are_taken_as_they_are(tmp_path: Path) -> None:
    heard = Heard()
    assert demo.find_data(tmp_path / "o", data=tmp_path, phantom=False, progress=heard) == ("given", tmp_path)
    assert str(tmp_path) in heard.messages[0]
    with pytest.raises(InputError, match="no such folder"):
        demo.find_data(tmp_path / "o", data=tmp_path / "nowhere", phantom=False)


def _retrieve(result: Path | Exception) -> Any:
    def retrieve(url: str, known_hash: str, **_: object) -> str:
        assert url == PUBLIC["hippocampus"].url
        assert known_hash == PUBLIC["hippocampus"].checksum
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
