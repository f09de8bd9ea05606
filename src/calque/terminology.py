"""Codes that say what a label is, for readers that do not know its name: SNOMED CT, as DICOM uses it.

`terms.tsv` lists common anatomy and lesions with the names by which data sets call them. Its codes are among
those that DICOM's context groups give (a test holds each against pydicom's dictionary); none is invented.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from pydantic import Field

from calque.errors import LabelError
from calque.value import Value

SNOMED = "SCT"


class Concept(Value):
    """A coded concept, as a triplet: DICOM PS3.3, 8.8.

    Args:
        scheme: that defines the code: "SCT" is SNOMED CT; private ones begin with 99.
        value: the code.
        meaning: in words.
    """

    scheme: str = Field(min_length=1, max_length=16)
    value: str = Field(min_length=1, max_length=16)
    meaning: str = Field(min_length=1, max_length=64)


class Code(Value):
    """What a label is.

    Args:
        category: anatomical structure, morphologically abnormal structure, tissue, ... (DICOM CID 7150).
        type: the structure or lesion itself (CID 7151).
        laterality: right, left, bilateral or unilateral, where the type does not say it (CID 244).
        region: of the body, where the type is a lesion or the like.
    """

    category: Concept
    type: Concept
    laterality: Concept | None = None
    region: Concept | None = None

    def __str__(self) -> str:
        """As `parse_code` reads it, and what it means in brackets."""
        side = "" if self.laterality is None else f" {self.laterality.meaning.lower()}"
        region = "" if self.region is None else f" in {self.region.value}"
        words = self.type.meaning if self.region is None else f"{self.type.meaning}, {self.region.meaning}"
        return f"{self.type.value}{side}{region} ({words})"


class Suggestion(Value):
    """A code that a name may stand for.

    Args:
        name: of the label.
        code: what it may be.
        score: 1 for a name that is listed as it is, less the more had to be guessed.
    """

    name: str
    code: Code
    score: float


class Term(NamedTuple):
    """A line of the table."""

    code: Code
    names: tuple[str, ...]


CATEGORIES = {
    "anatomy": Concept(scheme=SNOMED, value="91723000", meaning="Anatomical Structure"),
    "lesion": Concept(scheme=SNOMED, value="49755003", meaning="Morphologically Abnormal Structure"),
    "tissue": Concept(scheme=SNOMED, value="85756007", meaning="Tissue"),
    "object": Concept(scheme=SNOMED, value="260787004", meaning="Physical object"),
    "fluid": Concept(scheme=SNOMED, value="91720002", meaning="Body Substance"),
}
"""Name -> segmentation property category (DICOM CID 7150)."""

LATERALITIES = {
    "left": Concept(scheme=SNOMED, value="7771000", meaning="Left"),
    "right": Concept(scheme=SNOMED, value="24028007", meaning="Right"),
    "bilateral": Concept(scheme=SNOMED, value="51440002", meaning="Bilateral"),
    "unilateral": Concept(scheme=SNOMED, value="66459002", meaning="Unilateral"),
}
"""Name -> laterality (DICOM CID 244)."""

_SIDES = {"left": "left", "l": "left", "lt": "left", "right": "right", "r": "right", "rt": "right"}
_SIDES |= {"bilateral": "bilateral", "both": "bilateral"}
_NOISE = {"of", "the", "structure", "class", "label", "mask", "roi", "organ"}
_LIKE = 0.78  # difflib's ratio of two names from which one may be a misspelling of the other
_WRITTEN = re.compile(
    r"(?P<type>\d+)(?: (?P<side>left|right|bilateral|unilateral))?(?: in (?P<region>\d+))?(?: \(.*\))?", re.I
)


@cache
def terms() -> dict[str, Term]:
    """The table: SNOMED CT code -> term."""
    found = {}
    text = (files("calque") / "terms.tsv").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        value, meaning, category, names = line.split("\t")
        concept = Concept(scheme=SNOMED, value=value, meaning=meaning)
        found[value] = Term(Code(category=CATEGORIES[category], type=concept), tuple(names.split(",")))
    return found


def parse_code(text: str) -> Code:
    """The code of "64033007 left", "108369006 in 10200004", or of a name in the table: "left kidney".

    Raises:
        LabelError: a code or name that the table does not hold.
    """
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        best = suggest(text, most=1)
        if best and best[0].score >= SURE:
            return best[0].code
        raise LabelError(
            "No code is known by this name",
            got=text,
            expected='a name or a SNOMED CT code of the table: "64033007 left", "left kidney"',
            fix="calque labels suggest NAME lists what is near",
        )
    update: dict[str, Concept] = {}
    if written["side"]:
        update["laterality"] = LATERALITIES[written["side"].lower()]
    if written["region"]:
        update["region"] = _term(written["region"]).type
    return _term(written["type"]).model_copy(update=update)


def _term(value: str) -> Code:
    if value not in terms():
        raise LabelError(
            "This code is not in the table, so what it means is not known",
            got=value,
            expected=f"one of {len(terms())} SNOMED CT codes",
            fix="calque labels suggest NAME lists them by name",
        )
    return terms()[value].code


SURE = 0.9
"""From this score on a suggestion rests on listed names alone, nothing is guessed by likeness."""


def suggest(name: str, most: int = 3) -> tuple[Suggestion, ...]:
    """Codes for the name of a label, best first; none where nothing is near.

    Names are compared without regard to case, the order of words, plurals and sides ("kidney_left"), a number
    at the end ("rib_left_4"), and as a lesion in an organ ("liver tumour").
    """
    words = _words(name)
    exact = _exact(words)
    if exact is not None:
        code, score = exact
        return (Suggestion(name=name, code=code, score=score),)
    plain, side = _without_side(words)
    text, keys = " ".join(sorted(plain)), {" ".join(key): code for key, code in _index().items()}
    found: dict[Code, float] = {}
    for key in difflib.get_close_matches(text, keys, n=3 * most, cutoff=_LIKE) if text else ():
        code = _on_side(keys[key], side)
        score = 0.85 * difflib.SequenceMatcher(None, text, key).ratio()
        found[code] = max(score, found.get(code, 0.0))
    ranked = sorted(found.items(), key=lambda item: -item[1])[:most]
    return tuple(Suggestion(name=name, code=code, score=round(score, 3)) for code, score in ranked)


def _exact(words: tuple[str, ...]) -> tuple[Code, float] | None:
    """By listed names alone, with what was left out of the name taken off the score."""
    index = _index()
    if _key(words) in index:
        return index[_key(words)], 1.0
    plain, side = _without_side(words)
    number = plain[-1:] and plain[-1].isdigit()
    tries = [(plain, 0.98)] + ([(plain[:-1], 0.92)] if number else [])
    for some, score in tries:
        code = index.get(_key(some)) or _lesion_in(some)
        if code is not None:
            return (
                code if side is None else code.model_copy(update={"laterality": LATERALITIES[side]})
            ), score
    return None


def _on_side(code: Code, side: str | None) -> Code:
    return code if side is None else code.model_copy(update={"laterality": LATERALITIES[side]})


def _lesion_in(words: tuple[str, ...]) -> Code | None:
    """ "liver tumour": a lesion, and the organ as its region."""
    for cut in range(1, len(words)):
        for one, other in ((words[:cut], words[cut:]), (words[cut:], words[:cut])):
            lesion, region = _index().get(_key(one)), _index().get(_key(other))
            if lesion is None or region is None or lesion.category != CATEGORIES["lesion"]:
                continue
            if region.category == CATEGORIES["anatomy"]:
                return lesion.model_copy(update={"region": region.type})
    return None


@cache
def _index() -> dict[tuple[str, ...], Code]:
    """Key of each listed name and of each meaning -> code; what is listed first rules."""
    found: dict[tuple[str, ...], Code] = {}
    for code, names in terms().values():
        for name in (*names, code.type.meaning):
            found.setdefault(_key(_words(name)), code)
    return found


def _words(name: str) -> tuple[str, ...]:
    parts = re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    return tuple(word for word in (part.casefold() for part in parts) if word not in _NOISE)


def _key(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(word.removesuffix("s") if len(word) > 3 else word for word in words))


def _without_side(words: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """The words but for one that names a side, and that side."""
    sides = {_SIDES[word] for word in words if word in _SIDES}
    if len(sides) != 1 or len(words) == 1:
        return words, None
    return tuple(word for word in words if word not in _SIDES), sides.pop()
