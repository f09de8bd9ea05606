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
        ([], "No model is named"),
        (["--stow", "http://me:secret@pacs/dicom-web"], "token_variable"),
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


PACS = {"kind": "dicom", "host": "127.0.0.1", "port": 104, "aet": "PACS"}
WEB = {"kind": "stow", "url": "https://pacs/dicom-web"}


@pytest.mark.parametrize(
    ("destinations", "rule", "said"),
    [
        ({}, {"model": "nothing.calque"}, "nothing.calque"),
        ({}, {"model": "damaged.calque"}, "damaged.calque"),
        ({}, {}, "rule 2"),
        ({}, {"modell": "lung.calque"}, "rules.1.modell"),
        ({}, {"outputs": ["png"]}, "'labelmap'"),
        ({}, {"outputs": []}, "at least 1"),
        ({}, {"description": "t1("}, "no regular expression"),
        ({}, {"send": ["pacs"]}, "no such destinations: ['pacs']"),
        ({"pacs": PACS | {"port": 0}}, {}, "destinations.pacs.dicom.port"),
        ({"pacs": PACS | {"kind": "ftp"}}, {}, "'stow'"),
        ({"pacs": PACS | {"tls": {"authorities": "ca.pem"}}}, {}, "TLS to a destination"),
        ({"pacs": PACS | {"tls": {"certificate": "cert.pem"}}}, {}, "go together"),
        ({"web": WEB | {"token_variable": "NOT_SET_ANYWHERE"}}, {}, "NOT_SET_ANYWHERE"),
        ({"web": WEB | {"url": "http://pacs", "tls": {}}}, {}, "https://"),
    ],
)
def test_a_rule_file_that_cannot_work_is_refused_before_it_listens(
    destinations: dict[str, object],
    rule: dict[str, object],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "damaged.calque").write_bytes(b"no model")
    content = {"destinations": destinations, "rules": [{"description": "scout", "ignore": True}, rule]}
    (tmp_path / "rules.json").write_text(json.dumps(content))
    spool = tmp_path / "spool"
    assert run(["listen", "--port", "0", "--spool", str(spool), "--rules", str(tmp_path / "rules.json")]) == 2
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not spool.exists()


def test_addresses_of_series() -> None:
    address = "web://pacs:8042/dicom-web/studies/1.2/series/3.4"
    found = parse_web_series(f"dicom{address}")
    assert (found.service, found.study, found.series) == ("http://pacs:8042/dicom-web", "1.2", "3.4")
    shortened = str(Path("dicomwebs://pacs/studies/1.2/series/3.4/"))  # paths lose a slash
    assert parse_web_series(shortened).service == "https://pacs"
    for wrong in ("dicomweb://pacs/studies/1.2", "dicomweb://pacs/studies/x/series/1", "dicomweb:pacs"):
        with pytest.raises(InputError, match="address of a series"):
            parse_web_series(wrong)
