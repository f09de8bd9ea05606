"""The verbs listen and node: what they refuse at once, and what they tell."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from calque.cli.app import run
from calque.errors import InputError
from calque.io.dicom.web import parse_web_series
from calque.node import Queue
from calque.node.queue import Instance, Result


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """One series is done, one has failed."""
    with closing(Queue(tmp_path / "queue.sqlite")) as queue:
        for name in ("a", "b"):
            queue.add(Instance(f"1.{name}", name, "d", 10, f"{name}/1"))
        queue.complete(0, 0)
        first, second = queue.take(), queue.take()
        assert first is not None
        assert second is not None
        queue.finish(first, "failed", "GeometryError: slices are missing")
        queue.finish(second, "done", results=[Result("seg", "pacs", "9.1", "r", "f")])
    return tmp_path


def test_status_and_retry(spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["node", "status", "--spool", str(spool), "--json", "-"]) == 1
    streams = capsys.readouterr()
    said = json.loads(streams.out)
    assert said["series"] == {"failed": 1, "done": 1}
    assert said["deliveries"] == {"waiting": 1}
    assert said["running"] is said["healthy"] is False
    assert "slices are missing" in streams.err
    assert run(["node", "retry", "--spool", str(spool)]) == 0
    assert "1 series and deliveries" in capsys.readouterr().out
    assert run(["node", "status", "--spool", str(spool / "nowhere")]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--send", "pacs"], "HOST:PORT:AET"),
        (["--stow", "ftp://pacs"], "StowDestination"),
        (["--outputs", "png"], "seg"),
        (["--allow", "PACS"], "AET@ADDRESS"),
        (["--host", "10.0.0.1"], "who may call"),
        (["--tls-cert", "cert.pem"], "its key"),
        (["nothing.calque"], "cannot be read"),
        (["--rules", "nothing.json"], "Rules"),
        (["--rules", "nothing.json", "--send", "a:1:B"], "rule file"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_it_listens(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["listen", "--port", "0", "--spool", str(tmp_path / "spool"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "spool").exists()


def test_addresses_of_series() -> None:
    address = "web://pacs:8042/dicom-web/studies/1.2/series/3.4"
    found = parse_web_series(f"dicom{address}")
    assert (found.service, found.study, found.series) == ("http://pacs:8042/dicom-web", "1.2", "3.4")
    shortened = str(Path("dicomwebs://pacs/studies/1.2/series/3.4/"))  # paths lose a slash
    assert parse_web_series(shortened).service == "https://pacs"
    for wrong in ("dicomweb://pacs/studies/1.2", "dicomweb://pacs/studies/x/series/1", "dicomweb:pacs"):
        with pytest.raises(InputError, match="address of a series"):
            parse_web_series(wrong)
