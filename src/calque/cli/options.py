"""Options that several verbs share, and how durations and sizes are written."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from calque.planning import Wishes

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_BYTES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_duration(text: str) -> float:
    """Seconds of "90s", "30m", "1h30m" or "45" (seconds)."""
    found = re.fullmatch(r"(?:(?P<h>[\d.]+)h)?(?:(?P<m>[\d.]+)m)?(?:(?P<s>[\d.]+)s?)?", text.strip().lower())
    try:
        parts = {unit: float(number) for unit, number in found.groupdict().items() if number} if found else {}
    except ValueError:
        parts = {}
    total = sum(_SECONDS[unit] * number for unit, number in parts.items())
    if total <= 0:
        raise typer.BadParameter(f"{text!r} is not a duration such as 30m, 1h30m or 90s")
    return total


def parse_size(text: str) -> int:
    """Bytes of "8GB", "512M" or "2000000"; a kilobyte has 1024 bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if not found or float(found[1]) <= 0:
        raise typer.BadParameter(f"{text!r} is not a size such as 8GB or 512MB")
    return int(float(found[1]) * _BYTES[found[2]])


def parse_triple(text: str) -> tuple[float, float, float]:
    """Three numbers (z, y, x) of "64,96,96", "5x3.5x3.5"."""
    try:
        z, y, x = (float(part) for part in re.split(r"[,x ]+", text.strip()))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not three numbers z,y,x such as 64,96,96") from None
    if min(z, y, x) <= 0:
        raise typer.BadParameter(f"{text!r}: each of the three must be above 0")
    return z, y, x


def parse_whole_triple(text: str) -> tuple[int, int, int]:
    """Three whole numbers (z, y, x) of "64,96,96"."""
    z, y, x = parse_triple(text)
    if (z, y, x) != (int(z), int(y), int(x)):
        raise typer.BadParameter(f"{text!r}: numbers of voxels are whole")
    return int(z), int(y), int(x)


def in_words(seconds: float) -> str:
    """ "1 h 30 min", "4 min", "12 s": a duration for people."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (rest if not hours else 0, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


DataFolder = Annotated[
    Path, typer.Argument(metavar="DATA", help="Folder of the data set.", show_default=False)
]
Json = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Also write the result as JSON; - prints it to stdout."),
]
Budget = Annotated[
    float | None,
    typer.Option(parser=parse_duration, metavar="TIME", help="Time for training: 90s, 30m, 1h30m."),
]
Steps = Annotated[int | None, typer.Option(min=1, help="Steps of training, in place of a time.")]
Memory = Annotated[
    int | None, typer.Option(parser=parse_size, metavar="SIZE", help="Memory that may be used: 8GB.")
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Threads; by default what pays, at most one a processor.")
]
Patients = Annotated[
    str | None,
    typer.Option(
        "--patients",
        metavar="REGEX",
        help="Finds the patient in a case's name: '(P[0-9]+)_'. Else each case is a patient.",
    ),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out cases that fail the check.")]
Holdout = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Names of cases or patients, one a line, that training must not see."),
]
CacheFolder = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="FOLDER",
        help="Networks made ready, and probes; by default the user's cache.",
        show_default=False,
    ),
]


Kind = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="2d|2.5d|3d|lowres|cascade",
        help="Slices, with their neighbours, volumes; on a coarser grid, or on that and then in full.",
    ),
]
Outputs = Annotated[
    str, typer.Option(metavar="classes|regions", help="What the network answers with; regions may overlap.")
]
LossName = Annotated[
    str | None, typer.Option("--loss", metavar="NAME", help="dice_ce, ce; for regions dice_bce, bce.")
]
ClassWeights = Annotated[
    str | None,
    typer.Option(
        metavar="NAME=W,...", help="Weights of classes in the loss: lesion=5,liver=1.", show_default=False
    ),
]
Network = Annotated[
    str | None,
    typer.Option("--network", metavar="NAME", help="plain, residual, or monai:SegResNet and others."),
]
NetworkOptions = Annotated[
    str | None, typer.Option(metavar="JSON", help="Of a network of MONAI: '{\"init_filters\": 16}'.")
]


def parse_weights(text: str | None) -> dict[str, float]:
    """Name -> weight of "lesion=5,liver=1"."""
    weights: dict[str, float] = {}
    for part in (text or "").split(",") if text else ():
        name, _, number = part.rpartition("=")
        try:
            weights[name.strip()] = float(number)
        except ValueError:
            weights[name.strip()] = 0.0
        if not name or not weights[name.strip()] > 0:
            raise typer.BadParameter(
                f"{part!r} is not NAME=WEIGHT with a weight above 0", param_hint="--class-weights"
            )
    return weights


@dataclass(frozen=True)
class Wanted:
    """What a person decides in place of the planner."""

    memory: Memory = None
    kind: Kind = None
    outputs: Outputs = "classes"
    loss: LossName = None
    class_weights: ClassWeights = None
    network: Network = None
    network_options: NetworkOptions = None

    @property
    def wishes(self) -> Wishes:
        """For the planner."""
        from pydantic import ValidationError

        from calque.planning import Wishes

        given = {
            "memory": self.memory,
            "kind": self.kind,
            "outputs": self.outputs,
            "loss": self.loss,
            "class_weights": parse_weights(self.class_weights),
            "network": self.network,
        }
        try:
            options = json.loads(self.network_options) if self.network_options else {}
            return Wishes.model_validate(given | {"network_options": options})
        except json.JSONDecodeError as problem:
            raise typer.BadParameter(f"this is not JSON: {problem}", param_hint="--network-options") from None
        except ValidationError as problem:
            wrong = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in problem.errors())
            raise typer.BadParameter(wrong) from None


def cache_folder(chosen: Path | None) -> Path:
    """`chosen`, or else where this system keeps such things (on Linux the XDG cache)."""
    if chosen is not None:
        return chosen
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "calque"
