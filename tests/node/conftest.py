"""What pynetdicom leaves behind is cleared away where it was made."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def cleared() -> Iterator[None]:
    """pynetdicom forgets the socket of a connection that was refused; the garbage collector closes it."""
    gc.freeze()  # what was there before need not be looked through: with torch loaded that takes a second
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.unfreeze()
