"""Two stages: planned by a rule, trained honestly, held in one file, and run in bounded memory."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.clock import Ticking
from tests.training.runs import StopAt, assert_same_weights, make_dataset, plan_for, two_folds

from calque.dataset import Dataset, check, open_dataset
from calque.dataset.reading import read_scan
from calque.errors import InputError, ModelError, PlanError, ResourceError
from calque.image import LabelMap
from calque.io import read_labels
from calque.model import Model
from calque.nets import build
from calque.nets.previous import spread
from calque.planning import Plan, Schedule
from calque.prediction import PredictOptions
from calque.prediction.export import export
from calque.preparation import Store
from calque.preparation.case import place_image
from calque.preparation.previous import PreviousRows
from calque.preparation.rows import PreparedRows
from calque.progress import SILENT
from calque.training import ending, fold, loop, pace, plan_finetuning, train, watch
from calque.training.augment import augment, collate, with_previous
from calque.training.disturb import OPERATORS, disturb
from calque.training.ensemble import ensemble
from calque.training.finetune import transfer
from calque.training.first import First
from calque.training.run import RunFolder, Split
from calque.training.sampler import Sample

OPTIONS = two_folds(folds=3)
EXACT = {"mirror": "off", "precision": "f32", "engine": "torch"}


STEPS = (Schedule(steps=3, decay=0.5), Schedule(steps=4, decay=0.5))


def cascade_for(dataset: Dataset, lengths: tuple[Schedule, Schedule] = STEPS) -> Plan:
    """`lengths`: of a half of the first stage, and of the second one, or where time rules of all."""
    first = plan_for(dataset, spacing=(12.0, 16.0, 16.0), schedule=lengths[0])
    second = plan_for(dataset, schedule=lengths[1])
    network = second.network.model_copy(update={"previous": len(dataset.labels.classes)})
    return Plan.model_validate(
        second.model_dump() | {"network": network.model_dump(), "first": first.model_dump()}
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("data"), cases=6)


@pytest.fixture(scope="module")
def finished(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Model]:
    run = tmp_path_factory.mktemp("cascade")
    return run, train(dataset, cascade_for(dataset), run, OPTIONS)


def test_the_file_holds_both_stages(finished: tuple[Path, Model]) -> None:
    run, model = finished
    assert (len(model.members), len(model.first)) == (1, 2)
    again = Model.load(run / "model.calque")
    assert_same_weights(again, model)
    assert again.key == model.key
    assert again.plan.first == model.plan.first
    assert "A cascade. Its first stage, at 12 x 16 x 16 mm, is the mean of 2 networks" in again.card.notes
    other = replace(model, first=tuple({n: t + 1 for n, t in s.items()} for s in model.first))
    assert other.key != model.key
    with pytest.raises(ModelError, match="both stages"):
        replace(model, first=())


def test_nobody_predicted_what_he_learned_from(finished: tuple[Path, Model], dataset: Dataset) -> None:
    fold = RunFolder(finished[0]).fold(0)
    outer, first = Split.read(fold.split), RunFolder(fold.path / "first")
    halves = [Split.read(half.split) for half in first.folds()]
    for half in halves:
        assert not set(half.train) & set(outer.validation)
    for case in outer.train:
        judges = [k for k, half in enumerate(halves) if case in half.validation]
        assert len(judges) == 1
        assert case not in halves[judges[0]].train
        mask = read_labels(first.fold(judges[0]).validation / f"{case}.nii.gz", dataset.labels)
        image = read_scan(dataset.case(case).images, dataset.channels)
        _, placement, _ = place_image(image, finished[1].plan)
        seen = np.load(fold.path / "seen" / f"{case}.npy")
        np.testing.assert_array_equal(seen, PreviousRows(mask, placement)(slice(None)))
    for case in outer.validation:
        assert (fold.path / "seen" / f"{case}.npy").exists()


def test_prediction_is_the_second_stage_on_what_the_first_one_says(
    finished: tuple[Path, Model], dataset: Dataset
) -> None:
    model = finished[1]
    image = read_scan(dataset.cases[0].images, dataset.channels)
    predictor = model.predictor(PredictOptions(**EXACT))
    assert predictor.first is not None
    whole = predictor(image).label_map
    assert whole.grid.isclose(read_labels(dataset.cases[0].masks[0], dataset.labels).grid)
    first = model.first_stage
    assert first is not None
    said = first.predict(image, **EXACT, postprocess=False)
    np.testing.assert_array_equal(predictor.first(image).label_map.array, said.array)
    turned = image.reoriented(image.grid.reorientation("RAI"))  # the same scan, its axes in another order
    moved = model.predict(turned, **EXACT)
    back = moved.reoriented(moved.grid.reorientation(image.grid.orientation))
    assert (back.array == whole.array).mean() > 0.999
    forecast = predictor.forecast(image.grid, 4)
    alone = predictor.first.forecast(image.grid, 4)
    assert forecast.memory_bytes > alone.memory_bytes
    assert forecast.windows > alone.windows
    with pytest.raises(ResourceError, match="memory that was allowed"):
        model.predict(image, **EXACT, memory=forecast.memory_bytes // 2)
    limited = model.predict(image, **EXACT, memory=2**31)
    np.testing.assert_array_equal(limited.array, whole.array)


def test_openvino_gives_the_same_labels(finished: tuple[Path, Model], dataset: Dataset) -> None:
    pytest.importorskip("openvino")
    image = read_scan(dataset.cases[1].images, dataset.channels)
    one = finished[1].predict(image, **EXACT)
    other = finished[1].predict(image, **(EXACT | {"engine": "openvino"}))
    assert (one.array == other.array).mean() > 0.995


def test_it_is_not_exported(finished: tuple[Path, Model], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="A cascade is not exported"):
        export(finished[1].plan, finished[1].networks(), "onnx", tmp_path / "out")


@pytest.mark.parametrize("steps", [2, 5])  # in a half of the first stage, and in the second half
def test_interrupted_and_resumed_the_weights_are_the_same(
    finished: tuple[Path, Model], dataset: Dataset, tmp_path: Path, steps: int
) -> None:
    plan = cascade_for(dataset)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, plan, tmp_path, OPTIONS, StopAt(steps))
    model = train(dataset, plan, tmp_path, OPTIONS.model_copy(update={"resume": True}))
    assert_same_weights(model, finished[1])
    for one, two in zip(model.first, finished[1].first, strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_cascade_by_the_clock_leaves_a_plan_that_repeats_both_stages(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = cascade_for(dataset, (Schedule(seconds=2, decay=0.5), Schedule(seconds=8, decay=0.5)))
    with monkeypatch.context() as patch:
        clock = Ticking()
        for module in (ending, fold, loop, pace, watch):
            patch.setattr(module, "time", clock)
        model = train(dataset, plan, tmp_path / "timed", OPTIONS)
    repeat = Plan.read(RunFolder(tmp_path / "timed").fold(0).repeat)
    assert repeat.schedule.steps == model.card.steps > 1
    assert len(repeat.halves) == 2
    assert all((half.steps or 0) > 1 for half in repeat.halves)
    assert all(len(way.knots) > 1 for way in (repeat.schedule, *repeat.halves))
    again = train(dataset, repeat, tmp_path / "again", OPTIONS)
    assert_same_weights(again, model)
    for one, two in zip(again.first, model.first, strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert Plan.read(RunFolder(tmp_path / "again").fold(0).repeat) == repeat


def test_halves_are_two_schedules_of_a_cascade_in_steps(dataset: Dataset) -> None:
    plan = cascade_for(dataset).model_dump()
    half = Schedule(steps=3)
    for first, halves in (
        (None, (half, half)),
        (plan["first"], (half,)),
        (plan["first"], (half, Schedule(seconds=3))),
    ):
        with pytest.raises(ValueError, match="halves"):
            Plan.model_validate(
                (plan if first else plan_for(dataset).model_dump()) | {"first": first, "halves": halves}
            )


def test_a_case_that_a_half_had_no_time_for_is_still_seen_by_nobody_who_learned_from_it(
    finished: tuple[Path, Model], dataset: Dataset, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished[0], tmp_path / "run"))
    fold = RunFolder(run).fold(0)
    halves = RunFolder(fold.path / "first")
    case = Split.read(halves.fold(1).split).validation[0]
    (halves.fold(1).validation / f"{case}.nii.gz").unlink()
    seen = fold.path / "seen" / f"{case}.npy"
    before = np.load(seen)
    seen.unlink()
    First(ensemble(halves), halves, seen.parent).look([dataset.case(case)], Store(run / "prepared"), SILENT)
    np.testing.assert_array_equal(np.load(seen), before)


def test_plans_of_two_stages_fit_together(dataset: Dataset) -> None:
    plan = cascade_for(dataset)
    for change in (
        {"first": None},
        {"network": plan.network.model_copy(update={"previous": 1}).model_dump()},
        {"first": plan.model_dump()},
    ):
        with pytest.raises(ValueError, match="stage"):
            Plan.model_validate(plan.model_dump() | change)


def test_a_cascade_is_fine_tuned_stage_by_stage(
    finished: tuple[Path, Model], dataset: Dataset, tmp_path: Path
) -> None:
    first, *others = dataset.labels.classes
    labels = dataset.labels.model_copy(
        update={"classes": (*reversed(others), first.model_copy(update={"name": "brand-new"}))}
    )
    other, model = replace(dataset, labels=labels), finished[1]
    plan = plan_finetuning(other, model, steps=10)
    assert plan.first is not None
    assert (plan.first.schedule.steps, plan.schedule.steps) == (2, 6)
    assert plan.first.spacing == (12.0, 16.0, 16.0)
    network = build(plan.network, seed=1)
    fresh = [p.clone() for p in network.state_dict().values()]
    found = transfer(network, plan, model)
    assert found.reused == len(fresh) - len(found.fresh)
    stem = network.state_dict()["encoder.stages.0.0.convs.0.conv.weight"]
    source = model.members[0]["encoder.stages.0.0.convs.0.conv.weight"]
    count = len(dataset.channels)
    assert torch.equal(stem[:, :count], source[:, :count])
    for new, name in enumerate(labels.names):
        if name != "brand-new":
            old = dataset.labels.names.index(name)
            assert torch.equal(stem[:, count + new], source[:, count + old])
    tuned = train(other, plan, tmp_path, OPTIONS, start=model)
    assert len(tuned.first) == 2
    assert "Fine-tuned" in tuned.card.notes


def test_a_given_module_cannot_be_both_stages(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="one module cannot be both"):
        train(dataset, cascade_for(dataset), tmp_path, OPTIONS, network=torch.nn.Conv3d(1, 2, 1))


def test_class_numbers_are_spread_within_the_network() -> None:
    x = torch.tensor([7.0, 2.0, 0.0, 1.0]).reshape(1, 2, 1, 1, 2)
    found = spread(x, 2)
    assert found.shape == (1, 3, 1, 1, 2)
    assert found[0, :, 0, 0].tolist() == [[7.0, 2.0], [0.0, 1.0], [0.0, 0.0]]
    assert spread(x, 0) is x
    every = torch.arange(256.0).reshape(1, 1, 1, 1, 256).bfloat16()
    assert torch.equal(
        spread(torch.cat((every, every), 1), 255)[0, 1:, 0, 0].argmax(0)[1:], torch.arange(255)
    )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_rows_hold_the_class_of_the_nearest_voxel(dataset: Dataset, axis: int) -> None:
    case = dataset.cases[2]
    image, mask = read_scan(case.images, dataset.channels), read_labels(case.masks[0], dataset.labels)
    mask = LabelMap(mask.array, image.grid, dataset.labels)
    plan = cascade_for(dataset).model_copy(update={"spacing": (5.0, 9.0, 7.0)})
    rows = PreparedRows(image, plan, axis, previous=mask)
    whole = np.moveaxis(rows(slice(None))[-1], 0, axis)
    some = [rows(slice(k, k + 1))[-1] for k in range(rows.shape[1])]
    np.testing.assert_array_equal(np.moveaxis(np.concatenate(some), 0, axis), whole)
    prepared = rows.placement.prepared
    corner = np.argwhere(whole > 0)
    at = mask.grid.to_index(prepared.to_world(corner))
    clear = (np.abs(at - np.floor(at) - 0.5) > 1e-3).all(1)  # ties may go either way
    assert clear.mean() > 0.5
    nearest = np.clip(np.floor(at + 0.5).astype(int), 0, np.array(mask.array.shape) - 1)[clear]
    numbers = dataset.labels.to_index(mask.array[tuple(nearest.T)])
    np.testing.assert_array_equal(numbers, whole[tuple(corner[clear].T)])


def ball(shape: tuple[int, int, int], radius: float) -> np.ndarray:  # type: ignore[type-arg]
    grid = np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij")
    return sum(axis**2 for axis in grid) <= radius**2


@pytest.mark.parametrize(("operator", "size"), list(zip(OPERATORS, (9, 3, 6, 6), strict=True)))
def test_operators_are_those_of_balls(operator, size: int) -> None:  # type: ignore[no-untyped-def]
    shape = (31, 31, 31)
    changed, wanted = operator(ball(shape, 6), 3), ball(shape, size)
    assert (changed != wanted).sum() <= 0.15 * wanted.sum()
    assert changed.dtype == bool


def test_structures_that_leave_the_patch_are_not_eroded_there() -> None:
    slab = np.zeros((20, 12, 12), bool)
    slab[:8] = True
    eroded = OPERATORS[1](slab, 2)
    assert eroded[:6].all()
    assert not eroded[6:].any()
    assert OPERATORS[1](np.ones((4, 4, 4), bool), 2).all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_disturbed_maps_hold_no_other_classes(seed: int) -> None:
    classes = np.zeros((12, 14, 16), np.uint8)
    classes[2:6, 3:9, 4:12], classes[8:11, 3:5, 2:4], classes[8:11, 9:12, 9:14] = 1, 2, 2
    kept = classes.copy()
    found = disturb(classes, np.random.default_rng(seed))
    np.testing.assert_array_equal(classes, kept)
    assert set(np.unique(found)) <= {0, 1, 2}
    assert (found.shape, found.dtype) == (classes.shape, classes.dtype)
    np.testing.assert_array_equal(found, disturb(classes, np.random.default_rng(seed)))


def test_disturbances_happen_about_as_often_as_they_should() -> None:
    classes = np.zeros((12, 14, 16), np.uint8)
    classes[4:6, 5:9, 6:10] = 1
    found = [disturb(classes, np.random.default_rng(k)) for k in range(300)]
    same = np.mean([np.array_equal(f, classes) for f in found])
    gone = np.mean([not f.any() for f in found])
    assert 0.55 < same < 0.85
    assert 0.05 < gone < 0.35


def test_what_the_first_stage_found_moves_with_the_image_and_is_not_varied() -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 3, (8, 12, 12)).astype(np.uint8)
    warp = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]], float)[[1, 0, 2]]
    sample = Sample(labels[None].astype(np.float32), labels, warp, previous=labels)
    images, maps = collate([sample] * 6, (8, 12, 12), torch.device("cpu"))
    mirrored = plan_augmentation()
    images, numbers = with_previous(*augment(images, maps, mirrored, np.random.default_rng(0)))
    assert images.shape == (6, 2, 8, 12, 12)
    assert torch.equal(images[:, 1].long(), numbers)
    assert not torch.equal(numbers[0], numbers[1]) or not torch.equal(numbers[1], numbers[2])


def plan_augmentation():  # type: ignore[no-untyped-def]
    from tests.training.synthetic import STILL

    return STILL.model_copy(update={"mirror": (True, True, True), "brightness": 1.0})


@pytest.mark.slow
def test_the_command_line_trains_and_predicts_a_cascade(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from calque.cli.app import app
    from calque.phantoms import write_phantoms

    data = write_phantoms(
        tmp_path / "data", "mr_brain", 6, shape=(16, 32, 32), spacing=(6, 6, 6), varied=True
    )
    assert not check(open_dataset(data)).failing
    run = tmp_path / "run"
    begun = CliRunner().invoke(
        app,
        [
            "train",
            str(data),
            "-o",
            str(run),
            "--steps",
            "5",
            "--folds",
            "3",
            "--fold",
            "0",
            "--kind",
            "cascade",
        ],
    )
    assert begun.exit_code == 0, begun.output
    assert "first stage" in begun.output.lower()
    model = Model.load(run / "model.calque")
    assert model.plan.first is not None
    assert np.prod(model.plan.first.spacing) > 1.9 * np.prod(model.plan.spacing)
    done = CliRunner().invoke(
        app, ["predict", str(run / "model.calque"), str(data / "imagesTr"), "-o", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 6
    shutil.rmtree(run)
