"""The first stage of a cascade, as the second one sees it: networks, and what they found in every case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calque.dataset import Case
from calque.dataset.reading import read_scan
from calque.errors import ReadError
from calque.image import LabelMap
from calque.io import atomic_path, mask_suffix, read_labels
from calque.model import Model
from calque.prediction import PredictOptions, Predictor
from calque.preparation import PreparedCase, Store
from calque.preparation.previous import PreviousRows
from calque.progress import Progress
from calque.training.cases import Loader
from calque.training.run import RunFolder


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
        return self.model.as_first(PredictOptions(engine="torch", precision=self.model.plan.precision))

    def look(self, cases: Iterable[Case], store: Store, progress: Progress) -> None:
        """Write what it found in each case: for those that it learned from, what the other half said."""
        missing = [case for case in cases if not self._holds(case.id, store)]
        predictor = self.predictor
        with progress.task("What the first stage sees", len(missing)) as task:
            for case in missing:
                found = (
                    self._unseen(case)
                    or predictor(read_scan(case.images, self.model.plan.channels)).label_map
                )
                numbers = PreviousRows(found, store.load(case.id).placement)(slice(None))
                with atomic_path(self._map(case.id)) as aside, aside.open("wb") as file:
                    np.save(file, numbers, allow_pickle=False)
                task.advance(note=case.id)

    def _unseen(self, case: Case) -> LabelMap | None:
        """By the training that this case validated, where there is one: it has not learned from it."""
        name = f"{case.id}{mask_suffix(case.images[0])}"
        paths = [fold.validation / name for fold in self.run.folds()]
        return next((read_labels(path, self.model.plan.labels) for path in paths if path.exists()), None)

    def _holds(self, case: str, store: Store) -> bool:
        path = self._map(case)
        return path.exists() and np.load(path, mmap_mode="r").shape == store.load(case).labels.shape

    def _map(self, case: str) -> Path:
        return self.maps / f"{case}.npy"

    def load(self, case: str) -> NDArray[np.integer]:
        """(z, y, x) class numbers, memory-mapped.

        Raises:
            ReadError: they are not there, or damaged.
        """
        path = self._map(case)
        try:
            found: NDArray[np.integer] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as problem:
            raise ReadError(
                "What the first stage saw is gone or damaged",
                where=path,
                got=problem,
                fix="delete the file and go on with --resume: it is made again",
            ) from problem
        return found


@dataclass(frozen=True, eq=False)
class WithFirst:
    """Prepared cases, each with what the first stage found in it."""

    store: Loader
    first: First

    def load(self, case: str) -> PreparedCase:
        """See `Loader`."""
        return replace(self.store.load(case), previous=self.first.load(case))
