"""Arrays in files are those in memory, little of them is held, and nothing stays behind."""

from __future__ import annotations

import errno
import gc
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calque.errors import InputError, ResourceError
from calque.prediction import scratch
from calque.prediction.scratch import Scratch


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    seed=st.integers(0, 99),
    axes=st.permutations((0, 1, 2)),
    flips=st.lists(st.integers(0, 2), unique=True),
    cuts=st.lists(st.integers(0, 12), max_size=3),
)
def test_files_hold_what_memory_would(tmp_path: Path, monkeypatch, seed, axes, flips, cuts):
    monkeypatch.setattr(scratch, "PAGE_BYTES", 300)
    shape = (3, 9, 7, 11)
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)

    def view(array):
        return np.flip(array, [1 + a for a in flips]).transpose(0, *(1 + a for a in axes))

    place = Scratch(tmp_path)
    array = place.array("soft", shape, np.dtype(np.float32))
    assert not array.any()
    ends = sorted({0, *(min(c, view(values).shape[1]) for c in cuts), view(values).shape[1]})
    for low, high in itertools.pairwise(ends):
        place.put(view(array)[:, low:high], view(values)[:, low:high])
    np.testing.assert_array_equal(array, values)
    place.give("soft", array, tmp_path / "given.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "given.npy", allow_pickle=False), values)
    del array, place
    gc.collect()
    assert [p.name for p in tmp_path.iterdir()] == ["given.npy"]


def test_without_a_folder_arrays_are_in_memory(tmp_path: Path):
    place = Scratch()
    array = place.array("soft", (2, 2, 2), np.dtype(np.float16))
    place.put(array, 0.5)
    place.give("soft", array, tmp_path / "a.npy")
    assert np.load(tmp_path / "a.npy").tolist() == [[[0.5] * 2] * 2] * 2


def test_a_full_disk_is_known_before_anything_is_computed(tmp_path: Path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scratch, "_reserve", full)
    place = Scratch(tmp_path)
    with pytest.raises(ResourceError, match="no room for the probabilities"):
        place.array("soft", (3, 4, 4, 4), np.dtype(np.float32))
    del place
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Scratch(tmp_path / "file" / "out")


def test_room_is_taken_where_there_is_no_call_for_it(tmp_path: Path, monkeypatch):
    monkeypatch.delattr(scratch.os, "posix_fallocate")
    array = Scratch(tmp_path).array("soft", (3, 4, 5), np.dtype(np.float32))
    assert (array.shape, array.any()) == ((3, 4, 5), False)
