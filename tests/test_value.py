"""`Value`: frozen, strict about fields, readable when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from calque.errors import InputError, PlanError, ReadError
from calque.value import Value


class Inner(Value):
    size: int = Field(ge=1)


class Outer(Value):
    name: str
    inner: tuple[Inner, ...] = ()
    rate: float = 1.0


def test_json_round_trip() -> None:
    value = Outer(name="µ", inner=(Inner(size=1), Inner(size=2)), rate=0.1)
    assert Outer.from_json(value.to_json()) == value
    assert value.to_json().endswith("}\n")


def test_frozen() -> None:
    with pytest.raises(ValidationError):
        Inner(size=1).size = 2  # type: ignore[misc]


def test_unknown_fields_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="nmae"):
        Outer.from_json('{"name": "a", "nmae": "b"}')
    with pytest.raises(ValidationError, match="colour"):
        Inner(size=1, colour="red")  # type: ignore[call-arg]


def test_every_wrong_field_has_its_place_in_the_message() -> None:
    text = '{"inner": [{"size": 3}, {"size": 0}], "rate": "fast"}'
    with pytest.raises(PlanError) as caught:
        Outer.from_json(text, where="plan.json", error=PlanError)
    message = str(caught.value)
    for part in ("not a valid Outer", "plan.json", "name:", "inner.1.size:", "rate:"):
        assert part in message


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"name": "a", "rate": NaN}', '{"name": "a", "rate": 1e999}']
)
def test_what_is_not_the_json_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not a valid Outer"):
        Outer.from_json(text)


def test_reading_files(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    path.write_text(Outer(name="a").to_json(), encoding="utf-8")
    assert Outer.read(path) == Outer(name="a")
    path.write_bytes(b"\xff\xfe\x00")
    for wrong in (path, tmp_path, tmp_path / "none.json"):
        with pytest.raises(ReadError, match=wrong.name):
            Outer.read(wrong)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(PlanError, match=r"value\.json"):
        Outer.read(path, error=PlanError)
