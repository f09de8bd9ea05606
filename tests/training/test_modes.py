"""Every mode goes the whole way: plan, train, model file, prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from calque.dataset import Dataset, open_dataset
from calque.errors import LabelError, PlanError
from calque.evaluation import Scores
from calque.io import read_labels
from calque.labels import Labels, Region
from calque.model import Model
from calque.phantoms import write_phantoms
from calque.planning import Plan, Wishes, plan
from calque.training import TrainOptions, train
from calque.training.partial import known_of, score_annotated

SHAPE = (12, 20, 18)
SMALL = {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}
TWO_FOLDS = TrainOptions(folds=2)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = write_phantoms(
        tmp_path_factory.mktemp("data"), "mr_brain", 4, shape=SHAPE, spacing=(12, 8, 8), varied=True
    )
    found = open_dataset(folder)
    whole = Region(name="all of it", values=found.labels.values)
    return replace(found, labels=found.labels.model_copy(update={"regions": (whole,)}))


def small(made: Plan) -> Plan:
    """The same plan with a network for tests."""
    stages = len(made.network.features)
    network = made.network.model_copy(
        update={"features": (4,) * stages, "blocks": (1,) * stages, "decoder_blocks": (1,) * (stages - 1)}
    )
    return made.model_copy(update={"network": network, "batch": 2})


def go(dataset: Dataset, run: Path, wishes: Wishes) -> Model:
    made = small(plan(dataset, steps=3, probe=False, wishes=wishes))
    train(dataset, made, run, TWO_FOLDS)
    model = Model.load(run / "model.calque")
    case = dataset.cases[0]
    mask = model.predict(case.images, mirror="off", precision="f32", engine="torch")
    assert mask.grid.isclose(read_labels(case.masks[0], dataset.labels).grid)
    assert set(np.unique(mask.array)) <= {0, *dataset.labels.values}
    return model


@pytest.mark.parametrize(("kind", "depth", "slices"), [("2d", 1, 1), ("2.5d", 5, 3), ("3d", None, 1)])
def test_slices_and_volumes(dataset: Dataset, tmp_path: Path, kind: str, depth: int, slices: int) -> None:
    model = go(dataset, tmp_path, Wishes.model_validate({"kind": kind}))
    assert model.plan.network.dimensions == (3 if kind == "3d" else 2)
    assert model.plan.network.slices == slices
    assert depth is None or model.plan.patch[0] == depth


def test_regions_are_trained_predicted_and_scored(dataset: Dataset, tmp_path: Path) -> None:
    model = go(dataset, tmp_path, Wishes(outputs="regions", class_weights={"all of it": 2}))
    assert model.plan.objective.loss == "dice_bce"
    assert model.plan.heads[0].name == "all of it"
    assert "all of it" in Scores.read(tmp_path / "fold_0" / "scores.json").summaries
    found = model.predictor()(
        _image(dataset, model)
    )  # its own engine: OpenVINO's conversion knows nothing of heads
    assert found.label_map.labels == dataset.labels


def _image(dataset: Dataset, model: Model):  # type: ignore[no-untyped-def]
    from calque.dataset.reading import read_scan

    return read_scan(dataset.cases[0].images, model.plan.channels)


def test_probabilities_of_regions_are_those_that_decide(dataset: Dataset, tmp_path: Path) -> None:
    from calque.prediction import PredictOptions

    made = small(plan(dataset, steps=2, probe=False, wishes=Wishes(outputs="regions")))
    model = train(dataset, made, tmp_path, TWO_FOLDS)
    options = PredictOptions(
        probabilities=True, entropy=True, engine="torch", precision="f32", postprocess=False
    )
    found = model.predictor(options)(_image(dataset, model))
    assert found.probabilities is not None
    assert found.entropy is not None
    logits = np.where(found.probabilities > 0.5, 1.0, -1.0)
    values = model.plan.labels.to_values(model.plan.decoder.decide(logits))
    assert (values == found.label_map.array).mean() > 0.999  # what rounds to a half may go either way
    assert 0 <= found.entropy.min() <= found.entropy.max() <= 1.001


def test_regions_need_regions(dataset: Dataset) -> None:
    plain = replace(dataset, labels=dataset.labels.model_copy(update={"regions": ()}))
    with pytest.raises(LabelError, match="no regions"):
        plan(plain, steps=2, probe=False, wishes=Wishes(outputs="regions"))


def test_a_network_of_monai(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    wishes = Wishes(network="monai:SegResNet", network_options=SMALL)
    model = go(dataset, tmp_path, wishes)
    assert model.plan.network.kind == "monai:SegResNet"
    assert any(name.startswith("body.") for name in model.members[0])


def test_networks_of_monai_are_listed_and_options_checked(dataset: Dataset) -> None:
    pytest.importorskip("monai")
    from calque.nets import build

    made = plan(dataset, steps=2, probe=False)
    for kind, options, words in (
        ("monai:Classifier", {}, "no such network"),
        ("monai:SegResNet", {"wrong": 1}, "refuses its options"),
    ):
        network = made.network.model_copy(update={"kind": kind, "options": options})
        with pytest.raises(PlanError, match=words):
            build(network)


def test_a_network_that_cannot_take_the_patch_is_refused_when_planning(dataset: Dataset) -> None:
    pytest.importorskip("monai")
    options = SMALL | {"blocks_up": [1, 1, 1]}
    with pytest.raises(PlanError, match="cannot take the patch"):
        plan(dataset, steps=2, probe=False, wishes=Wishes(network="monai:SegResNet", network_options=options))


def partial(dataset: Dataset) -> Dataset:
    """Of every second case only the first class was looked for."""
    first = dataset.labels.names[:1]
    cases = tuple(replace(c, annotated=first if k % 2 else None) for k, c in enumerate(dataset.cases))
    labels = Labels(classes=dataset.labels.classes, ignore=200)
    return replace(dataset, cases=cases, labels=labels)


def test_partial_labels_are_trained_on_and_scored_only_where_annotated(
    dataset: Dataset, tmp_path: Path
) -> None:
    some = partial(dataset)
    model = train(some, small(plan(some, steps=3, probe=False)), tmp_path, TWO_FOLDS)
    assert model.plan.objective.partial == "marginal"
    scores = Scores.read(tmp_path / "fold_0" / "scores.json")
    assert {c.case for c in scores.cases} <= {c.id for c in some.cases}


def test_a_class_that_was_not_annotated_is_not_scored(dataset: Dataset) -> None:
    some = partial(dataset)
    case = some.cases[1]
    truth = read_labels(case.masks[0], some.labels)
    known = known_of(case, some.labels)
    assert known is not None
    assert known.tolist() == [True, True, *[False] * (len(some.labels.names) - 1)]
    score = score_annotated(truth, case, some.labels, some.rule)
    states = [score.classes[name].state for name in some.labels.names]
    assert states == ["present", *["unknown"] * (len(states) - 1)]
    assert score.classes[some.labels.names[0]].values["dice"] == 1.0


class Own(torch.nn.Module):
    """A network of somebody's own, with a norm that keeps running statistics."""

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.first = torch.nn.Conv3d(channels, 6, 3, padding=1)
        self.norm = torch.nn.BatchNorm3d(6)
        self.last = torch.nn.Conv3d(6, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.norm(self.first(x))))


def test_a_module_of_ones_own_is_named_in_the_file_and_given(dataset: Dataset, tmp_path: Path) -> None:
    from calque.nets.others import _given, give_network

    module = Own(len(dataset.channels), dataset.labels.outputs)
    model = go(dataset, tmp_path, Wishes(network=give_network(module)))
    statistics = model.members[0]["body.norm.running_mean"]
    assert float(statistics.abs().max()) > 0
    _given.clear()  # as in another process
    with pytest.raises(PlanError, match="not part of Calque"):
        Model.load(tmp_path / "model.calque")
    again = Model.load(tmp_path / "model.calque", network=Own(len(dataset.channels), dataset.labels.outputs))
    torch.testing.assert_close(again.networks()[0].body.norm.running_mean, statistics)
