"""Frozen values that live as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from calque.errors import CalqueError, InputError, ReadError


class Value(BaseModel):
    """A frozen pydantic model: unknown fields are refused, JSON in and out.

    Subclasses are the typed values that travel between stages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, ser_json_inf_nan="null")

    def to_json(self) -> str:
        """Indented JSON, with a newline at the end."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: object = None, error: type[CalqueError] = InputError) -> Self:
        """Parse and validate; `error` is raised with one line per wrong field."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as problem:
            wrong = "; ".join(
                f"{'.'.join(map(str, item['loc'])) or 'document'}: {item['msg']}" for item in problem.errors()
            )
            raise error(f"This is not a valid {cls.__name__}", where=where, got=wrong) from None

    @classmethod
    def from_fields(cls, **fields: object) -> Self:
        """From a user's choices: what is wrong is an `InputError` that names the fields."""
        return cls.from_json(json.dumps(fields, default=str))

    @classmethod
    def read(cls, path: Path, *, error: type[CalqueError] = InputError) -> Self:
        """Read from a JSON file."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise ReadError(f"Cannot read this {cls.__name__}", where=path, got=problem) from None
        return cls.from_json(text, where=path, error=error)
