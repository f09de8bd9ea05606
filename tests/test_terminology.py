"""Codes of labels: none invented, found by the names that data sets use, and old files still read."""

from __future__ import annotations

import pytest

from calque.errors import LabelError
from calque.labels import Labels
from calque.terminology import (
    CATEGORIES,
    LATERALITIES,
    SURE,
    Code,
    Concept,
    parse_code,
    suggest,
    terms,
)

ALL = [term.code.type for term in terms().values()]


@pytest.mark.parametrize(
    "concept",
    [*ALL, *CATEGORIES.values(), *LATERALITIES.values()],
    ids=lambda concept: concept.meaning,
)
def test_every_code_is_in_pydicoms_dictionary_with_that_meaning(concept: Concept) -> None:
    pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    from pydicom.sr._concepts_dict import concepts

    known = {
        entry[0].casefold()
        for words in concepts["SCT"].values()
        for value, entry in words.items()
        if value == concept.value
    }
    assert concept.meaning.casefold() in known


def test_names_are_listed_once() -> None:
    names = [name for term in terms().values() for name in term.names]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("kidney_right", "64033007 right"),
        ("Lung-Left", "39607008 left"),
        ("lung_middle_lobe_right", "72481006"),
        ("heart_ventricle_left", "87878005"),
        ("LV", "87878005"),
        ("vertebrae_L5", "49668003"),
        ("rib_left_4", "113197003 left"),
        ("GTV-1", "372087000"),
        ("tumour", "108369006"),
        ("liver tumor", "108369006 in 10200004"),
        ("kidney_cyst_left", "367643001 left in 64033007"),
        ("Hippocampi", "5366008"),
        ("BrainStem", "119238007"),
    ],
)
def test_names_of_data_sets_are_understood(name: str, text: str) -> None:
    (best,) = suggest(name)
    assert best.score >= SURE
    assert str(best.code).startswith(text + " (")
    assert parse_code(str(best.code)) == best.code
    assert parse_code(text) == best.code


def test_likeness_is_a_guess_and_said_to_be_one() -> None:
    found = suggest("kindey left")
    assert str(found[0].code).startswith("64033007 left")
    assert found[0].score < SURE
    assert suggest("class 7") == ()
    with pytest.raises(LabelError, match="No code"):
        parse_code("kindey left")
    with pytest.raises(LabelError, match="not in the table"):
        parse_code("12345")


def test_vertebra_s1_is_not_taken_for_another_one() -> None:
    assert all(one.score < SURE for one in suggest("vertebrae_S1"))


def test_labels_without_codes_are_written_as_before_and_codes_survive_json() -> None:
    plain = Labels.from_names({"liver": 1, "left kidney": 2})
    assert "code" not in plain.to_json()
    assert Labels.from_json(plain.to_json()) == plain
    coded = plain.with_codes({"left kidney": parse_code("left kidney")})
    assert Labels.from_json(coded.to_json()) == coded
    assert coded.classes[0] == plain.classes[0]
    assert isinstance(coded.classes[1].code, Code)
    with pytest.raises(LabelError, match="no such class"):
        plain.with_codes({"spleen": parse_code("spleen")})
