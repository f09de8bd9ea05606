"""Event files hold the curve."""

from __future__ import annotations

from pathlib import Path

import pytest

from calque.errors import InputError
from calque.training.history import HistoryRow
from calque.training.track import open_tracker

pytest.importorskip("tensorboard")


def test_event_files_hold_the_curve(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = open_tracker("tensorboard", tmp_path)
    assert tracker is not None
    tracker.add(HistoryRow(step=10, seconds=1.0, loss=0.5, rate=0.01))
    tracker.add(HistoryRow(step=20, seconds=2.0, loss=None, rate=0.02, dice={"liver": 0.75}))
    tracker.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, pytest.approx(e.value)) for e in events.Scalars("rate")] == [(10, 0.01), (20, 0.02)]
    assert [e.step for e in events.Scalars("loss")] == [10]
    assert [(e.step, e.value) for e in events.Scalars("Dice/liver")] == [(20, 0.75)]


def test_an_unknown_tracker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such tracker"):
        open_tracker("wandb", tmp_path)
    assert open_tracker(None, tmp_path) is None


def test_a_store_of_mlflow_holds_the_curve_of_a_run_and_of_its_second_sitting(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    for step, dice in ((10, 0.5), (20, 0.75)):
        tracker = open_tracker("mlflow", tmp_path)
        assert tracker is not None
        tracker.add(HistoryRow(step=step, seconds=1.0, loss=None, rate=0.01, dice={"liver (left)": dice}))
        tracker.close()
    client = MlflowClient(tracking_uri=(tmp_path / "mlflow").as_uri())
    experiment = client.get_experiment_by_name("calque")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    found = client.get_metric_history(run.info.run_id, "Dice/liver _left_")
    assert [(metric.step, metric.value) for metric in found] == [(10, 0.5), (20, 0.75)]
