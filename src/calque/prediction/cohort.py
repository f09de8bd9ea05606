"""Files and folders: many scans through one predictor."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from pydantic import Field

from calque.dataset.reading import read_scan
from calque.errors import CalqueError, InputError, ResourceError
from calque.image import Image
from calque.io import mask_suffix, suffix_of
from calque.parallel import Outcome, map_bounded
from calque.prediction.choice import Choice
from calque.prediction.confidence import ClassConfidence
from calque.prediction.dicom import FORMS as DICOM_FORMS
from calque.prediction.extras import DicomExtras, Extras
from calque.prediction.ledger import Entry, Ledger, hash_files, options_key
from calque.prediction.predictor import Predictor
from calque.prediction.result import Prediction
from calque.prediction.scans import Input, Scan, find_scans
from calque.progress import SILENT, Progress
from calque.value import Value

_LACK = re.compile("allocate|bad_alloc|out of memory", re.IGNORECASE)
"""How torch and OpenVINO say that there is no memory left."""


class Done(Value):
    """A scan whose label map was written.

    Args:
        case: its name.
        output: the label map.
        seconds: of preparing, computing and restoring.
        warnings: in what it is unlike the training data.
        confidence: by class, where it was asked for.
        notes: what a person should know of what was written.
    """

    case: str
    output: Path
    seconds: float
    warnings: tuple[str, ...] = ()
    confidence: dict[str, ClassConfidence] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Failure(Value):
    """A scan that could not be predicted, and why; `error` says what, where, expected, got and fix."""

    case: str
    error: str


class CohortResult(Value):
    """What became of every scan.

    Args:
        done: written.
        failed: with the reason.
        skipped: finished before: the same files, model and options, and the label map is as it was written.
        engine: that computed, and why it was chosen; None where nothing was computed.
    """

    done: tuple[Done, ...]
    failed: tuple[Failure, ...]
    skipped: tuple[str, ...]
    engine: Choice | None = None


def predict_many(
    predictor: Predictor, inputs: Path | str | Sequence[Input]
) -> Iterator[Outcome[Scan, Prediction]]:
    """Predict scans one after the other; the next one is read while one is computed.

    A scan that cannot be read or predicted yields its error, and the others go on. With a limit of memory
    nothing is read ahead.

    Args:
        predictor: ready to use.
        inputs: a file or folder, or several; see `find_scans` for how channels in several files are found.

    Raises:
        InputError: nothing to predict, or two scans of one name.
    """
    for read, predicted in _predicted(predictor, find_scans(inputs, predictor.plan.channels)):
        if isinstance(predicted, Prediction):
            yield Outcome(read.item, predicted, None)
        else:
            yield Outcome(read.item, None, predicted)


def _predicted(
    predictor: Predictor, scans: Sequence[Scan]
) -> Iterator[tuple[Outcome[Scan, Image], Prediction | CalqueError]]:
    channels = predictor.plan.channels

    def read(scan: Scan) -> Image:
        return read_scan(scan.paths, channels)

    ahead = predictor.options.memory is None
    outcomes = map_bounded(read, scans, workers=1) if ahead else map(partial(_attempt, read), scans)
    for outcome in outcomes:
        where = ", ".join(map(str, outcome.item.paths))
        try:
            prediction = predictor(outcome.unwrap())
        except CalqueError as problem:
            problem.where = problem.where or where
            yield outcome, problem
        except (MemoryError, RuntimeError) as problem:
            if isinstance(problem, RuntimeError) and not _LACK.search(str(problem)):
                raise
            yield outcome, ResourceError("There is not enough memory for this scan", where=where)
        else:
            yield outcome, prediction


def _attempt(read: Callable[[Scan], Image], scan: Scan) -> Outcome[Scan, Image]:
    try:
        return Outcome(scan, read(scan), None)
    except Exception as problem:  # it is raised again by `unwrap`
        return Outcome(scan, None, problem)


def predict(  # noqa: PLR0913  (the options of a public function, each of its own kind)
    predictor: Predictor,
    inputs: Path | str | Sequence[Input],
    output: Path | str,
    *,
    overlay: bool = False,
    objects: bool = False,
    overwrite: bool = False,
    form: str = "auto",
    dicom: DicomExtras | None = None,
    progress: Progress = SILENT,
) -> CohortResult:
    """Predict scans from files and write label maps on the scans' own grids.

    The next scan is read and the last one written while one is computed. A scan that cannot be read,
    predicted or written is named in the result, and the others go on. A folder remembers which scans are
    finished, by content: what was interrupted goes on where it was.

    Args:
        predictor: ready to use.
        inputs: a file or folder, or several; see `find_scans` for how channels in several files are found.
        output: a folder, or a file name where there is one scan.
        overlay: also `<case>_overlay.png`: slices with the classes in their colours.
        objects: also `<case>_objects.csv` and `.json`: every connected component.
        overwrite: whether finished scans are predicted again.
        form: of label maps, a key of `calque.io.MASK_FORMATS`; DICOM objects need scans that are DICOM.
        dicom: what DICOM objects say of the model, and which others are written.
        progress: who is told.

    Raises:
        InputError: nothing to predict, two scans of one name, a label map that would replace a scan, DICOM
            objects of scans that are none, a report without the segmentation to which it refers.
    """
    scans = find_scans(inputs, predictor.plan.channels)
    paths = _outputs(scans, Path(output), form)
    extras = Extras(overlay, objects, form, dicom or DicomExtras.of_key(predictor.key))
    extras.require_possible(scans)
    books = _Books(predictor, paths, Path(output), extras)
    skipped = set() if overwrite else {scan.id for scan in scans if books.finished(scan)}
    todo = [scan for scan in scans if scan.id not in skipped]
    run = _Run(books)
    with progress.task("predicting", len(todo)) as task, ThreadPoolExecutor(1) as pool:
        for read, predicted in _predicted(predictor, todo):
            run.one(read, predicted, pool)
            task.advance(note=read.item.id)
        run.finish_writing()
    return CohortResult(
        done=tuple(run.done),
        failed=tuple(run.failed),
        skipped=tuple(s.id for s in scans if s.id in skipped),
        engine=predictor.choice if todo else None,
    )


class _Books:
    """Where label maps go, and which of them are finished; a single file keeps no list."""

    def __init__(self, predictor: Predictor, paths: dict[str, Path], output: Path, extras: Extras) -> None:
        self.paths, self.extras = paths, extras
        self._predictor = predictor
        single = set(paths.values()) == {output}
        self._ledger = None if single else Ledger(output)
        self._wanted: dict[str, Entry] = {}

    def finished(self, scan: Scan) -> bool:
        """Whether a scan need not be predicted again; what cannot be read is not finished."""
        try:
            return self._ledger is not None and self._ledger.finished(self._entry(scan))
        except InputError:
            return False  # it is named when it is its turn

    def write(self, scan: Scan, image: Image, prediction: Prediction) -> tuple[str, ...]:
        """The files of one scan, then the line that says so; returns what a person should know."""
        path = self.paths[scan.id]
        notes = self.extras.write(scan, image, prediction, path)
        if self._ledger is not None:
            self._ledger.add(self._entry(scan).model_copy(update={"sha256": hash_files([path])}))
        return notes

    def _entry(self, scan: Scan) -> Entry:
        if scan.id not in self._wanted:
            predictor = self._predictor
            facts: tuple[object, ...] = (self.extras.key, predictor.learned)
            if predictor.windows == "fewest":  # whose size the limit decides
                facts += (predictor.options.memory,)
            self._wanted[scan.id] = Entry(
                case=scan.id,
                inputs=hash_files(scan.paths),
                model=self._predictor.key,
                options=options_key(self._predictor.options, *facts),
                output=self.paths[scan.id].name,
                sha256="",
            )
        return self._wanted[scan.id]


class _Run:
    """Writes each scan while the next one is computed."""

    def __init__(self, books: _Books) -> None:
        self.done: list[Done] = []
        self.failed: list[Failure] = []
        self._books = books
        self._writing: tuple[Done, Future[tuple[str, ...]]] | None = None

    def one(
        self,
        read: Outcome[Scan, Image],
        predicted: Prediction | CalqueError,
        pool: ThreadPoolExecutor,
    ) -> None:
        """Begin to write a scan that was predicted, or note why it was not."""
        scan = read.item
        if not isinstance(predicted, Prediction):
            self.failed.append(Failure(case=scan.id, error=str(predicted)))
            return
        done = Done(
            case=scan.id,
            output=self._books.paths[scan.id],
            seconds=sum(predicted.seconds),
            warnings=predicted.warnings,
            confidence=predicted.confidence,
        )
        self.finish_writing()  # one at a time: no more than two scans are held
        self._writing = (done, pool.submit(self._books.write, scan, read.unwrap(), predicted))

    def finish_writing(self) -> None:
        """Wait for the writer; what it could not write is named."""
        if self._writing is None:
            return
        (done, future), self._writing = self._writing, None
        try:
            notes = future.result()
        except CalqueError as problem:
            self.failed.append(Failure(case=done.case, error=str(problem)))
        else:
            self.done.append(done.model_copy(update={"notes": notes}))


def _outputs(scans: Sequence[Scan], output: Path, form: str) -> dict[str, Path]:
    """Where each scan's label map goes.

    Raises:
        InputError: one file for several scans, a place that is not a folder, or a scan that would be lost.
    """
    single = (suffix_of(output) is not None or output.suffix == ".dcm") and not output.is_dir()
    if single and (output.suffix == ".dcm") != (form in DICOM_FORMS):
        raise InputError(
            "The name of this file does not fit the format",
            where=output,
            expected=f"--format {', '.join(DICOM_FORMS)} and a name that ends in .dcm, or neither",
            got=form,
        )
    if single and len(scans) > 1:
        raise InputError(
            "Several scans do not go into one file", where=output, got=len(scans), fix="name a folder"
        )
    if not single and output.exists() and not output.is_dir():
        raise InputError(
            "This is not a folder", where=output, expected="a folder, or a name that ends in .nii.gz"
        )
    paths = {
        scan.id: output if single else output / f"{scan.id}{mask_suffix(scan.paths[0], form)}"
        for scan in scans
    }
    lost = {path.resolve() for path in paths.values()} & {p.resolve() for scan in scans for p in scan.paths}
    if lost:
        raise InputError(
            "A label map would replace a scan", where=sorted(lost)[0], fix="write to another folder"
        )
    return paths
