"""What most tests of training begin with."""

from __future__ import annotations

import pytest
from tests.training.runs import make_dataset

from calque.dataset import Dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four small brains, which nobody changes; modules with other needs have their own."""
    return make_dataset(tmp_path_factory.mktemp("data"))
