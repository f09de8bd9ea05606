"""Rules, peers and limits are typed; what cannot be meant is refused when it is read."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from calque.errors import InputError
from calque.node import Limits, Listening, Patience, Rules, parse_peer
from calque.node.rules import SeriesFacts

FILE = {
    "destinations": {
        "pacs": {"kind": "dicom", "host": "127.0.0.1", "port": 4242, "aet": "ORTHANC"},
        "web": {"kind": "stow", "url": "http://127.0.0.1:8042/dicom-web", "token_variable": "PACS_TOKEN"},
    },
    "rules": [
        {"description": "scout|localizer", "ignore": True},
        {"modality": ["CT"], "body_part": "^chest$", "model": "lung.calque", "send": ["pacs", "web"]},
        {"modality": ["MR"], "description": "t1", "outputs": ["seg", "rtstruct"]},
    ],
}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (("CT", "CHEST", "Thorax 1 mm"), 1),
        (("CT", "CHEST", "Scout"), None),
        (("CT", "ABDOMEN", ""), None),
        (("MR", "", "sag T1 gd"), 2),
        (("SEG", "", "t1"), None),
    ],
)
def test_the_first_rule_that_fits_decides(facts: tuple[str, str, str], expected: int | None) -> None:
    rules = Rules.from_json(json.dumps(FILE))
    modality, body_part, description = facts
    found = rules.decide(SeriesFacts(modality=modality, body_part=body_part, description=description))
    assert found == (None if expected is None else rules.rules[expected])


def test_what_holds_no_scan_needs_to_be_named() -> None:
    rules = Rules.simple({}, ("seg",))
    assert rules.decide(SeriesFacts(modality="CT"))
    assert not rules.decide(SeriesFacts(modality="SEG"))
    assert not rules.decide(SeriesFacts(modality="SR"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rules": []}, "at least 1"),
        ({"rules": [{"send": ["nowhere"]}]}, "no such destinations"),
        ({"rules": [{"description": "("}]}, "no regular expression"),
        ({"rules": [{"outputs": ["png"]}]}, "seg"),
        ({"rules": [{"modalty": ["CT"]}]}, "Extra inputs"),
        ({"destinations": {"x": {"kind": "ftp"}}}, "dicom"),
    ],
)
def test_a_wrong_rule_file_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Rules.from_json(json.dumps({**FILE, **change}))


def test_peers() -> None:
    peer = parse_peer("PACS@10.1.2.0/24")
    assert peer.admits("PACS", "10.1.2.77")
    assert peer.admits("PACS", "::ffff:10.1.2.77")
    assert not peer.admits("PACS", "10.1.3.1")
    assert not peer.admits("OTHER", "10.1.2.77")
    assert parse_peer("*@::1").admits("ANY", "::1")
    for wrong in ("PACS", "PACS@nowhere", "@10.0.0.1", "A" * 17 + "@10.0.0.1"):
        with pytest.raises(InputError, match="peer"):
            parse_peer(wrong)


def test_only_a_list_of_callers_opens_the_node_to_others() -> None:
    with pytest.raises(ValidationError, match="who may call"):
        Listening(host="10.0.0.5")
    assert Listening().admits("ANY", "127.0.0.1")
    assert not Listening().admits("ANY", "10.0.0.1")
    some = Listening(host="10.0.0.5", allow=(parse_peer("PACS@10.0.0.1"),))
    assert some.admits("PACS", "10.0.0.1")
    assert not some.admits("PACS", "127.0.0.1")


def test_waits_double_up_to_a_bound() -> None:
    patience = Patience(first_retry=2, longest_retry=30)
    assert [patience.retry_after(n) for n in (1, 2, 3, 4, 5, 1000)] == [2, 4, 8, 16, 30, 30]


def test_limits_are_positive() -> None:
    with pytest.raises(ValidationError):
        Limits(instance_bytes=0)
