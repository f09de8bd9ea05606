"""Fixtures that every suite shares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("calque", deadline=None)  # how long a test takes is no property of the code
settings.load_profile("calque")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of this session, of all its workers, so that the user's own stays as it is."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setenv("MPLCONFIGDIR", str(usual / "matplotlib"))  # its list of fonts takes seconds to make
        yield folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data; the test is skipped, with the reason, where it is not."""
    root = Path(os.environ.get("CALQUE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"no real data at {root}: set CALQUE_DATA")
    return root
