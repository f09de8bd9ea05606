"""From nothing to a validated model and its report: every stage in a row, on public data or on phantoms."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from calque.dataset import Dataset, check, holdout, open_dataset
from calque.dataset.public import fetch, public_set
from calque.errors import DatasetError, InputError
from calque.evaluation import Scores, evaluate
from calque.model import Model
from calque.phantoms import write_phantoms
from calque.planning import plan
from calque.prediction import CohortResult, predict
from calque.progress import SILENT, Progress
from calque.reporting import report
from calque.training import TrainOptions, train

_PHANTOMS = 40
_HELD_OUT = 0.2
_LANGUAGES = {"en": ".html", "fr": ".fr.html"}

PREDICTED, TRUTH, SCANS = "predicted", "truth", "scans"

Origin = Literal["given", "fetched", "phantoms"]


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration made, and where it lies.

    Args:
        origin: of the data.
        data: folder of the data set.
        held_out: cases that training never saw; the scores are theirs.
        run: folder of the training run.
        model: the model file.
        predicted: folder with masks, overlays and objects of the held-out cases.
        scores: of the held-out cases.
        scores_file: the same as JSON.
        reports: pages on the held-out cases, English then French.
        run_reports: pages on the run, with its curves and its validation.
        failed: cases that could not be predicted.
        seconds: that all of it took.
    """

    origin: Origin
    data: Path
    held_out: tuple[str, ...]
    run: Path
    model: Path
    predicted: Path
    scores: Scores
    scores_file: Path
    reports: tuple[Path, ...]
    run_reports: tuple[Path, ...]
    failed: tuple[str, ...]
    seconds: float


def demo(
    output: Path,
    *,
    data: Path | None = None,
    phantom: bool = False,
    budget: float = 240.0,
    progress: Progress = SILENT,
) -> DemoResult:
    """Check, plan, train, predict patients set aside, score and report.

    Args:
        output: folder for all of it; must not hold an earlier demonstration.
        data: a data set; None: the Decathlon's hippocampus is fetched.
        phantom: generated scans instead.
        budget: seconds for planning, training and validation together.
        progress: who listens.

    Raises:
        InputError: the folder holds an earlier demonstration.
        CalqueError: of any stage.
    """
    started = time.monotonic()
    run = output / "run"
    if run.exists():
        raise InputError(
            "This folder holds an earlier demonstration",
            where=output,
            fix="remove it, or choose another with -o",
        )
    origin, folder = find_data(output, data=data, phantom=phantom, progress=progress)
    dataset = open_dataset(folder)
    fold = holdout(dataset, _HELD_OUT)
    progress.say(f"{dataset.name}: {len(fold.train)} cases to learn from, {len(fold.validation)} set aside")

    model = _learn(dataset.only(fold.train), run, budget, progress)
    cohort, scores = _judge(model, dataset.only(fold.validation), output, progress)
    _report(scores, run, output, progress)
    return DemoResult(
        origin=origin,
        data=folder,
        held_out=fold.validation,
        run=run,
        model=run / "model.calque",
        predicted=output / PREDICTED,
        scores=scores,
        scores_file=output / "scores.json",
        reports=tuple(output / f"report{ending}" for ending in _LANGUAGES.values()),
        run_reports=tuple(output / f"run{ending}" for ending in _LANGUAGES.values()),
        failed=tuple(failure.case for failure in cohort.failed),
        seconds=time.monotonic() - started,
    )


def _learn(dataset: Dataset, run: Path, budget: float, progress: Progress) -> Model:
    """Check, plan and train."""
    begun = time.monotonic()
    healthy = _healthy(dataset, progress)
    made = plan(healthy, budget=budget, progress=progress)
    return train(healthy, made, run, options=TrainOptions(spent=time.monotonic() - begun), progress=progress)


def _judge(model: Model, aside: Dataset, output: Path, progress: Progress) -> tuple[CohortResult, Scores]:
    """Predict the patients set aside and score what comes out; truth and scans are laid beside it."""
    cohort = predict(
        model.predictor(),
        [case.images for case in aside.cases],
        output / PREDICTED,
        overlay=True,
        objects=True,
        progress=progress,
    )
    _copy(output / TRUTH, [case.label for case in aside.cases])
    _copy(output / SCANS, [case.images[0] for case in aside.cases])
    scores = evaluate(output / PREDICTED, output / TRUTH, labels=aside.labels, progress=progress)
    scores.write(output / "scores.json")
    return cohort, scores


def _report(scores: Scores, run: Path, output: Path, progress: Progress) -> None:
    """Pages on the patients set aside and on the run, in each language."""
    pictures = {"truth": output / TRUTH, "predicted": output / PREDICTED, "images": output / SCANS}
    with progress.task("reports", total=2 * len(_LANGUAGES)) as task:
        for language, ending in _LANGUAGES.items():
            report(scores, output / f"report{ending}", lang=language, **pictures)
            task.advance(note=f"report{ending}")
            report(run, output / f"run{ending}", lang=language)
            task.advance(note=f"run{ending}")


def find_data(
    output: Path, *, data: Path | None, phantom: bool, progress: Progress = SILENT
) -> tuple[Origin, Path]:
    """The data set to demonstrate on, and where it comes from; what is chosen is said.

    Raises:
        InputError: `data` was given and is no folder.
        ReadError: the archive that was fetched is not the one that is known.
    """
    if phantom:
        progress.say("Data: phantoms, as asked for")
        return "phantoms", _phantoms(output, progress)
    if data is not None:
        if not data.is_dir():
            raise InputError("There is no such folder of data", where=data)
        progress.say(f"Data: {data}")
        return "given", data
    try:
        folder = fetch(public_set("hippocampus"), output / "data", progress=progress)
    except OSError as problem:  # no network: the one failure for which there is something as good
        progress.say(
            f"Data: the hippocampus could not be fetched ({_short(problem)}), so phantoms are generated"
        )
        return "phantoms", _phantoms(output, progress)
    progress.say(f"Data: hippocampus of the Medical Segmentation Decathlon (CC BY-SA 4.0), in {folder}")
    return "fetched", folder


def _phantoms(output: Path, progress: Progress) -> Path:
    return write_phantoms(
        output / "data",
        "ct_abdomen",
        _PHANTOMS,
        shape=(40, 64, 64),
        spacing=(6.0, 5.0, 5.0),
        varied=True,
        progress=progress,
    )


def _healthy(dataset: Dataset, progress: Progress) -> Dataset:
    """Without the cases that the check finds unusable, which are named."""
    found = check(dataset, progress=progress)
    bad = found.failing
    for case in bad:
        progress.say(f"left out: {case}")
    left = dataset.only(case.id for case in dataset.cases if case.id not in bad)
    if not left.annotated:
        raise DatasetError("No case of this data set can be used", where=dataset.root, fix="see calque check")
    return left


def _copy(folder: Path, files: Iterable[Path | None]) -> None:
    """The files of the held-out cases by themselves, so that a person can open all that belongs together."""
    folder.mkdir(parents=True)
    for file in files:
        if file is not None:
            shutil.copyfile(file, folder / file.name)


def _short(problem: OSError) -> str:
    return type(problem).__name__
