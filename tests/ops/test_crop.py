"""Boxes around what is not zero."""

from __future__ import annotations

import numpy as np
import pytest

from calque.errors import InputError
from calque.ops.crop import nonzero_box


def test_box_of_everything_and_of_little() -> None:
    assert nonzero_box(np.ones((1, 2, 3, 4))).shape == (2, 3, 4)
    array = np.zeros((2, 5, 6, 7))
    array[0, 1, 2, 3] = -1
    array[1, 3, 2, 6] = 1
    box = nonzero_box(array)
    assert (box.start, box.stop) == ((1, 2, 3), (4, 3, 7))


def test_zeros_have_no_box() -> None:
    with pytest.raises(InputError, match="nothing but zeros"):
        nonzero_box(np.zeros((1, 2, 2, 2)))
