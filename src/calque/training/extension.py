"""Going on with a finished run from where its learning rate began to fall, also with more cases."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

from pydantic import PositiveFloat, PositiveInt, model_validator

from calque.dataset import Dataset
from calque.errors import InputError, PlanError
from calque.io import write_text_atomic
from calque.io.dicom.source import as_source
from calque.model import Model
from calque.planning import Knot, Plan, Schedule
from calque.preparation import prepare
from calque.progress import SILENT, Progress
from calque.training.better import put_aside
from calque.training.grow import Grown, join, settle
from calque.training.history import History, HistoryRow, read_history
from calque.training.options import TrainOptions
from calque.training.run import DatasetRecord, FoldFolder, RunFolder, Split
from calque.training.setting import choose_device
from calque.training.stages import train
from calque.training.state import TrainingState, fresh_state, load_state, save_state
from calque.value import Value


class More(Value):
    """How much longer: `seconds`, everything included, or `steps`."""

    seconds: PositiveFloat | None = None
    steps: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_ruler(self) -> Self:
        if (self.seconds is None) == (self.steps is None):
            raise ValueError("give either seconds or steps")
        return self


def extend(
    run: Path | str,
    more: More,
    add: Dataset | None = None,
    options: TrainOptions | None = None,
    progress: Progress = SILENT,
    data: Dataset | None = None,
) -> Model:
    """Train on from the state before the decay: warm-up is over, the rate stays, and falls at the new end.

    The better of the two models is kept, by the same validation cases, and the other one beside it.

    Validation patients stay where they are; new cases of theirs validate, too, all others train. A case whose
    image is there already is left out. Killed, it goes on with `train(..., options with resume)`.

    Args:
        run: a folder in which the fold of the options is finished.
        more: time or steps on top of those before the decay.
        add: cases that join.
        options: fold, seed, device; `resume` is set by itself.
        progress: shows what `train` shows.
        data: the run's data set, where it lies now; None: where it was.

    Raises:
        InputError: the fold is not finished here, or left no state to go on from, or cases are gone.
        DatasetError: the new data do not go with the old ones.
    """
    begun, options = time.monotonic(), options or TrainOptions()
    folder = RunFolder(Path(run))
    fold = folder.fold(options.fold)
    _require_finished(fold)
    plan = Plan.read(folder.plan, error=PlanError)
    dataset = _found(DatasetRecord.read(folder.dataset), data)
    grown = None if add is None else _grow(dataset, add, fold, plan, progress)
    state = fresh_state(plan, options.seed, choose_device(options))
    load_state(state, fold.stable)
    _turn(state, plan, more)
    if grown is not None:
        dataset = grown.dataset
        state.story.append(grown.in_words())
        write_text_atomic(folder.dataset, DatasetRecord.of(dataset).to_json())
        write_text_atomic(fold.split, grown.split.to_json())
    _tell(state, fold, 1 if grown is None else 2, progress)
    save_state(state, fold.checkpoint)
    fold.until.unlink(missing_ok=True)  # it has been reached
    put_aside(fold)  # from here on it is a run that is not finished; the run's own model stays until then
    spent = options.spent + time.monotonic() - begun
    again = options.model_copy(update={"resume": True, "spent": spent})
    return train(dataset, plan, run, again, progress)


def _found(record: DatasetRecord, moved: Dataset | None) -> Dataset:
    """The cases of the run, at the place where they are now."""
    names = [case.id for case in record.cases]
    now = record.dataset() if moved is None else moved
    if moved is None:
        gone = [c.id for c in now.cases if not all(map(_is_there, (*c.images, *c.masks)))]
    else:
        gone = sorted(set(names) - {case.id for case in moved.annotated})
    if gone:
        raise InputError(
            "Cases of this run are not where they were"
            if moved is None
            else "Cases of this run are not here",
            where=now.root,
            got=", ".join(gone[:10]) + (f" and {len(gone) - 10} more" if len(gone) > 10 else ""),
            fix="say where they are now: calque train DATA --from RUN --extend TIME",
        )
    return now.only(names)


def _is_there(path: Path) -> bool:
    return path.exists() or as_source(path) is not None  # FOLDER@SERIES


def _tell(state: TrainingState, fold: FoldFolder, sentences: int, progress: Progress) -> None:
    """The end of the story goes to the user and into the history, which forgets what it had of the decay."""
    history = History(fold.history, read_history(fold.history, until=state.step))
    for sentence in state.story[-sentences:]:
        progress.say(sentence)
        history.add(HistoryRow(step=state.step, seconds=state.seconds, loss=None, rate=0.0, event=sentence))


def _require_finished(fold: FoldFolder) -> None:
    if not fold.model.exists():
        raise InputError(
            "This fold is not finished",
            where=fold.path,
            fix="finish it: calque train DATA -o RUN --resume" if fold.path.exists() else "give another RUN",
        )
    if not fold.stable.exists():
        raise InputError(
            "This fold left no state to go on from",
            where=fold.stable,
            fix="train anew, where the disk has room for it",
        )


def _grow(dataset: Dataset, add: Dataset, fold: FoldFolder, plan: Plan, progress: Progress) -> Grown:
    joined = join(dataset, add)
    store = prepare(joined, plan, RunFolder(fold.path.parent).prepared, progress=progress)
    digests = {name: record.digest for name, record in store.contents().items()}
    return settle(dataset, joined, Split.read(fold.split), digests)


def _turn(state: TrainingState, plan: Plan, more: More) -> None:
    """Set the new end; what is behind becomes its share of the longer run."""
    step, schedule = state.step, state.schedule or plan.schedule
    if more.seconds is not None:
        spent, rest, left = state.seconds, more.seconds, more.seconds * step / max(state.seconds, 1e-3)
        ruler: dict[str, float | None] = {"seconds": spent + rest, "steps": None}
        words = f"{rest / 60:g} minutes"
    else:
        steps = more.steps or 0
        spent, rest, left = float(step), float(steps), float(steps)
        ruler = {"seconds": None, "steps": step + steps}
        words = f"{steps} steps"
    state.schedule = Schedule.model_validate(schedule.model_dump() | ruler | {"knots": ()})
    progress = max(spent / (spent + rest), schedule.warmup)
    last = state.knots[-1] if state.knots else Knot(left=1.0)
    knot = last.model_copy(update={"step": step, "progress": progress, "left": max(1.0, left)})
    state.knots[:] = [old for old in state.knots if old.step < step] + [knot]
    state.story.append(f"Extended by {words} from step {step}")
