"""Regions as outputs: any that are nested give their classes back; what cannot be told apart is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calque.errors import LabelError
from calque.heads import Decoder, Head, region_heads
from calque.labels import Labels, Region


def brats() -> Labels:
    plain = Labels.from_names({"oedema": 1, "necrosis": 2, "enhancing": 3})
    regions = (Region(name="core", values=(2, 3)), Region(name="whole", values=(1, 2, 3)))
    return Labels(classes=plain.classes, regions=regions)


def test_the_example_of_nnunet_has_its_order() -> None:
    heads = region_heads(brats())
    assert [(h.name, h.values, h.paints) for h in heads] == [
        ("whole", (1, 2, 3), 1), ("core", (2, 3), 2), ("enhancing", (3,), 3),
    ]  # fmt: skip


def test_later_outputs_paint_over_earlier_ones() -> None:
    decoder = Decoder(labels=brats(), heads=region_heads(brats()))
    logits = np.array([[-1, 1, 1, 1, -1], [-1, -1, 1, 1, 1], [-1, -1, -1, 1, -1]], np.float32)
    assert decoder.decide(logits).tolist() == [0, 1, 2, 3, 2]


def test_classes_are_decided_by_the_largest() -> None:
    logits = np.random.default_rng(0).normal(size=(4, 3, 5))
    np.testing.assert_array_equal(Decoder(labels=brats()).decide(logits), logits.argmax(0))


@given(
    st.integers(2, 6).flatmap(lambda n: st.tuples(st.just(n), st.permutations(range(1, n + 1)))), st.data()
)
def test_nested_regions_give_every_class_back(sizes: tuple[int, list[int]], data: st.DataObject) -> None:
    count, order = sizes
    cuts = data.draw(st.sets(st.integers(2, count), min_size=1))
    classes = Labels.from_names({f"c{k}": k for k in range(1, count + 1)}).classes
    regions = tuple(Region(name=f"r{cut}", values=tuple(order[:cut])) for cut in sorted(cuts))
    labels = Labels(classes=classes, regions=regions)
    decoder = Decoder(labels=labels, heads=region_heads(labels))
    truth = np.random.default_rng(0).integers(0, count + 1, 50)
    found = decoder.decide(np.where(decoder.members[:, truth], 3.0, -3.0))
    np.testing.assert_array_equal(found, truth)


def test_regions_that_cannot_be_told_apart_are_refused() -> None:
    heads = (Head(name="all", values=(1, 2, 3), paints=1),)
    with pytest.raises(LabelError, match="necrosis is read as oedema"):
        Decoder(labels=brats(), heads=heads).require_exact()
    with pytest.raises(LabelError, match="no regions"):
        region_heads(Labels.from_names({"a": 1}))
