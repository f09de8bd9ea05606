"""Plans under budgets, of time, of steps and of memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.clock import Ticking

from calque.dataset import Case, Dataset
from calque.errors import DatasetError, PlanError, ResourceError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import write_image, write_labels
from calque.nets import build
from calque.planning import Plan, Timing, Wishes, explain, fingerprint, plan, probe, speed
from calque.planning.cost import layers, step_flops, step_memory
from calque.planning.machine import Machine, find_machine, usable_memory
from calque.planning.planner import Budget, decide
from calque.planning.probe import step_seconds, time_modes
from calque.planning.rules import choose_geometry, network, topology
from calque.planning.search import LADDER, Limits, choose
from calque.planning.speed import machine_speed

from .synthetic import BRAIN, CT, HIPPOCAMPUS, KINDS, SLICES, make_dataset

CPU = Machine("cpu", "a laptop")
GPU = Machine("cuda", "a card")
GB = 10**9


def decided(kind, budget: Budget, machine: Machine = CPU, channels=("MR",)) -> Plan:
    return decide(
        make_dataset(channels), choose_geometry(kind), budget, Wishes(), Timing(probe=False, machine=machine)
    )


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    labels, cases = make_dataset().labels, []
    for number in range(5):
        generator = np.random.default_rng(number)
        shape = (10 + number, 16, 12)
        grid = Grid.from_parts(shape, (1.0, 1.0, 1.0))
        if number == 4:
            grid = grid.reorientation("PSL").grid(grid)
        image, label = tmp_path / f"{number}.nii.gz", tmp_path / f"{number}-mask.nii.gz"
        array = generator.normal(10.0, 2.0, (1, *grid.shape)).astype(np.float32)
        array[:, :, :2] = 0
        write_image(Image(array, grid, ("MR",)), image)
        mask = np.zeros(grid.shape, np.uint8)
        mask[3:6, 4:9, 4:8] = 1
        mask[4, 5, 5] = 2 if number else 0
        write_labels(LabelMap(mask, grid, labels), label)
        cases.append(Case(str(number), (image,), label, str(number)))
    return Dataset("d", tmp_path, "folders", ("MR",), labels, tuple(cases))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "budget", [Budget(60.0, None, 8 * GB), Budget(36000.0, None, 8 * GB), Budget(None, 50, 2 * GB)]
)
def test_every_kind_gets_a_plan_that_fits_and_survives_json(kind: str, budget: Budget) -> None:
    channels = ("T1", "T2", "FLAIR", "T1c") if kind == "brain" else ("MR",)
    made = decided(KINDS[kind], budget, channels=channels)
    assert Plan.from_json(made.to_json()) == made
    assert budget.memory is not None
    assert step_memory(made.network, made.patch, made.batch, made.precision) <= budget.memory
    assert {name for name, _, reason in explain(made) if not reason} == set()


def test_more_time_never_gives_a_narrower_network() -> None:
    budgets = [300.0, 1800.0, 7200.0, 36000.0, 360000.0]
    plans = [decided(HIPPOCAMPUS, Budget(b, None, 16 * GB)) for b in budgets]
    widths = [p.network.features[0] for p in plans]
    assert widths == sorted(widths)
    assert widths[0] == 16
    assert widths[-1] == 32
    assert plans[-1].network.kind == "residual"


def test_short_budgets_shrink_the_patch_and_not_below_sense() -> None:
    short, long = (decided(CT, Budget(b, None, 16 * GB)) for b in (600.0, 36000.0))
    assert np.prod(short.patch) < np.prod(long.patch) <= 128**3 * 1.1
    assert np.prod(short.patch) >= 40**3
    hurried = decided(HIPPOCAMPUS, Budget(5.0, None, 16 * GB))
    assert np.prod(hurried.patch) >= 40**3
    assert "CT" not in hurried.reasons["normalisation"]


def test_a_gpu_with_hours_gets_nnunets_width_and_batch() -> None:
    made = decided(CT, Budget(12 * 3600.0, None, 40 * GB), GPU, ("CT",))
    assert made.network.features == (32, 64, 128, 256, 320, 320)
    assert made.batch >= 2
    assert np.prod(made.patch) > 1_500_000
    assert made.normalisation[0].scheme == "ct"
    assert "CT units" in made.reasons["normalisation"]


def test_memory_shrinks_the_patch_and_at_last_refuses() -> None:
    wide, narrow = (
        decided(BRAIN, Budget(None, 5000, m), channels=("a", "b", "c", "d")) for m in (16 * GB, GB)
    )
    assert np.prod(narrow.patch) * narrow.batch < np.prod(wide.patch) * wide.batch
    with pytest.raises(ResourceError, match="does not fit"):
        decided(BRAIN, Budget(None, 5000, 10**8), channels=("a", "b", "c", "d"))


def test_a_batch_is_a_small_share_of_the_data() -> None:
    few = decided(KINDS["tiny"], Budget(36000.0, None, 16 * GB))
    assert few.batch == 2
    assert decided(HIPPOCAMPUS, Budget(36000.0, None, 16 * GB)).batch == 4


def test_slices_are_not_mirrored_through() -> None:
    made = decided(SLICES, Budget(1800.0, None, 8 * GB))
    assert made.network.dimensions == 2
    assert made.patch == (1, 256, 256)
    assert made.augmentation.mirror == (False, True, True)


@pytest.mark.parametrize(
    ("upright", "mirror"), [((0.55, 0.6), (False, True, True)), ((0.95, 0.5), (False, False, True))]
)
def test_pictures_that_stand_one_way_are_not_mirrored(upright, mirror) -> None:
    kind = SLICES.model_copy(update={"upright": upright})
    made = decided(kind, Budget(1800.0, None, 8 * GB))
    assert made.augmentation.mirror == mirror
    assert f"{upright[0]:.0%}" in made.reasons["augmentation"]


@pytest.mark.parametrize(
    "wrong", [{"seconds": 5.0, "steps": 5}, {"seconds": 0.0}, {"steps": -1}, {"memory": 0}]
)
def test_budgets_that_contradict_themselves(wrong) -> None:
    with pytest.raises(PlanError):
        Budget(**wrong)


def test_counted_steps_make_the_same_plan_every_time(dataset: Dataset) -> None:
    first, second = (plan(dataset, steps=40, timing=Timing(probe=False)) for _ in range(2))
    assert first == second
    assert first.forecast is None
    assert (first.schedule.steps, first.schedule.seconds) == (40, None)


def test_a_probed_plan_says_what_to_expect(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "time", Ticking())
    made = plan(dataset, budget=20.0, wishes=Wishes(memory=4 * GB))
    assert made.schedule.seconds == pytest.approx(20.0)
    assert made.forecast is not None
    assert made.forecast.step_seconds == pytest.approx(1.15 * 0.01)
    assert made.forecast.steps == round(16.0 / (1.15 * 0.01))
    assert "timed on this machine" in made.reasons["precision"]
    assert made.reasons["forecast"] == "timed on this machine"
    assert any(field == "forecast" for field, _, _ in explain(made))


def test_steps_are_foretold_from_the_speed_of_the_machine(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "time", Ticking())
    first = plan(dataset, steps=40, wishes=Wishes(memory=4 * GB), timing=Timing(cache=tmp_path / "cache"))
    monkeypatch.setattr(speed, "step_seconds", None)  # whoever times again fails
    again = plan(dataset, steps=40, wishes=Wishes(memory=4 * GB), timing=Timing(cache=tmp_path / "cache"))
    assert again == first
    assert first.forecast is not None
    assert "roughly" in first.reasons["forecast"]
    kept = machine_speed(find_machine(), 3, (first.precision, first.channels_last), tmp_path / "cache")
    work = step_flops(first.network, first.patch, first.batch)
    assert first.forecast.step_seconds == pytest.approx(1.15 * work / kept.flops)
    assert first.forecast.steps == 40


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_speed_of_a_machine_without_a_cache_is_timed(dimensions: int) -> None:
    assert machine_speed(CPU, dimensions, ("f32", False)).flops > 1e6


def test_hand_edits_are_checked(dataset: Dataset, tmp_path) -> None:
    path = tmp_path / "plan.json"
    made = plan(dataset, steps=40, timing=Timing(probe=False))
    path.write_text(made.to_json().replace('"batch": 2', '"batch": 3'))
    assert Plan.read(path, error=PlanError).batch == 3
    path.write_text(made.to_json().replace('"batch": 2', '"batch": 0'))
    with pytest.raises(PlanError, match="batch"):
        Plan.read(path, error=PlanError)
    path.write_text(made.to_json().replace('"precision": "', '"precison": "'))
    with pytest.raises(PlanError, match="precison"):
        Plan.read(path, error=PlanError)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("orientation", "XYZ", "axis codes"),
        ("orientation", "SSL", "axis codes"),
        ("patch", [33, 50, 50], "multiple"),
        ("spacing", [1.0, 0.0, 1.0], "spacing"),
        ("normalisation", [{"scheme": "ct", "low": 5.0, "high": 5.0}], "window"),
        ("normalisation", [], "one entry per channel"),
    ],
)
def test_edits_that_make_no_sense_are_named(field: str, value: object, said: str) -> None:
    document = decided(HIPPOCAMPUS, Budget(None, 50, 4 * GB)).model_dump(mode="json")
    with pytest.raises(PlanError, match=said):
        Plan.from_json(json.dumps({**document, field: value}), error=PlanError)


def test_fingerprint_counts_what_is_there(dataset: Dataset) -> None:
    seen = fingerprint(dataset)
    assert seen.cases == 5
    assert seen.orientations == {"SPL": 4, "PSL": 1}
    assert seen.shapes[:2] == ((10, 14, 12), (11, 14, 12))  # two rows of zeros are cropped away
    assert seen.cases_with_class == (5, 4)
    assert seen.intensities[0].mean == pytest.approx(10.0, abs=0.5)
    sizes = [(10 + n) * 16 * 12 for n in range(5)]
    assert seen.class_fractions[1] == pytest.approx(4 / sum(sizes))


def test_fingerprint_names_every_sick_case(dataset: Dataset) -> None:
    dataset.case("1").images[0].write_bytes(b"\x1f\x8b truncated")
    label = dataset.case("3").label
    assert label is not None
    label.unlink()
    with pytest.raises(DatasetError) as caught:
        fingerprint(dataset)
    assert "2 of 5" in str(caught.value)
    assert "\n    1: " in str(caught.value)
    assert "\n    3: " in str(caught.value)


def test_empty_masks_cannot_be_learnt_from(dataset: Dataset) -> None:
    for case in dataset.cases:
        assert case.label is not None
        grid = Grid.from_parts((10 + int(case.id), 16, 12), (1, 1, 1))
        if case.id == "4":
            grid = grid.reorientation("PSL").grid(grid)
        write_labels(LabelMap(np.zeros(grid.shape, np.uint8), grid, dataset.labels), case.label)
    with pytest.raises(DatasetError, match="No mask holds any class"):
        fingerprint(dataset)


@pytest.mark.parametrize("kind", ["plain", "residual"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_cost_model_knows_every_convolution(kind: str, dimensions) -> None:
    patch = (8, 16, 16) if dimensions == 3 else (1, 32, 32)
    config = network(topology((1.0, 1.0, 1.0), patch, dimensions), kind, 4, 2, 3, dimensions)
    modelled = sum(inputs * outputs * kernel for inputs, outputs, kernel, _ in layers(config, patch))
    weights = [p for p in build(config).parameters() if p.ndim > 1]
    real = sum(p.numel() for p in weights)
    assert modelled == pytest.approx(
        real, rel=0.25
    )  # transposed kernels and projections are not counted fully
    assert step_flops(config, patch, 4) == 2 * step_flops(config, patch, 2)


def test_the_ladder_is_climbed_by_work_alone() -> None:
    geometry = choose_geometry(HIPPOCAMPUS)
    limits = Limits(16 * GB, "bf16", "cpu", lambda rung: 1e15 if rung.base <= 24 else 0.0, shrink=False)
    assert choose(geometry, 1, 3, limits).rung == LADDER[2]


def test_probing_takes_real_steps_in_every_mode() -> None:
    for dimensions, patch in ((3, (8, 8, 8)), (2, (1, 16, 16))):
        config = network(topology((1.0, 1.0, 1.0), patch, dimensions), "plain", 4, 1, 2, dimensions)
        times = time_modes(config, patch, 2, CPU, 60.0)
        assert len(times) == 4
        assert all(seconds > 0 for seconds in times.values())
        assert len(time_modes(config, patch, 2, CPU, allowance=0.0)) == 1  # no time to compare
    assert step_seconds(config, patch, 1, ("f32", False)) > 0


def test_memory_of_this_machine_is_known() -> None:
    assert usable_memory(CPU, steady=False) > 0
    assert usable_memory(CPU, steady=True) == usable_memory(CPU, steady=True) > 0


@pytest.mark.data
def test_hippocampus_for_real(data_root) -> None:
    from calque.dataset import open_dataset

    made = plan(open_dataset(data_root / "hippocampus"), steps=200, timing=Timing(probe=False))
    assert made.patch == (40, 56, 40)
    assert made.batch == 4
    assert made.network.features == (16, 32, 64, 128)
    assert made.spacing == (1.0, 1.0, 1.0)
