"""Cases stay open, within bounds, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from tests.training.synthetic import FakeStore, make_plan

from calque.preparation import PreparedCase
from calque.training.cases import OpenCases
from calque.training.sampler import Sampler


class Counting:
    """A store that counts how often each case is opened."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.opened: list[str] = []

    def load(self, case: str) -> PreparedCase:
        self.opened.append(case)
        return self.store.load(case)


def test_each_case_is_opened_once_and_batches_are_what_they_were() -> None:
    counting = Counting()
    kept = Sampler(counting, counting.store.cases, make_plan(), seed=3)
    for step in range(6):
        fresh = Sampler(FakeStore(), counting.store.cases, make_plan(), seed=3)
        for one, other in zip(kept.batch(step), fresh.batch(step), strict=True):
            assert np.array_equal(one.image, other.image)
            assert np.array_equal(one.labels, other.labels)
    assert sorted(counting.opened) == sorted(counting.store.cases)


@pytest.mark.parametrize("bounds", [{"most": 2}, {"room": 0}])
def test_what_is_beyond_the_bounds_is_opened_each_time(bounds: dict[str, int]) -> None:
    counting = Counting()
    cases = OpenCases(counting, **bounds)
    for _ in range(3):
        for name in counting.store.cases:
            assert cases.load(name).id == name
    kept = bounds.get("most", 0)
    assert len(counting.opened) == kept + 3 * (len(counting.store.cases) - kept)
