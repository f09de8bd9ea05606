"""What the verb predict says on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from calque.cli.options import in_words
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.prediction import CohortResult, Predictor
    from calque.prediction.ahead import CohortForecast


def show_engine(screen: Screen, predictor: Predictor) -> None:
    """What computes, and why it was chosen."""
    choice, parity = predictor.choice, predictor.parity
    if choice is None:
        return
    screen.say(f"engine: {choice.engine} {choice.precision}, {choice.streams} at a time ({choice.reason})")
    if parity is not None and predictor.options.precision == "auto":
        said = "the same labels" if parity.admitted else "other labels, so f32 is taken"
        screen.say(
            f"precision: bf16 gives {said}: Dice {parity.dice:.4f} to f32, "
            f"{100 * parity.same:.2f} % of voxels, {parity.cases} cases"
        )
    trial = predictor.learned.windows
    if predictor.windows == "fewest":
        known = (
            "not measured for this model"
            if trial is None
            else (f"Dice {trial.fewest:.4f}, with those of training {trial.trained:.4f}, {trial.cases} cases")
        )
        screen.say(f"windows: larger than in training, so that fewer voxels are computed ({known})")


def show_forecast(screen: Screen, forecast: CohortForecast) -> None:
    """Memory and time of each scan."""
    from calque.prediction.forecast import gigabytes

    rows = [
        (
            scan.case,
            gigabytes(scan.forecast.memory_bytes),
            scan.forecast.windows,
            "not timed" if scan.forecast.seconds is None else in_words(scan.forecast.seconds),
        )
        for scan in forecast.scans
    ]
    screen.table("Forecast", ("case", "memory", "windows", "time"), rows)
    for failure in forecast.refused:
        screen.say(f"refused: {failure.case}: {failure.error}")
    show_total(screen, forecast)


def show_total(screen: Screen, forecast: CohortForecast) -> None:
    """Memory and time of all that can be predicted."""
    from calque.prediction.forecast import gigabytes

    if not forecast.scans:
        screen.say("no scan can be predicted")
        return
    time = "" if forecast.seconds is None else f", about {in_words(forecast.seconds)}"
    screen.say(f"{len(forecast.scans)} scans: at most {gigabytes(forecast.memory_bytes)}{time}")


def show_result(screen: Screen, result: CohortResult, output: Path) -> None:
    """What became of the scans."""
    for done in result.done:
        for warning in done.warnings:
            screen.say(f"warning: {done.case} is unlike the training data: {warning}")
    for note in dict.fromkeys(note for done in result.done for note in done.notes):
        screen.say(f"note: {note}")
    for failure in result.failed:
        screen.say(f"failed: {failure.case}: {failure.error}")
    if result.skipped:
        screen.say(f"{len(result.skipped)} scans skipped: they are finished (--overwrite makes them again)")
    screen.say(f"{len(result.done)} of {len(result.done) + len(result.failed)} scans predicted: {output}")
