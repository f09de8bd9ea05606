"""The laws of `calque.labels`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from calque.errors import InputError, LabelError
from calque.labels import Label, Labels, Region, default_colour, present_values


@st.composite
def labels(draw: st.DrawFn, highest: int = 65535) -> Labels:
    """Any set of classes: gaps, large values, perhaps an ignore value and a region."""
    values = draw(st.lists(st.integers(1, highest), min_size=1, max_size=6, unique=True))
    ignore = draw(st.none() | st.integers(1, highest).filter(lambda v: v not in values))
    made = Labels.from_names({f"class {v}": v for v in values}, ignore=ignore)
    some = draw(st.lists(st.sampled_from(values), unique=True))
    regions = (Region(name="whole", values=tuple(some)),) if some else ()
    return Labels(classes=made.classes, regions=regions, ignore=ignore)


def masks(known: Labels) -> st.SearchStrategy[NDArray[np.integer]]:
    """(2, 3, 2) of declared values."""
    values = [0, *known.values, *([] if known.ignore is None else [known.ignore])]
    cells = st.lists(st.sampled_from(values), min_size=12, max_size=12)
    return st.builds(lambda v: np.array(v, np.int32).reshape(2, 3, 2), cells)


@given(st.data())
def test_values_and_class_numbers_are_inverse(data: st.DataObject) -> None:
    known = data.draw(labels())
    mask = data.draw(masks(known))
    index = known.to_index(mask)
    assert index.shape == mask.shape
    assert index.max() <= known.outputs
    back = known.to_values(index)
    assert np.array_equal(back, mask)
    assert back.dtype == known.dtype
    numbers = np.arange(known.outputs + (known.ignore is not None)).reshape(1, 1, -1)
    assert np.array_equal(known.to_index(known.to_values(numbers)), numbers)


def test_class_numbers_follow_the_order_of_classes() -> None:
    known = Labels.from_names({"nucleus": 255, "background": 0, "cytoplasm": 128}, ignore=7)
    assert known.names == ("cytoplasm", "nucleus")
    assert known.outputs == 3
    assert known.to_index(np.array([[[0, 128, 255, 7]]])).tolist() == [[[0, 1, 2, 3]]]
    assert known.to_values(np.array([[[0, 1, 2]]])).tolist() == [[[0, 128, 255]]]


@given(labels(highest=300), st.lists(st.integers(-4, 310), min_size=1, max_size=8))
def test_what_is_not_declared_is_named(known: Labels, values: list[int]) -> None:
    wrong = sorted(set(values) - {0, *known.values, known.ignore})
    array = np.array(values, np.int16).reshape(1, 1, -1)
    assert known.undeclared(array) == tuple(wrong)
    if wrong:
        with pytest.raises(LabelError) as caught:
            known.to_index(array)
        assert str(wrong) in str(caught.value)


@pytest.mark.parametrize("number", [-1, 3, 255])
def test_a_class_number_that_is_none_is_refused(number: int) -> None:
    known = Labels.from_names({"a": 1, "b": 5})
    with pytest.raises(LabelError, match="class numbers"):
        known.to_values(np.array([[[0, 2, number]]]))


def test_empty_arrays_pass() -> None:
    known = Labels.from_names({"a": 1})
    empty = np.zeros((0, 3, 3), np.uint8)
    assert known.to_values(known.to_index(empty)).shape == (0, 3, 3)


def test_the_type_is_as_small_as_can_be() -> None:
    assert Labels.from_names({"a": 255}).dtype == np.uint8
    assert Labels.from_names({"a": 256}).dtype == np.uint16
    assert Labels.from_names({"a": 1}, ignore=1000).dtype == np.uint16
    many = Labels.from_names({str(v): v for v in range(1, 301)})
    array = np.arange(301).reshape(1, 1, -1)
    assert np.array_equal(many.to_index(array), array)


@given(labels())
def test_json_round_trip(known: Labels) -> None:
    assert Labels.from_json(known.to_json()) == known


def test_120_classes_have_120_colours() -> None:
    colours = [default_colour(k) for k in range(120)]
    assert len(set(colours)) == 120
    assert all(0 <= c <= 255 for colour in colours for c in colour)
    assert min(sum(colour) for colour in colours) > 150  # to be seen on the black of a scan


@pytest.mark.parametrize("ignore", [0, 1, -1, 65536])
def test_an_impossible_ignore_value_is_refused(ignore: int) -> None:
    with pytest.raises(LabelError):
        Labels.from_names({"a": 1}, ignore=ignore)


@pytest.mark.parametrize("names", [{}, {"background": 0}, {"a": 1, "b": 1}, {"a": -1}, {"a": 70000}, {"": 1}])
def test_impossible_classes_are_refused(names: dict[str, int]) -> None:
    with pytest.raises(LabelError):
        Labels.from_names(names)


def test_contradictions_are_refused() -> None:
    one, two = Label(name="a", value=1, colour=(1, 2, 3)), Label(name="a", value=2, colour=(1, 2, 3))
    with pytest.raises(ValidationError, match="names must be unique"):
        Labels(classes=(one, two))
    with pytest.raises(ValidationError, match=r"\[3\]"):
        Labels(classes=(one,), regions=(Region(name="r", values=(1, 3)),))
    with pytest.raises(ValidationError, match="region names must be unique"):
        Labels(classes=(one,), regions=(Region(name="r", values=(1,)), Region(name="r", values=(1,))))
    with pytest.raises(ValidationError):
        Label(name="a", value=1, colour=(1, 2, 256))
    with pytest.raises(InputError):
        Labels.from_json('{"classes": []}')


@given(
    st.sampled_from(["u1", "u2", "i2", "i4"]),
    st.lists(st.integers(0, 127) | st.integers(0, 255), min_size=1, max_size=40),
    st.sampled_from([(-1,), (1, -1), (1, 1, -1)]),
)
def test_present_values_are_those_that_sorting_finds(
    dtype: str, values: list[int], shape: tuple[int, ...]
) -> None:
    array = np.array(values, dtype).reshape(shape)
    assert present_values(array) == tuple(np.unique(array).tolist())


def test_undeclared_values_are_refused_with_their_place() -> None:
    labels = Labels.from_names({"a": 1}, ignore=9)
    labels.require_declared(np.array([0, 1, 9], np.uint8))
    with pytest.raises(LabelError, match=r"case 7(.|\n)*\[3, 4\]"):
        labels.require_declared(np.array([[4, 3], [3, 0]], np.uint8), where="case 7")
