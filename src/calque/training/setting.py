"""What is settled before the first step of a fold: the plan, the split, the place, the device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calque.dataset import Dataset, kfold
from calque.errors import InputError, PlanError
from calque.io import write_text_atomic
from calque.planning import Plan
from calque.preparation import Store
from calque.training.cases import Loader
from calque.training.options import TrainOptions
from calque.training.run import Begun, DatasetRecord, FoldFolder, RunFolder, Split
from calque.training.until import Until

if TYPE_CHECKING:
    import torch

    from calque.training.first import First


@dataclass(frozen=True)
class Setting:
    """What stays the same through a run of one fold; `first`: of a cascade, the stage before."""

    dataset: Dataset
    plan: Plan
    options: TrainOptions
    folder: FoldFolder
    split: Split
    store: Store
    first: First | None = None

    @property
    def loader(self) -> Loader:
        """Cases as the network sees them."""
        if self.first is None:
            return self.store
        from calque.training.first import WithFirst  # predicts, which takes a second to import

        return WithFirst(self.store, self.first)


def choose_split(dataset: Dataset, options: TrainOptions, store: Store) -> Split:
    """Deal the annotated cases by patient; equal images stay together, rare classes are spread.

    A run that is resumed keeps its split.

    Raises:
        InputError: there is no such fold, or a case of the run is gone.
    """
    kept = RunFolder(store.folder.parent).fold(options.fold).split
    if options.resume and kept.exists():
        return _split_again(Split.read(kept), dataset, kept)
    if options.fold == "all":
        return Split(train=tuple(case.id for case in dataset.annotated), validation=())
    found = store.contents()
    folds = kfold(
        dataset,
        options.folds,
        seed=0,  # not the run's seed: folds of one dataset stay comparable
        alike={name: record.digest for name, record in found.items()},
        classes={name: record.classes for name, record in found.items()},
    )
    if options.fold >= len(folds):
        raise InputError("There is no such fold", expected=f"0 to {len(folds) - 1}, or all", got=options.fold)
    fold = folds[options.fold]
    return Split(train=fold.train, validation=fold.validation)


def _split_again(split: Split, dataset: Dataset, where: Path) -> Split:
    gone = {*split.train, *split.validation} - {case.id for case in dataset.annotated}
    if gone:
        raise InputError(
            "Cases of this run are not in the data set any more",
            where=where,
            got=", ".join(sorted(gone)[:10]),
            fix="give the data set that the run was started with, or train anew in another folder",
        )
    return split


def require_free(run: Path | str, options: TrainOptions) -> None:
    """Refuse to train over a fold that is there; to be asked before time is spent on checking and planning.

    Raises:
        InputError: the fold was begun or finished here, and `options.resume` is not set.
    """
    fold = RunFolder(Path(run)).fold(options.fold)
    if (fold.checkpoint.exists() or fold.model.exists()) and not options.resume:
        raise InputError(
            "This fold was trained here before",
            where=fold.path,
            fix="go on with --resume, or choose another folder with -o",
        )


def settle_plan(folder: RunFolder, plan: Plan, options: TrainOptions) -> Plan:
    """The plan to follow; a folder holds one plan, so that its folds belong together.

    Raises:
        InputError: the folder holds a run with another plan, and this is not to be resumed.
    """
    resumed = options.resume  # then also a run that was killed before its first checkpoint
    begun = any(f.checkpoint.exists() or (resumed and f.split.exists()) for f in folder.folds())
    if folder.plan.exists() and begun:
        kept = Plan.read(folder.plan, error=PlanError)
        if not options.resume and kept != plan:
            raise InputError(
                "This folder holds a run with another plan",
                where=folder.plan,
                fix=f"train with --plan {folder.plan}, or choose another folder with -o",
            )
        return kept
    return plan


def check_fit(dataset: Dataset, plan: Plan) -> None:
    """Raises a PlanError where the plan was made for other channels or label values."""
    if plan.channels != dataset.channels or plan.labels.values != dataset.labels.values:
        raise PlanError(
            "The plan was made for other data",
            expected=f"channels {plan.channels}, label values {plan.labels.values}",
            got=f"channels {dataset.channels}, label values {dataset.labels.values}",
            fix="plan anew",
        )


def settle_options(fold: FoldFolder, options: TrainOptions) -> TrainOptions:
    """A fold that is resumed keeps the seed with which it was begun, whatever is asked for now."""
    if not (options.resume and fold.begun.exists()):
        return options
    return options.model_copy(update={"seed": Begun.read(fold.begun).seed})


def note_beginning(setting: Setting) -> None:
    """Write down what is about to be done: before the first checkpoint it is all that a kill leaves."""
    run = RunFolder(setting.folder.path.parent)
    write_text_atomic(run.plan, setting.plan.to_json())
    write_text_atomic(setting.folder.begun, Begun(seed=setting.options.seed).to_json())
    write_text_atomic(run.dataset, DatasetRecord.of(setting.dataset).to_json())
    write_text_atomic(setting.folder.split, setting.split.to_json())


def settle_until(setting: Setting) -> Until | None:
    """When this run ends early: what was asked for, else what a run that is resumed was begun with."""
    asked, kept = setting.options.until, setting.folder.until
    if asked is not None:
        write_text_atomic(kept, asked.to_json())
    elif kept.exists():
        asked = Until.read(kept)
    return asked


def choose_device(options: TrainOptions) -> torch.device:
    """Where to train.

    Raises:
        InputError: CUDA was asked for and is not there.
    """
    import torch

    available = torch.cuda.is_available()
    if options.device == "cuda" and not available:
        raise InputError(
            "There is no CUDA device", got="torch.cuda.is_available() is False", fix="--device cpu"
        )
    return torch.device("cuda" if available and options.device != "cpu" else "cpu")
