"""Which model a series gets, what is made of it, and where that goes: a rule file as typed values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from calque.value import Value

# What holds no scan: masks, structures, reports, presentation states, screenshots, waveforms.
NO_SCAN = frozenset(
    {"SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RTIMAGE", "SR", "PR", "KO", "DOC", "SC", "OT", "REG", "ECG"}
)

OutputKind = Literal["seg", "labelmap", "rtstruct", "sr", "overlay"]
"""DICOM SEG (binary, or a map of labels), RT Structure Set, measurements as SR, pictures with an overlay."""


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as problem:
        raise ValueError(f"{pattern!r} is no regular expression: {problem}") from None
    return pattern


Pattern = Annotated[str, AfterValidator(_compiles)]
"""A regular expression, searched for anywhere, without regard to case."""


class Tls(Value):
    """Whom a destination's certificate must come from, and what we show; the files are PEM.

    Args:
        authorities: that are trusted; None: the system's.
        certificate: ours, for destinations that ask for one.
        key: of `certificate`.
    """

    authorities: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @model_validator(mode="after")
    def _paired(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a certificate and its key go together")
        return self

    def below(self, folder: Path) -> Self:
        """With paths that are relative to `folder`."""
        fields = {name: path for name, path in self if path is not None}
        return self.model_copy(update={name: folder / path for name, path in fields.items()})


class DicomDestination(Value):
    """A peer that takes C-STORE.

    Args:
        host: its name or address; with TLS, as its certificate has it.
        port: of its DICOM service.
        aet: its application entity title.
        tls: whether to speak TLS, or how; its certificate is always verified.
    """

    kind: Literal["dicom"] = "dicom"
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    aet: str = Field(min_length=1, max_length=16)
    tls: Tls | bool = False


class StowDestination(Value):
    """A DICOMweb service that takes STOW-RS.

    Args:
        url: of the service, without "/studies".
        token_variable: environment variable that holds a bearer token, or USER:PASSWORD; None: neither.
        tls: how https:// is spoken; None: by the system's authorities.
    """

    kind: Literal["stow"] = "stow"
    url: str = Field(pattern=r"^https?://")
    token_variable: str | None = None
    tls: Tls | None = None

    @model_validator(mode="after")
    def _plain(self) -> Self:
        if "@" in self.url.split("/", 3)[2]:
            raise ValueError("a user or password in the address would be logged: name a token_variable")
        if self.tls is not None and not self.url.startswith("https://"):
            raise ValueError("tls is of https://")
        return self


Destination = Annotated[DicomDestination | StowDestination, Field(discriminator="kind")]


class SeriesFacts(Value):
    """What rules look at; "" for what a series does not say."""

    modality: str = ""
    body_part: str = ""
    description: str = ""


class Rule(Value):
    """The first rule that fits decides; a condition that is left out fits all.

    Args:
        modality: of the series, one of these; empty: any that holds a scan.
        body_part: searched for in BodyPartExamined.
        description: searched for in SeriesDescription.
        ignore: leave such series alone.
        model: a .calque file, relative to the rule file; None: the model of the command line.
        outputs: what is made.
        send: names of destinations; empty: results stay in the spool.
    """

    modality: tuple[str, ...] = ()
    body_part: Pattern | None = None
    description: Pattern | None = None
    ignore: bool = False
    model: Path | None = None
    outputs: tuple[OutputKind, ...] = Field(default=("seg",), min_length=1)
    send: tuple[str, ...] = ()

    def below(self, folder: Path) -> Self:
        """With a model that is relative to `folder`."""
        return self if self.model is None else self.model_copy(update={"model": folder / self.model})

    def fits(self, facts: SeriesFacts) -> bool:
        """Whether every condition holds."""
        modality = facts.modality in self.modality if self.modality else facts.modality not in NO_SCAN
        return modality and all(
            pattern is None or re.search(pattern, text, re.IGNORECASE)
            for pattern, text in ((self.body_part, facts.body_part), (self.description, facts.description))
        )


class Rules(Value):
    """A rule file.

    Args:
        destinations: by name.
        rules: in order of precedence.
    """

    destinations: dict[str, Destination] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = {name for rule in self.rules for name in rule.send} - self.destinations.keys()
        if unknown:
            raise ValueError(
                f"no such destinations: {sorted(unknown)}; there are {sorted(self.destinations)}"
            )
        return self

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a rule file; paths in it are relative to it.

        Raises:
            ReadError: it cannot be read.
            InputError: it is not what a rule file is.
        """
        rules = cls.read(file)
        destinations = {
            name: one.model_copy(update={"tls": one.tls.below(file.parent)})
            if isinstance(one.tls, Tls)
            else one
            for name, one in rules.destinations.items()
        }
        return cls(destinations=destinations, rules=tuple(rule.below(file.parent) for rule in rules.rules))

    @classmethod
    def simple(cls, destinations: Mapping[str, Destination], outputs: tuple[OutputKind, ...]) -> Self:
        """One rule: every scan gets the model of the command line; its results go to every destination."""
        return cls(destinations=dict(destinations), rules=(Rule(outputs=outputs, send=tuple(destinations)),))

    def decide(self, facts: SeriesFacts) -> Rule | None:
        """The first rule that fits; None where none does, or where it says to leave the series alone."""
        for rule in self.rules:
            if rule.fits(facts):
                return None if rule.ignore else rule
        return None
