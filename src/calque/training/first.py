"""The first stage of a cascade, as the second one sees it: networks, and what they found in every case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.dataset import Case
from calque.dataset.reading import read_scan
from calque.image import LabelMap
from calque.io import atomic_path, mask_suffix, read_labels
from calque.model import Model
from calque.planning import Plan, Schedule
from calque.prediction import PredictOptions, Predictor
from calque.preparation import PreparedCase, Store
from calque.preparation.files import mapped, reading
from calque.preparation.previous import PreviousRows
from calque.progress import Progress
from calque.training.cases import Loader
from calque.training.run import FoldFolder, RunFolder, Split


@dataclass(frozen=True, eq=False)
class First:
    """What the second stage is given.

    Args:
        model: the networks of the first stage, an ensemble.
        run: where they were trained; each predicted the cases of the other's patients.
        maps: folder of CASE.npy, class numbers on the prepared grids of the second stage.
    """

    model: Model
    run: RunFolder
    maps: Path

    @property
    def predictor(self) -> Predictor:
        """For validation, with nothing converted."""
        return _ready(self.model)

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """How each training went, by steps: what repeats it."""
        return tuple(Plan.read(fold.repeat).schedule for fold in self.run.folds())

    def look(self, cases: Iterable[Case], store: Store, progress: Progress) -> None:
        """Write what it found in each case: for those that it learned from, what the other half says."""
        missing = [case for case in cases if not self._holds(case.id, store)]
        folds = {name: fold for fold in self.run.folds() for name in Split.read(fold.split).validation}
        ready: dict[Path | None, Predictor] = {}
        with progress.task("What the first stage sees", len(missing)) as task:
            for case in missing:
                found = self._label_map(case, folds.get(case.id), ready)
                numbers = PreviousRows(found, store.load(case.id).placement)(slice(None))
                with atomic_path(self._map(case.id)) as aside, aside.open("wb") as file:
                    np.save(file, numbers, allow_pickle=False)
                task.advance(note=case.id)

    def _label_map(
        self, case: Case, unseen: FoldFolder | None, ready: dict[Path | None, Predictor]
    ) -> LabelMap:
        """By the training that has not learned from the case; by the mean of all where none of them has."""
        if unseen is not None:
            path = unseen.validation / f"{case.id}{mask_suffix(case.images[0])}"
            if path.exists():  # else its budget was spent before it came to this one
                return read_labels(path, self.model.plan.labels)
        judge = None if unseen is None else unseen.model
        if judge not in ready:
            ready[judge] = self.predictor if judge is None else _ready(Model.load(judge))
        return ready[judge](read_scan(case.images, self.model.plan.channels)).label_map

    def _holds(self, case: str, store: Store) -> bool:
        return self._map(case).exists() and self.load(case).shape == store.load(case).labels.shape

    def _map(self, case: str) -> Path:
        return self.maps / f"{case}.npy"

    def load(self, case: str) -> NDArray[np.integer]:
        """(z, y, x) class numbers, memory-mapped.

        Raises:
            ReadError: they are not there, or damaged.
        """
        path, again = self._map(case), "delete the file and go on with --resume: it is made again"
        with reading("What the first stage saw is gone or damaged", path, again):
            return mapped(path)


@dataclass(frozen=True, eq=False)
class WithFirst:
    """Prepared cases, each with what the first stage found in it."""

    store: Loader
    first: First

    def load(self, case: str) -> PreparedCase:
        """See `Loader`."""
        return replace(self.store.load(case), previous=self.first.load(case))


def _ready(model: Model) -> Predictor:
    return model.as_first(PredictOptions(engine="torch", precision=model.plan.precision))
