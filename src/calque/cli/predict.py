"""The verb predict: scans to label maps."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from calque.cli.grouping import grouped
from calque.cli.options import CacheFolder, Json, cache_folder, parse_size
from calque.cli.predict_screen import show_engine, show_forecast, show_result, show_total
from calque.cli.screen import Screen
from calque.cli.series import ListSeries, SeriesChoice, chosen, gathered, list_series

if TYPE_CHECKING:
    from calque.prediction import PredictOptions


@dataclass(frozen=True)
class How:
    """What changes speed and accuracy."""

    engine: Annotated[
        Literal["auto", "openvino", "torch"], typer.Option(help="What computes; auto times them once.")
    ] = "auto"
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        typer.Option(help="On which torch computes; auto: CUDA where it is, else the processor."),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "bf16", "f32"],
        typer.Option(help="Of all but the last layer; auto is bf16 where it gave the labels of f32."),
    ] = "auto"
    mirror: Annotated[
        Literal["auto", "off", "interleaved", "full"],
        typer.Option(help="Mirroring; auto is what was best in validation; full is slow."),
    ] = "auto"
    windows: Annotated[
        Literal["auto", "trained", "fewest"],
        typer.Option(
            help="fewest: larger than in training, several times as fast; auto: where Dice did not suffer."
        ),
    ] = "auto"
    memory: Annotated[
        int | None,
        typer.Option(parser=parse_size, metavar="SIZE", help="Keep to this much memory, or refuse: 4GB."),
    ] = None
    postprocess: Annotated[
        bool, typer.Option("--postprocess/--no-postprocess", help="What validation cases were better for.")
    ] = True
    cache: CacheFolder = None

    def options(self, sure: Sureness, output: Path) -> PredictOptions:
        """As the predictor takes them; what is large is made in files where it will lie."""
        from calque.prediction import PredictOptions

        return PredictOptions(
            mirror=self.mirror,
            windows=self.windows,
            engine=self.engine,
            device=self.device,
            precision=self.precision,
            memory=self.memory,
            entropy=sure.entropy,
            confidence=sure.confidence,
            probabilities=sure.probabilities,
            postprocess=self.postprocess,
            scratch=output.parent if output.suffix and not output.is_dir() else output,
            cache=cache_folder(self.cache),
        )


@dataclass(frozen=True)
class Sureness:
    """How sure the model is, in three ways."""

    entropy: Annotated[
        bool, typer.Option("--entropy", help="Also a map of uncertainty, 0 sure to 1 (nifti).")
    ] = False
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence", help="Estimate each class's Dice, from how far windows and folds agree."
        ),
    ] = False
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="Also every class's probability (npy; large).")
    ] = False


@dataclass(frozen=True)
class Written:
    """What is written of each scan."""

    form: Annotated[
        Literal["auto", "nifti", "png", "tiff", "mha", "nrrd", "dicom-seg", "dicom-labelmap", "rtstruct"],
        typer.Option("--format", help="Of label maps; auto: pictures as pictures, volumes as NIfTI."),
    ] = "auto"
    overlay: Annotated[bool, typer.Option("--overlay", help="Also a picture of each scan.")] = False
    objects: Annotated[bool, typer.Option("--objects", help="Also tables of the objects.")] = False
    sr: Annotated[
        bool, typer.Option("--sr", help="With dicom-seg: also a DICOM report of the measurements.")
    ] = False
    overlay_dicom: Annotated[
        bool, typer.Option("--overlay-dicom", help="Of DICOM: also a series of pictures with the labels.")
    ] = False
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Predict finished scans again; else they are skipped.")
    ] = False


@dataclass(frozen=True)
class Which:
    """Which scans are meant by a folder."""

    series: SeriesChoice = None
    all_series: Annotated[
        bool, typer.Option("--all-series", help="Every volume of DICOM folders is a scan.")
    ] = False
    listed: ListSeries = False


@grouped
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
    how: How,
    written: Written,
    sure: Sureness,
    which: Which,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would take, and stop.")] = False,
    json: Json = None,
) -> None:
    """Label every voxel of some scans. Exit code 1 if one of them could not be predicted.

    Scans that were finished before (same files, model and options) are skipped: start again what was stopped.

    [dim]Example: calque predict runs/liver/model.calque scans/ -o predicted --overlay --memory 4GB[/dim]

    [dim]DICOM: calque predict liver.calque study/ --series 2 -o out --format dicom-seg --sr[/dim]
    """
    from calque.model import Model
    from calque.prediction import predict as predict_files
    from calque.prediction.ahead import look_ahead
    from calque.prediction.extras import DicomExtras

    screen = Screen(json)
    if which.listed:
        list_series(screen, inputs)
        return
    loaded = Model.load(model)
    predictor = loaded.predictor(how.options(sure, output))
    inputs = gathered(fetched(inputs, screen.say))
    inputs = chosen(inputs, which.series, which.all_series, screen.progress)
    forecast = look_ahead(predictor, inputs)
    show_engine(screen, predictor)
    if dry_run:
        show_forecast(screen, forecast)
        screen.json({"forecast": forecast, "engine": predictor.choice})
        raise typer.Exit(1 if forecast.refused else 0)
    show_total(screen, forecast)
    result = predict_files(
        predictor,
        inputs,
        output,
        overlay=written.overlay,
        objects=written.objects,
        overwrite=written.overwrite,
        form=written.form,
        dicom=DicomExtras(loaded.identity, written.sr, written.overlay_dicom),
        progress=screen.progress,
    )
    show_result(screen, result, output)
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
