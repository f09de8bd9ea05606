"""Files and folders: many scans through one predictor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from calque.dataset.reading import read_scan
from calque.errors import CalqueError, InputError, ResourceError
from calque.image import Image
from calque.io import mask_suffix, suffix_of, write_labels, write_png, write_text_atomic
from calque.io.formats import stem_of
from calque.ops.objects import find_objects, objects_to_csv, objects_to_json
from calque.ops.render import render_case
from calque.parallel import Outcome, map_bounded
from calque.prediction.predictor import Prediction, Predictor
from calque.prediction.scans import Input, Scan, find_scans
from calque.progress import SILENT, Progress
from calque.value import Value


class Done(Value):
    """A scan whose label map was written; `seconds` of preparing, computing and restoring."""

    case: str
    output: Path
    seconds: float


class Failure(Value):
    """A scan that could not be predicted, and why; `error` says what, where, expected, got and fix."""

    case: str
    error: str


class CohortResult(Value):
    """What became of every scan.

    Args:
        done: written.
        failed: with the reason.
        skipped: whose label map was there already.
    """

    done: tuple[Done, ...]
    failed: tuple[Failure, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class _Writer:
    """What is written for each scan."""

    overlay: bool
    objects: bool

    def __call__(self, image: Image, prediction: Prediction, path: Path) -> None:
        """Extras first: where the label map stands, the scan is done."""
        label_map, stem = prediction.label_map, stem_of(path)
        if self.overlay:
            write_png(render_case(image, label_map), path.with_name(f"{stem}_overlay.png"))
        if self.objects:
            found = find_objects(label_map, image)
            table = objects_to_csv(found, image.channels)
            write_text_atomic(path.with_name(f"{stem}_objects.csv"), table)
            write_text_atomic(path.with_name(f"{stem}_objects.json"), objects_to_json(found))
        write_labels(label_map, path)


def predict(  # noqa: PLR0913  (the options of a public function, each of its own kind)
    predictor: Predictor,
    inputs: Path | str | Sequence[Input],
    output: Path | str,
    *,
    overlay: bool = False,
    objects: bool = False,
    overwrite: bool = True,
    progress: Progress = SILENT,
) -> CohortResult:
    """Predict scans from files and write label maps on the scans' own grids.

    The next scan is read and the last one written while one is computed. A scan that cannot be read or
    predicted is named in the result, and the others go on.

    Args:
        predictor: ready to use.
        inputs: a file or folder, or several; see `find_scans` for how channels in several files are found.
        output: a folder, or a file name where there is one scan.
        overlay: also `<case>_overlay.png`: slices with the classes in their colours.
        objects: also `<case>_objects.csv` and `.json`: every connected component.
        overwrite: whether a label map that is there is made again; if not, the scan is skipped.
        progress: who is told.

    Raises:
        InputError: nothing to predict, two scans of one name, a label map that would replace a scan.
        ResourceError: the disk is full.
    """
    channels = predictor.plan.channels
    scans = find_scans(inputs, channels)
    paths = _outputs(scans, Path(output))
    skipped = {scan.id for scan in scans if not overwrite and paths[scan.id].exists()}
    todo = [scan for scan in scans if scan.id not in skipped]
    run = _Run(predictor, paths, _Writer(overlay, objects))
    with progress.task("predicting", len(todo)) as task, ThreadPoolExecutor(1) as pool:
        for outcome in map_bounded(lambda scan: read_scan(scan.paths, channels), todo, workers=1):
            run.one(outcome, pool)
            task.advance(note=outcome.item.id)
        run.finish_writing()
    return CohortResult(
        done=tuple(run.done), failed=tuple(run.failed), skipped=tuple(s.id for s in scans if s.id in skipped)
    )


class _Run:
    """Predicts scan after scan while the one before is written."""

    def __init__(self, predictor: Predictor, paths: dict[str, Path], writer: _Writer) -> None:
        self.done: list[Done] = []
        self.failed: list[Failure] = []
        self._predictor, self._paths, self._writer = predictor, paths, writer
        self._writing: tuple[Done, Future[None]] | None = None

    def one(self, read: Outcome[Scan, Image], pool: ThreadPoolExecutor) -> None:
        """Predict a scan that was read, and begin to write it."""
        case, where = read.item.id, ", ".join(map(str, read.item.paths))
        begin = time.perf_counter()
        try:
            image = read.unwrap()
            prediction = self._predictor(image)
        except CalqueError as problem:
            problem.where = problem.where or where
            self.failed.append(Failure(case=case, error=str(problem)))
            return
        except (MemoryError, torch.OutOfMemoryError):
            lack = ResourceError("There is not enough memory for this scan", where=where)
            self.failed.append(Failure(case=case, error=str(lack)))
            return
        done = Done(case=case, output=self._paths[case], seconds=time.perf_counter() - begin)
        self.finish_writing()  # one at a time: no more than two scans are held
        self._writing = (done, pool.submit(self._writer, image, prediction, done.output))

    def finish_writing(self) -> None:
        """Wait for the writer; a full disk ends everything, for the next scan would meet it too."""
        if self._writing is None:
            return
        (done, future), self._writing = self._writing, None
        try:
            future.result()
        except ResourceError:
            raise
        except CalqueError as problem:
            self.failed.append(Failure(case=done.case, error=str(problem)))
        else:
            self.done.append(done)


def _outputs(scans: Sequence[Scan], output: Path) -> dict[str, Path]:
    """Where each scan's label map goes.

    Raises:
        InputError: one file for several scans, a place that is not a folder, or a scan that would be lost.
    """
    single = suffix_of(output) is not None and not output.is_dir()
    if single and len(scans) > 1:
        raise InputError(
            "Several scans do not go into one file", where=output, got=len(scans), fix="name a folder"
        )
    if not single and output.exists() and not output.is_dir():
        raise InputError(
            "This is not a folder", where=output, expected="a folder, or a name that ends in .nii.gz"
        )
    paths = {
        scan.id: output if single else output / f"{scan.id}{mask_suffix(scan.paths[0])}" for scan in scans
    }
    lost = {path.resolve() for path in paths.values()} & {p.resolve() for scan in scans for p in scan.paths}
    if lost:
        raise InputError(
            "A label map would replace a scan", where=sorted(lost)[0], fix="write to another folder"
        )
    return paths
