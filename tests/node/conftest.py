"""What pynetdicom leaves behind is cleared away where it was made."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def cleared_thoroughly() -> Iterator[None]:
    """Once for each module: what a thread still held when its test ended."""
    yield
    _collect()


@pytest.fixture(autouse=True)
def cleared(cleared_thoroughly: None) -> Iterator[None]:
    """pynetdicom forgets the socket of a connection that was refused; the garbage collector closes it."""
    gc.freeze()  # what was there before need not be looked through: with torch loaded that takes a second
    yield
    _collect()
    gc.unfreeze()


def _collect() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
