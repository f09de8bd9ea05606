"""Curves for other tools, written to the fold's own folder and sent nowhere: TensorBoard, MLflow."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from calque.errors import InputError, MissingExtraError
from calque.training.history import HistoryRow


class Tracker(Protocol):
    """Is told of every row of the history."""

    def add(self, row: HistoryRow) -> None:
        """Note a row."""
        ...

    def close(self) -> None:
        """Write what is not written yet."""
        ...


def scalars(row: HistoryRow) -> dict[str, float]:
    """Name -> figure."""
    found = {"rate": row.rate, "seconds": row.seconds}
    if row.loss is not None:
        found["loss"] = row.loss
    return found | {f"Dice/{name}": value for name, value in (row.dice or {}).items()}


class TensorBoard:
    """Event files beneath FOLD/tensorboard."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError:
            raise MissingExtraError("tensorboard", "track") from None
        self._writer = SummaryWriter(str(folder / "tensorboard"))

    def add(self, row: HistoryRow) -> None:
        """See `Tracker`."""
        for name, value in scalars(row).items():
            self._writer.add_scalar(name, value, row.step)

    def close(self) -> None:
        """See `Tracker`."""
        self._writer.close()


class MLflow:
    """A run in the files of FOLD/mlflow (`mlflow ui --backend-store-uri` shows it); resumed, the same run."""

    def __init__(self, folder: Path) -> None:
        try:
            from mlflow import environment_variables as settings
            from mlflow import telemetry
            from mlflow.tracking import MlflowClient
        except ModuleNotFoundError:
            raise MissingExtraError("mlflow", "track") from None
        # It keeps to files, and tells nobody that it is used, unless the user's environment says otherwise.
        settings.MLFLOW_ALLOW_FILE_STORE.default = True
        settings.MLFLOW_DISABLE_TELEMETRY.default = True
        telemetry.set_telemetry_client()  # type: ignore[no-untyped-call]
        self._client = MlflowClient(tracking_uri=(folder / "mlflow").resolve().as_uri())
        kept = self._client.get_experiment_by_name("calque")
        experiment = self._client.create_experiment("calque") if kept is None else kept.experiment_id
        runs = self._client.search_runs([experiment], max_results=1)
        name = f"{folder.parent.name} {folder.name}"
        run = runs[0] if runs else self._client.create_run(experiment, run_name=name)
        self._run: str = run.info.run_id
        self._client.set_terminated(self._run, "RUNNING")

    def add(self, row: HistoryRow) -> None:
        """See `Tracker`."""
        for name, value in scalars(row).items():
            self._client.log_metric(self._run, _plain(name), value, step=row.step)

    def close(self) -> None:
        """See `Tracker`."""
        self._client.set_terminated(self._run)


def _plain(name: str) -> str:
    """What MLflow takes for a name."""
    return re.sub(r"[^\w/ .-]", "_", name)


TRACKERS: dict[str, Callable[[Path], Tracker]] = {"mlflow": MLflow, "tensorboard": TensorBoard}


def open_tracker(name: str | None, folder: Path) -> Tracker | None:
    """The tracker of this name; None for none.

    Raises:
        InputError: there is none of this name.
        MissingExtraError: it is not installed.
    """
    require_tracker(name)
    return None if name is None else TRACKERS[name](folder)


def require_tracker(name: str | None) -> None:
    """Raises an InputError where there is none of this name; to be asked before time is spent."""
    if name is not None and name not in TRACKERS:
        raise InputError("There is no such tracker", expected=sorted(TRACKERS), got=name)
