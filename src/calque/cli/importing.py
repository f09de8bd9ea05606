"""The verb import: models that other systems trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calque.cli.grouping import grouped
from calque.cli.options import Json
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.model import Model

SYSTEMS = ("nnunet",)
CHECKED = 3
"""Scans that parity is measured on: each is predicted twice."""


@dataclass(frozen=True)
class Which:
    """Which networks of the folder are meant."""

    fold: Annotated[
        list[str] | None,
        typer.Option(metavar="K|all", help="A fold; may be repeated. By default every numbered fold."),
    ] = None
    checkpoint: Annotated[str, typer.Option(metavar="NAME", help="The file to take from each fold.")] = (
        "checkpoint_final.pth"
    )
    configuration: Annotated[
        str | None, typer.Option(metavar="NAME", help="Such as 3d_fullres, where there are several.")
    ] = None


@dataclass(frozen=True)
class Trials:
    """What is tried with the model before it is written."""

    check: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="SCANS",
            help="Scans on which bf16 is compared with f32; noted in the model.",
        ),
    ] = None
    cases: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="A data set with labels that it was not trained on: are larger windows as good?",
        ),
    ] = None


@grouped
def import_model(
    system: Annotated[str, typer.Argument(metavar="SYSTEM", help="Which system trained it: nnunet.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Its results folder, or an exported zip.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MODEL", help="The .calque file.")],
    which: Which,
    trials: Trials,
    force: Annotated[bool, typer.Option("--force", help="Overwrite MODEL.")] = False,
    json: Json = None,
) -> None:
    """Make a Calque model of one that nnU-Net v2 trained; its pickles are read and not run.

    With --check some scans are predicted in bf16 and f32, so that "predict" need not find out. With --cases
    scans with labels are predicted in windows as in training and in larger ones, which compute fewer voxels.

    [dim]Example: calque import nnunet nnUNetTrainer__nnUNetPlans__3d_fullres -o liver.calque[/dim]
    """
    from calque.errors import InputError

    if system not in SYSTEMS:
        raise typer.BadParameter(f"{system!r} is not one of: {', '.join(SYSTEMS)}", param_hint="SYSTEM")
    if output.exists() and not force:
        raise InputError("The output is there already", where=output, fix="choose another name, or --force")

    from calque.interop.nnunet import import_nnunet

    screen = Screen(json)
    model = import_nnunet(
        folder, folds=which.fold, checkpoint=which.checkpoint, configuration=which.configuration
    )
    if trials.check:
        model = _checked(screen, model, trials.check)
    if trials.cases:
        model = _tried(screen, model, trials.cases)
    model.save(output)
    _show(screen, model, output)
    screen.json({"model": output, "plan": model.plan, "card": model.card})


def _checked(screen: Screen, model: Model, scans: list[Path]) -> Model:
    """The model, with a record of parity on some scans."""
    from calque.dataset.reading import read_scan
    from calque.prediction import measure_parity
    from calque.prediction.scans import find_scans

    found = find_scans(scans, model.plan.channels)[:CHECKED]
    images = (read_scan(scan.paths, model.plan.channels) for scan in found)
    parity = measure_parity(model.plan, model.networks(), images)
    screen.say(
        f"bf16 gives {100 * parity.same:.3f} % of the labels of f32, Dice {parity.dice:.4f}, "
        f"{parity.cases} scans: {'admitted' if parity.admitted else 'not admitted'}"
    )
    return model.with_learned(model.card.learned.model_copy(update={"parity": (parity,)}))


def _tried(screen: Screen, model: Model, data: Path) -> Model:
    """The model, with a record of how good larger windows are."""
    from calque.dataset import open_dataset
    from calque.dataset.reading import read_mask, read_scan
    from calque.prediction import learn_windows

    dataset = open_dataset(data)
    plan, rule = model.plan, dataset.rule
    found = (
        (read_scan(case.images, plan.channels), read_mask(case, plan.labels, rule), case.patient)
        for case in dataset.cases
        if case.masks
    )
    trial = learn_windows(plan, model.networks(), found)
    if trial is None:
        screen.say("No scan has other windows than those of training, or the network takes no others")
        return model
    verdict = "admitted" if trial.admitted else "not admitted"
    screen.say(
        f"larger windows: Dice {trial.fewest:.4f}, with those of training {trial.trained:.4f}, "
        f"{trial.cases} cases of {trial.patients} patients: {verdict}"
    )
    return model.with_learned(model.card.learned.model_copy(update={"windows": trial}))


def _show(screen: Screen, model: Model, output: Path) -> None:
    plan = model.plan
    screen.say(model.card.notes)
    screen.table(
        f"{output}: {plan.dataset}",
        ("what", "value"),
        (
            ("channels", ", ".join(plan.channels)),
            ("classes", ", ".join(plan.labels.names)),
            ("folds", ", ".join(model.card.folds)),
            ("spacing (z, y, x)", " x ".join(f"{s:.4g}" for s in plan.spacing) + " mm"),
            ("window (z, y, x)", " x ".join(str(n) for n in plan.patch)),
            ("network", f"{plan.network.kind}, {plan.network.dimensions}-D, {plan.network.features}"),
        ),
    )
    screen.say(f"Next: calque predict {output} SCANS -o OUT")
