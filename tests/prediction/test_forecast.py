"""A forecast grows with what is to be held, and a limit is kept or refused."""

from __future__ import annotations

import pytest

from calque.errors import ResourceError
from calque.geometry import Grid
from calque.prediction import PredictOptions
from calque.prediction.forecast import Load, fit_windows, forecast
from calque.prediction.tiling import Tiling
from calque.preparation.case import plan_placement

from ..preparation.synthetic import make_plan

PLAN = make_plan(patch=(32, 32, 32))

PHASES = ("conversion", "rows", "windows", "deciding")


def of(slices: int = 400, mirror: str = "off", windows: int = 1, **options):
    grid = Grid.from_parts((slices, 128, 128), (1, 1, 1))
    tiling = Tiling(PLAN.patch, mirror=mirror)
    load = Load("torch", "f32", windows, 1, window_seconds=0.5)
    return forecast(plan_placement(grid, PLAN), 2, PLAN, PredictOptions(**options), tiling, load)


def test_only_the_image_and_its_labels_grow_with_the_scan():
    short, long = of(400).parts, of(800).parts
    grown = {part for part in short if long[part] != short[part]}
    assert grown == {"image", "labels"}


def test_windows_and_seconds_count_mirrorings():
    once, full = of(), of(mirror="full")
    assert once.windows == 24 * 7 * 7
    assert full.windows == 8 * once.windows
    assert of(mirror="interleaved").windows == once.windows
    assert full.seconds > 7 * once.seconds


def test_what_is_asked_for_is_counted():
    voxels = 400 * 128 * 128
    assert of(probabilities=True).parts["asked for"] == 3 * 4 * voxels
    assert of(entropy=True).parts["asked for"] == 2 * voxels
    assert of(probabilities=True).disk_bytes == 0


def test_what_lies_in_files_grows_with_the_scan_on_the_disk_alone(tmp_path):
    short, long = (of(n, probabilities=True, scratch=tmp_path) for n in (400, 800))
    assert {p for p in short.parts if long.parts[p] != short.parts[p]} <= {"image", "labels", "resampled"}
    assert (short.disk_bytes, long.disk_bytes) == (12 * 400 * 128 * 128, 12 * 800 * 128 * 128)


def test_what_is_held_in_turn_is_not_added_up():
    found = of(windows=64)
    held = sum(size for part, size in found.parts.items() if part not in PHASES)
    longest = max(found.parts[part] for part in PHASES)
    assert longest == found.parts["deciding"] > found.parts["windows"]  # small ones do not rest meanwhile
    assert found.memory_bytes == pytest.approx(1.1 * (held + longest))


def test_fewer_windows_at_a_time_where_memory_is_short():
    sizes = {n: of(windows=n).memory_bytes for n in (32, 64, 128, 256)}
    assert sorted(sizes.values()) == list(sizes.values())
    assert fit_windows(256, sizes[128], lambda n: of(windows=n)).windows_per_call == 128
    assert fit_windows(256, None, lambda n: of(windows=n)).windows_per_call == 256
    with pytest.raises(ResourceError, match="at least"):
        fit_windows(8, of(windows=1).memory_bytes - 1, lambda n: of(windows=n))
