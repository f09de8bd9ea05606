"""Fine-tuning: what fits is taken over by name, the rest is said; classes and channels may be others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.training.runs import plan_for

from calque.dataset import Dataset, open_dataset
from calque.errors import PlanError
from calque.labels import Labels
from calque.model import Model
from calque.nets import build
from calque.phantoms import write_phantoms
from calque.planning import Schedule
from calque.training import TrainOptions, plan_finetuning, train
from calque.training.finetune import transfer

ALL = TrainOptions(fold="all")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    return open_dataset(write_phantoms(folder, "mr_brain", 3, shape=(12, 20, 18), spacing=(8, 8, 8)))


@pytest.fixture(scope="module")
def model(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    run = tmp_path_factory.mktemp("runs") / "run"
    return train(dataset, plan_for(dataset, schedule=Schedule(steps=2)), run, ALL)


def relabelled(dataset: Dataset) -> Dataset:
    """The last class comes first, one has a new name."""
    first, *others = dataset.labels.classes
    classes = (*reversed(others), first.model_copy(update={"name": "brand-new"}))
    return replace(dataset, labels=Labels(classes=classes), channels=("PET", *dataset.channels[1:]))


def test_rows_and_columns_follow_their_names(dataset: Dataset, model: Model) -> None:
    other = relabelled(dataset)
    plan = plan_finetuning(other, model, steps=1)
    assert (plan.spacing, plan.patch, plan.orientation) == (
        model.plan.spacing, model.plan.patch, model.plan.orientation,
    )  # fmt: skip
    assert plan.normalisation[1:] == model.plan.normalisation[1:]
    assert "PET" in plan.reasons["normalisation"]
    network = build(plan.network, seed=9)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = transfer(network, plan, model)
    old, new = model.members[0], network.state_dict()
    head, stem = "decoder.seg_layers.0.weight", "encoder.stages.0.0.convs.0.conv.weight"
    for row, name in enumerate(("background", *other.labels.names)):
        if name == "brand-new":
            torch.testing.assert_close(new[head][row], before[head][row])
        else:
            place = 0 if name == "background" else 1 + dataset.labels.names.index(name)
            torch.testing.assert_close(new[head][row], old[head][place])
    torch.testing.assert_close(new[stem][:, 0], before[stem][:, 0])
    torch.testing.assert_close(new[stem][:, 1:], old[stem][:, 1:])
    inner = "encoder.stages.1.0.convs.0.conv.weight"
    torch.testing.assert_close(new[inner], old[inner])
    assert "brand-new" not in found.outputs
    assert "PET" not in found.channels
    assert "taken over" in found.words()


def test_the_same_data_begins_where_the_model_ended(dataset: Dataset, model: Model, tmp_path: Path) -> None:
    plan = plan_finetuning(dataset, model, steps=1)
    network = build(plan.network, seed=9)
    found = transfer(network, plan, model)
    assert found.fresh == ()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, model.members[0][name], rtol=0, atol=0)
    tuned = train(dataset, plan, tmp_path / "run", ALL, start=model)
    assert "Fine-tuned from a model of" in tuned.card.notes
    moved = [float((tuned.members[0][n] - t).abs().max()) for n, t in model.members[0].items()]
    assert 0 < max(moved) < 0.1  # one small step away


def test_a_network_that_shares_nothing_is_refused(dataset: Dataset, model: Model) -> None:
    with pytest.raises(PlanError, match="None of the model's weights"):
        transfer(torch.nn.Linear(2, 2), model.plan, model)
