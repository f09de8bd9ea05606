"""From nothing to a validated model and its report: every stage in a row, on public data or on phantoms."""

from __future__ import annotations

import logging
import shutil
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from calque.dataset import Dataset, check, holdout, open_dataset
from calque.errors import DatasetError, InputError, ReadError
from calque.evaluation import Scores, evaluate
from calque.io.atomic import atomic_path
from calque.phantoms import write_phantoms
from calque.planning import plan
from calque.prediction import predict
from calque.progress import SILENT, Progress
from calque.reporting import report
from calque.training import TrainOptions, train

# The Medical Segmentation Decathlon (Antonelli et al., Nature Communications 2022), CC BY-SA 4.0; address and
# checksum are those that MONAI's DecathlonDataset carries.
HIPPOCAMPUS_URL = "https://msd-for-monai.s3-us-west-2.amazonaws.com/Task04_Hippocampus.tar"
HIPPOCAMPUS_HASH = "md5:9d24dba78a72977dbd1d2e110310f31b"
_HIPPOCAMPUS_BYTES = 28_400_000

_UNPACKED_LIMIT = 2**30
_CONNECT_SECONDS = 20
_PHANTOMS = 40
_HELD_OUT = 0.2
_LANGUAGES = {"en": ".html", "fr": ".fr.html"}

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

    begun = time.monotonic()
    learnt = _healthy(dataset.only(fold.train), progress)
    made = plan(learnt, budget=budget, progress=progress)
    options = TrainOptions(spent=time.monotonic() - begun)
    model = train(learnt, made, run, options=options, progress=progress)

    predicted, truth, scans = output / "predicted", output / "truth", output / "scans"
    pictures = {"truth": truth, "predicted": predicted, "images": scans}
    aside = dataset.only(fold.validation)
    cohort = predict(
        model.predictor(),
        [case.images for case in aside.cases],
        predicted,
        overlay=True,
        objects=True,
        progress=progress,
    )
    _copy(truth, [case.label for case in aside.cases])
    _copy(scans, [case.images[0] for case in aside.cases])
    scores = evaluate(predicted, truth, labels=dataset.labels, progress=progress)
    scores.write(output / "scores.json")
    with progress.task("reports", total=2 * len(_LANGUAGES)) as task:
        for language, ending in _LANGUAGES.items():
            for source, name, folders in ((scores, "report", pictures), (run, "run", {})):
                report(source, output / f"{name}{ending}", lang=language, **folders)
                task.advance(note=f"{name}{ending}")
    return DemoResult(
        origin=origin,
        data=folder,
        held_out=fold.validation,
        run=run,
        model=run / "model.calque",
        predicted=predicted,
        scores=scores,
        scores_file=output / "scores.json",
        reports=tuple(output / f"report{ending}" for ending in _LANGUAGES.values()),
        run_reports=tuple(output / f"run{ending}" for ending in _LANGUAGES.values()),
        failed=tuple(failure.case for failure in cohort.failed),
        seconds=time.monotonic() - started,
    )


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
        folder = fetch_hippocampus(output / "data", progress)
    except OSError as problem:  # no network: the one failure for which there is something as good
        progress.say(
            f"Data: the hippocampus could not be fetched ({_short(problem)}), so phantoms are generated"
        )
        return "phantoms", _phantoms(output, progress)
    progress.say(f"Data: hippocampus of the Medical Segmentation Decathlon (CC BY-SA 4.0), in {folder}")
    return "fetched", folder


def fetch_hippocampus(folder: Path, progress: Progress = SILENT) -> Path:
    """Fetch and unpack the Decathlon's hippocampus into `folder`; fetched once, kept in the user's cache.

    Raises:
        OSError: it cannot be reached.
        ReadError: the checksum is another one, or the archive holds what it should not.
    """
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        with progress.task("fetching hippocampus (27 MB)", total=_HIPPOCAMPUS_BYTES) as task:
            archive = pooch.retrieve(
                HIPPOCAMPUS_URL,
                known_hash=HIPPOCAMPUS_HASH,
                fname="Task04_Hippocampus.tar",
                path=pooch.os_cache("calque"),
                downloader=pooch.HTTPDownloader(
                    progressbar=_Arriving(task.advance), chunk_size=2**16, timeout=_CONNECT_SECONDS
                ),
            )
    except ValueError as problem:
        raise ReadError(
            "What was fetched is not what it should be",
            where=HIPPOCAMPUS_URL,
            expected=HIPPOCAMPUS_HASH,
            got=problem,
        ) from None
    target = folder / "Task04_Hippocampus"
    if not target.exists():
        unpack(Path(archive), target)
    return target


class _Arriving:
    """What pooch asks of a progress bar, on top of a task's `advance`."""

    def __init__(self, advance: object) -> None:
        self.total = 0
        self._advance = advance
        self._complete = False

    def update(self, amount: int) -> None:
        """Some bytes more; the last call repeats the total and is not counted."""
        if not self._complete and callable(self._advance):
            self._advance(amount)

    def reset(self) -> None:
        """All has arrived."""
        self._complete = True

    def close(self) -> None:
        """Nothing is held."""


def unpack(archive: Path, target: Path) -> None:
    """Unpack the single folder of a tar archive as `target`; whole, or not at all.

    Only plain files and folders with relative names are taken; names that begin with "._" are macOS's.

    Raises:
        ReadError: a damaged archive, a name that leads outside, a link or device, or over 1 GB unpacked.
    """
    try:
        with tarfile.open(archive) as tar, atomic_path(target) as aside:
            members = [m for m in tar.getmembers() if not PurePosixPath(m.name).name.startswith("._")]
            for member in members:
                _require_harmless(member, archive)
            if sum(member.size for member in members) > _UNPACKED_LIMIT:
                raise ReadError("The archive unpacks to more than 1 GB", where=archive)
            for member in members:
                inside = PurePosixPath(member.name).parts[1:]
                source = tar.extractfile(member)
                if source is None or not inside:
                    continue
                path = aside.joinpath(*inside)
                path.parent.mkdir(parents=True, exist_ok=True)
                with source, path.open("wb") as file:
                    shutil.copyfileobj(source, file)
    except (tarfile.TarError, EOFError) as problem:
        raise ReadError("This archive is damaged", where=archive, got=problem, fix="fetch it again") from None


def _require_harmless(member: tarfile.TarInfo, archive: Path) -> None:
    path = PurePosixPath(member.name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or "\\" in member.name
        or not (member.isfile() or member.isdir())
    ):
        raise ReadError("The archive holds what it should not", where=archive, got=member.name)


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
