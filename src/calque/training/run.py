"""The folder of a training run: what lies where.

RUN/
  plan.json            the plan that was followed
  dataset.json         cases and files that it was trained on (`DatasetRecord`)
  check.json           what the data check found, where it was run
  prepared/            the store
  fold_K/
    split.json         which cases trained and which validated
    begun.json           the seed
    earlier/, longer/    after an extension: the model from before it, and the other one where that was better
    first/, seen/        of a cascade: the run of its first stage, two halves; what it found in each case
    checkpoint.safetensors, stable.safetensors (before the decay), history.jsonl, progress.png
    looks/             pictures of a few validation cases, renewed as training goes on
    until.json         the condition at which this fold ends early, if there is one
    validation/        label maps of the validation cases, on their own grids
    scores.json        their scores
    model.calque       this fold alone
  model.calque         all finished folds together, or a network trained on every case
  rounds.json, scores.json   how far a cross-validation has come, and its scores over all folds
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import NonNegativeInt

from calque.dataset import Case, Dataset
from calque.dataset.model import PLAIN_RULE, MaskRule
from calque.labels import Labels
from calque.value import Value


class CaseRecord(Value):
    """A case of the run and its files."""

    id: str
    patient: str
    images: tuple[str, ...]
    label: str | None = None
    parts: tuple[tuple[str, str], ...] = ()
    annotated: tuple[str, ...] | None = None

    def case(self) -> Case:
        """The case, to be read."""
        return Case(
            id=self.id,
            images=tuple(map(Path, self.images)),
            label=None if self.label is None else Path(self.label),
            patient=self.patient,
            parts=tuple((name, Path(path)) for name, path in self.parts),
            annotated=self.annotated,
        )


class DatasetRecord(Value):
    """What a run was trained on."""

    name: str
    root: str
    layout: str
    channels: tuple[str, ...]
    labels: Labels
    cases: tuple[CaseRecord, ...]
    rule: MaskRule = PLAIN_RULE

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetRecord:
        """Of the annotated cases."""
        return cls(
            name=dataset.name,
            root=str(dataset.root.resolve()),
            layout=dataset.layout,
            channels=dataset.channels,
            labels=dataset.labels,
            cases=tuple(
                CaseRecord(
                    id=c.id,
                    patient=c.patient,
                    images=tuple(map(_absolute, c.images)),
                    label=None if c.label is None else _absolute(c.label),
                    parts=tuple((name, _absolute(path)) for name, path in c.parts),
                    annotated=c.annotated,
                )
                for c in dataset.annotated
            ),
            rule=dataset.rule,
        )

    def dataset(self) -> Dataset:
        """The data set again; the files must still be where they were."""
        return Dataset(
            name=self.name,
            root=Path(self.root),
            layout=self.layout,
            channels=self.channels,
            labels=self.labels,
            cases=tuple(record.case() for record in self.cases),
            rule=self.rule,
        )


def _absolute(path: Path) -> str:
    """Reports are made from other folders than training was started in."""
    return str(path.resolve())


class Split(Value):
    """Case names on either side."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


class Begun(Value):
    """What a fold was begun with that the plan does not say."""

    seed: NonNegativeInt


@dataclass(frozen=True)
class FoldFolder:
    """Paths of one fold."""

    path: Path

    @property
    def checkpoint(self) -> Path:
        """State from which training resumes."""
        return self.path / "checkpoint.safetensors"

    @property
    def stable(self) -> Path:
        """State before the rate began to fall, or the last: from here training can be extended."""
        return self.path / "stable.safetensors"

    @property
    def history(self) -> Path:
        """Rows of `HistoryRow`."""
        return self.path / "history.jsonl"

    @property
    def curves(self) -> Path:
        """Picture of the history."""
        return self.path / "progress.png"

    @property
    def looks(self) -> Path:
        """Folder of pictures, renewed at each quick validation."""
        return self.path / "looks"

    @property
    def begun(self) -> Path:
        """`Begun`."""
        return self.path / "begun.json"

    @property
    def until(self) -> Path:
        """`Until`, where the run was to end early."""
        return self.path / "until.json"

    @property
    def validation(self) -> Path:
        """Folder of predicted label maps."""
        return self.path / "validation"

    @property
    def scores(self) -> Path:
        """`Scores` of the validation cases."""
        return self.path / "scores.json"

    @property
    def split(self) -> Path:
        """`Split`."""
        return self.path / "split.json"

    @property
    def model(self) -> Path:
        """This fold's model."""
        return self.path / "model.calque"

    @property
    def repeat(self) -> Path:
        """A plan by steps that gives the same weights again, also where a budget ruled."""
        return self.path / "repeat.json"


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run."""

    path: Path

    @property
    def plan(self) -> Path:
        """The plan."""
        return self.path / "plan.json"

    @property
    def dataset(self) -> Path:
        """`DatasetRecord`."""
        return self.path / "dataset.json"

    @property
    def check(self) -> Path:
        """`CheckReport`."""
        return self.path / "check.json"

    @property
    def prepared(self) -> Path:
        """The store."""
        return self.path / "prepared"

    @property
    def scores(self) -> Path:
        """`Scores` of a cross-validation, over all folds."""
        return self.path / "scores.json"

    @property
    def model(self) -> Path:
        """All finished folds."""
        return self.path / "model.calque"

    def fold(self, fold: int | str) -> FoldFolder:
        """Folder of one fold; "all" for the one that trains on every case."""
        return FoldFolder(self.path / f"fold_{fold}")

    def folds(self) -> tuple[FoldFolder, ...]:
        """The folds that are there, in order."""
        return tuple(FoldFolder(p) for p in sorted(self.path.glob("fold_*")) if p.is_dir())
