"""Curves for other tools, written to the fold's own folder and sent nowhere: TensorBoard, MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from calque.errors import InputError, MissingExtraError
from calque.training.run import HistoryRow


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


TRACKERS: dict[str, Callable[[Path], Tracker]] = {"tensorboard": TensorBoard}


def open_tracker(name: str | None, folder: Path) -> Tracker | None:
    """The tracker of this name; None for none.

    Raises:
        InputError: there is none of this name.
        MissingExtraError: it is not installed.
    """
    if name is None:
        return None
    if name not in TRACKERS:
        raise InputError("There is no such tracker", expected=sorted(TRACKERS), got=name)
    return TRACKERS[name](folder)
