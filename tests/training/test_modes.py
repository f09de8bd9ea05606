"""Every mode goes the whole way: plan, train, model file, prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training.runs import StopAt, assert_same_weights

from calque.dataset import Dataset, open_dataset
from calque.errors import LabelError, PlanError
from calque.evaluation import Scores
from calque.io import read_labels
from calque.labels import Labels, Region
from calque.model import Model
from calque.nets import NetworkConfig, others
from calque.phantoms import write_phantoms
from calque.planning import Plan, Timing, Wishes, plan
from calque.training import TrainOptions, train
from calque.training.partial import known_of, score_annotated

SHAPE = (12, 20, 18)
SMALL = {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]}
TWO_FOLDS = TrainOptions(folds=2)
UNTIMED = Timing(probe=False)


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
    made = small(plan(dataset, steps=3, timing=UNTIMED, wishes=wishes))
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

    made = small(plan(dataset, steps=2, timing=UNTIMED, wishes=Wishes(outputs="regions")))
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
        plan(plain, steps=2, timing=UNTIMED, wishes=Wishes(outputs="regions"))


def test_a_network_of_monai(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    wishes = Wishes(network="monai:SegResNet", network_options=SMALL)
    model = go(dataset, tmp_path, wishes)
    assert model.plan.network.kind == "monai:SegResNet"
    assert any(name.startswith("body.") for name in model.members[0])


def test_networks_of_monai_are_listed_and_options_checked(dataset: Dataset) -> None:
    pytest.importorskip("monai")
    from calque.nets import build

    made = plan(dataset, steps=2, timing=UNTIMED)
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
        plan(
            dataset,
            steps=2,
            timing=UNTIMED,
            wishes=Wishes(network="monai:SegResNet", network_options=options),
        )


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
    model = train(some, small(plan(some, steps=3, timing=UNTIMED)), tmp_path, TWO_FOLDS)
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
    module = Own(len(dataset.channels), dataset.labels.outputs)
    model = train(
        dataset,
        small(plan(dataset, steps=3, timing=UNTIMED)),
        tmp_path,
        TWO_FOLDS,
        network=module,
    )
    statistics = model.members[0]["body.norm.running_mean"]
    assert float(statistics.abs().max()) > 0
    others._given.clear()  # as in another process
    with pytest.raises(PlanError, match="not part of Calque"):
        Model.load(tmp_path / "model.calque")
    given = Own(len(dataset.channels), dataset.labels.outputs)
    again = Model.load(tmp_path / "model.calque", network=given)
    torch.testing.assert_close(again.networks()[0].body.norm.running_mean, statistics)
    image = _image(dataset, model)
    exact = {"engine": "torch", "precision": "f32", "mirror": "off"}
    assert np.array_equal(again.predict(image, **exact).array, model.predict(image, **exact).array)


class Deep(torch.nn.Module):
    """Two resolutions while it trains, a weight that is tied, and a buffer that no file holds."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.first = torch.nn.Conv3d(config.inputs, 6, 3, padding=1)
        self.again = torch.nn.Conv3d(6, 6, 3, padding=1)
        self.tied = torch.nn.Conv3d(6, 6, 3, padding=1)
        self.tied.weight = self.again.weight
        self.last = torch.nn.Conv3d(6, config.outputs, 1)
        self.register_buffer("factor", torch.tensor(0.5), persistent=False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.tied(torch.relu(self.again(torch.relu(self.first(x))))) * self.factor
        return [self.last(x), self.last(torch.nn.functional.avg_pool3d(x, 2))]


def test_a_function_makes_networks_with_deep_supervision_that_repeat_and_resume(
    dataset: Dataset, tmp_path: Path
) -> None:
    made = small(plan(dataset, steps=4, timing=UNTIMED))
    one = train(dataset, made, tmp_path / "one", TWO_FOLDS, network=Deep)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, made, tmp_path / "two", TWO_FOLDS, StopAt(2), network=Deep)
    resumed = TWO_FOLDS.model_copy(update={"resume": True})
    two = train(dataset, made, tmp_path / "two", resumed, network=Deep)
    assert_same_weights(one, two)
    assert torch.equal(two.members[0]["body.tied.weight"], two.members[0]["body.again.weight"])
    again = Model.load(tmp_path / "two" / "model.calque", network=Deep)
    assert float(again.networks()[0].body.factor) == 0.5


def other_shape(config: NetworkConfig) -> torch.nn.Module:
    return torch.nn.Conv3d(config.inputs, config.outputs, 3)


def other_outputs(config: NetworkConfig) -> torch.nn.Module:
    return torch.nn.Conv3d(config.inputs, config.outputs + 1, 1)


def other_channels(config: NetworkConfig) -> torch.nn.Module:
    return torch.nn.Conv3d(config.inputs + 1, config.outputs, 1)


def double(config: NetworkConfig) -> torch.nn.Module:
    return torch.nn.Conv3d(config.inputs, config.outputs, 1).double()


def nothing(_: NetworkConfig) -> torch.nn.Module:
    return torch.nn.Identity()


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (other_shape, "another shape"),
        (other_outputs, "another shape"),
        (other_channels, "cannot take the patch"),
        (double, "float32"),
        (nothing, "no weights to train"),
        (lambda config: config.outputs, "makes no torch.nn.Module"),
        (lambda: None, "fails to make"),
        (torch.nn.LazyConv3d(3, 1), "no shape yet"),
        ("plain", "This is no network"),
    ],
)
def test_networks_that_cannot_be_trained_are_refused_before_anything_is_written(
    dataset: Dataset, tmp_path: Path, network: object, words: str
) -> None:
    with pytest.raises(PlanError, match=words):
        train(
            dataset,
            small(plan(dataset, steps=1, timing=UNTIMED)),
            tmp_path / "run",
            network=network,
        )  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
