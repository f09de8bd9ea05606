"""Looking ahead: what predicting some scans will take, from their headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from calque.dataset.reading import read_scan
from calque.errors import CalqueError
from calque.io import read_header
from calque.prediction.cohort import Failure
from calque.prediction.forecast import PredictionForecast
from calque.prediction.predictor import Predictor
from calque.prediction.scans import Input, Scan, find_scans
from calque.value import Value

_START_SECONDS = 2.0
"""Until the first window: once, however many scans there are."""


class ScanForecast(Value):
    """What one scan will take."""

    case: str
    forecast: PredictionForecast


class CohortForecast(Value):
    """What a cohort will take.

    Args:
        scans: those that can be predicted.
        refused: those that cannot, with the reason: no memory for them, or a header that cannot be read.
        memory_bytes: at the peak; where memory is not limited, the next scan is read and the last one written
            meanwhile.
        seconds: of all, from the start; None where the engine was not timed.
    """

    scans: tuple[ScanForecast, ...]
    refused: tuple[Failure, ...]
    memory_bytes: int
    seconds: float | None


def look_ahead(predictor: Predictor, inputs: Path | str | Sequence[Input]) -> CohortForecast:
    """Memory and time for scans, from their headers; the first scan is read where precision depends on it.

    Args:
        predictor: whose engine is made ready.
        inputs: as for `predict`.

    Raises:
        InputError: nothing to predict, or two scans of one name.
    """
    scans = find_scans(inputs, predictor.plan.channels)
    found: list[ScanForecast] = []
    refused: list[Failure] = []
    beside = 0
    for scan in scans:
        try:
            size, one = _one(predictor, scan)
        except CalqueError as problem:
            problem.where = problem.where or ", ".join(map(str, scan.paths))
            refused.append(Failure(case=scan.id, error=str(problem)))
        else:
            found.append(ScanForecast(case=scan.id, forecast=one))
            beside = max(beside, size)
    several = len(found) > 1 and predictor.options.memory is None
    seconds = [scan.forecast.seconds for scan in found]
    return CohortForecast(
        scans=tuple(found),
        refused=tuple(refused),
        memory_bytes=max((s.forecast.memory_bytes for s in found), default=0) + several * beside,
        seconds=None if None in seconds else _START_SECONDS + sum(s for s in seconds if s is not None),
    )


def _one(predictor: Predictor, scan: Scan) -> tuple[int, PredictionForecast]:
    """Bytes of a neighbour (two images, a label map), and the forecast."""
    if predictor.undecided:
        predictor.warm_up(read_scan(scan.paths, predictor.plan.channels))
    header = read_header(scan.paths[0])
    voxel = header.dtype.itemsize * len(predictor.plan.channels)
    labels = predictor.plan.labels.dtype.itemsize
    return header.grid.voxels * (2 * voxel + labels), predictor.forecast(header.grid, voxel)
