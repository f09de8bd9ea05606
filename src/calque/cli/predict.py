"""The verb predict: scans to label maps."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from calque.cli.options import CacheFolder, Json, cache_folder, in_words, parse_size
from calque.cli.screen import Screen
from calque.cli.series import SeriesChoice, chosen

if TYPE_CHECKING:
    from calque.prediction import CohortResult, Predictor
    from calque.prediction.ahead import CohortForecast


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A .calque file.", show_default=False)],
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Scans, folders of scans, DICOM, or dicomweb://HOST/PATH/studies/UID/series/UID.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT", help="Folder for the label maps.")],
    engine: Annotated[
        Literal["auto", "openvino", "torch"], typer.Option(help="What computes; auto times them once.")
    ] = "auto",
    precision: Annotated[
        Literal["auto", "bf16", "f32"],
        typer.Option(help="Of convolutions; auto is bf16 where it gave the labels of f32."),
    ] = "auto",
    mirror: Annotated[
        Literal["auto", "off", "interleaved", "full"],
        typer.Option(help="Mirroring; auto is what was best in validation; full is slow."),
    ] = "auto",
    memory: Annotated[
        int | None,
        typer.Option(parser=parse_size, metavar="SIZE", help="Keep to this much memory, or refuse: 4GB."),
    ] = None,
    form: Annotated[
        Literal["auto", "nifti", "png", "tiff", "mha", "nrrd", "dicom-seg", "dicom-labelmap", "rtstruct"],
        typer.Option("--format", help="Of label maps; auto: pictures as pictures, volumes as NIfTI."),
    ] = "auto",
    overlay: Annotated[bool, typer.Option("--overlay", help="Also a picture of each scan.")] = False,
    objects: Annotated[bool, typer.Option("--objects", help="Also tables of the objects.")] = False,
    sr: Annotated[
        bool, typer.Option("--sr", help="With dicom-seg: also a DICOM report of the measurements.")
    ] = False,
    overlay_dicom: Annotated[
        bool, typer.Option("--overlay-dicom", help="Of DICOM: also a series of pictures with the labels.")
    ] = False,
    entropy: Annotated[
        bool, typer.Option("--entropy", help="Also a map of uncertainty, 0 sure to 1 (nifti).")
    ] = False,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Estimate each class's Dice, from how far windows agree.")
    ] = False,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also every class's probability (npy; large).")
    ] = False,
    postprocess: Annotated[
        bool, typer.Option("--postprocess/--no-postprocess", help="What validation cases were better for.")
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Predict finished scans again; else they are skipped.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and stop.")] = False,
    series: SeriesChoice = None,
    all_series: Annotated[
        bool, typer.Option("--all-series", help="Every volume of DICOM folders is a scan.")
    ] = False,
    cache: CacheFolder = None,
    json: Json = None,
) -> None:
    """Label every voxel of some scans. Exit code 1 if one of them could not be predicted.

    Scans that were finished before (same files, model and options) are skipped: start again what was stopped.

    [dim]Example: calque predict runs/liver/model.calque scans/ -o predicted --overlay --memory 4GB[/dim]

    [dim]DICOM: calque predict liver.calque study/ --series 2 -o out --format dicom-seg --sr[/dim]
    """
    from calque.model import Model
    from calque.prediction import PredictOptions
    from calque.prediction import predict as predict_files
    from calque.prediction.ahead import look_ahead
    from calque.prediction.extras import DicomExtras

    screen = Screen(json)
    options = PredictOptions(
        mirror=mirror,
        engine=engine,
        precision=precision,
        memory=memory,
        entropy=entropy,
        confidence=confidence,
        probabilities=probabilities,
        postprocess=postprocess,
        cache=cache_folder(cache),
    )
    loaded = Model.load(model)
    predictor = loaded.predictor(options)
    inputs = fetched(inputs, screen.say)
    inputs = chosen(inputs, series, all_series, screen.progress)
    forecast = look_ahead(predictor, inputs)
    _show_engine(screen, predictor)
    if dry_run:
        _show_forecast(screen, forecast)
        screen.json({"forecast": forecast, "engine": predictor.choice})
        raise typer.Exit(1 if forecast.refused else 0)
    _show_total(screen, forecast)
    result = predict_files(
        predictor,
        inputs,
        output,
        overlay=overlay,
        objects=objects,
        overwrite=overwrite,
        form=form,
        dicom=DicomExtras(loaded.identity, sr, overlay_dicom),
        progress=screen.progress,
    )
    _show_result(screen, result, output)
    screen.json(result)
    if result.failed:
        raise typer.Exit(1)


def fetched(inputs: list[Path], say: Callable[[str], None]) -> list[Path]:
    """`inputs`, with series of DICOMweb services replaced by folders that go when the program ends.

    The token is that of CALQUE_DICOMWEB_TOKEN.
    """
    from calque.io.dicom.web import fetch_series, is_web_series, parse_web_series

    found = []
    for given in inputs:
        if not is_web_series(str(given)):
            found.append(given)
            continue
        source = parse_web_series(str(given))
        kept = TemporaryDirectory(prefix="calque-")
        atexit.register(kept.cleanup)
        folder = Path(kept.name) / source.series
        number = fetch_series(source, folder, os.environ.get("CALQUE_DICOMWEB_TOKEN"))
        say(f"{source.service}: {number} instances fetched")
        found.append(folder)
    return found


def _show_engine(screen: Screen, predictor: Predictor) -> None:
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


def _show_forecast(screen: Screen, forecast: CohortForecast) -> None:
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
    _show_total(screen, forecast)


def _show_total(screen: Screen, forecast: CohortForecast) -> None:
    from calque.prediction.forecast import gigabytes

    time = "" if forecast.seconds is None else f", about {in_words(forecast.seconds)}"
    screen.say(f"{len(forecast.scans)} scans: at most {gigabytes(forecast.memory_bytes)}{time}")


def _show_result(screen: Screen, result: CohortResult, output: Path) -> None:
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
