"""Errors say what, where, expected, got, fix, and survive a journey between processes."""

from __future__ import annotations

import pickle

import pytest

from calque import errors
from calque.errors import CalqueError, MissingExtraError, ReadError


def tree(root: type[CalqueError]) -> list[type[CalqueError]]:
    """`root` and everything below."""
    return [root, *(c for child in root.__subclasses__() for c in tree(child))]


PLAIN = [
    kind for kind in tree(CalqueError) if kind is not MissingExtraError and kind.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", PLAIN)
def test_an_error_says_all_it_knows(kind: type[CalqueError]) -> None:
    error = kind("It broke", where="a/b.nii", expected=3, got=(4, 0), fix="mend it")
    assert str(error) == "It broke\n  where: a/b.nii\n  expected: 3\n  got: (4, 0)\n  fix: mend it"
    assert str(kind("It broke")) == "It broke"
    assert str(kind("It broke", got=0)) == "It broke\n  got: 0"


@pytest.mark.parametrize("kind", PLAIN)
def test_pickling_keeps_everything(kind: type[CalqueError]) -> None:
    error = kind("It broke", where="a", expected=1, got=2, fix="b")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(again) is kind
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_missing_extra_names_the_command() -> None:
    error = MissingExtraError("pydicom", "dicom")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    for one in (error, again):
        assert 'pip install "calque[dicom]"' in str(one)
        assert (one.module, one.extra) == ("pydicom", "dicom")


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    for kind in tree(CalqueError):
        if kind.__module__ == errors.__name__:
            assert kind.__name__ in (errors.__doc__ or "")
    assert issubclass(ReadError, errors.InputError)
