"""From a series' files to the objects that a rule asks for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from calque.errors import InputError
from calque.image import Image, LabelMap
from calque.io.dicom import (
    Identity,
    Stack,
    Written,
    choose_stack,
    find_stacks,
    read_stack,
    write_overlay,
    write_rtstruct,
    write_seg,
    write_sr,
)
from calque.node.models import Warm
from calque.node.rules import OutputKind, Rule, Rules, SeriesFacts
from calque.node.worker import Made

if TYPE_CHECKING:
    from calque.planning import Plan


@dataclass(frozen=True)
class _Case:
    """What outputs are made of."""

    image: Image
    label_map: LabelMap
    stack: Stack
    identity: Identity
    folder: Path


class DicomMaker:
    """Reads a series strictly, predicts with a warm model, writes DICOM.

    Args:
        models: that are kept ready.
        default: the model of rules that name none; None where each names one.
    """

    def __init__(self, models: Warm, default: Path | None) -> None:
        self._models, self._default = models, default

    def require_models(self, rules: Rules) -> None:
        """Load each rule's model once: one that cannot be used is told at the start.

        Raises:
            InputError: a rule has none.
            ReadError: there is no such file.
            ModelError: it is damaged.
        """
        for number, rule in enumerate(rules.rules, start=1):
            if not rule.ignore:
                self._models.get(self._model_file(rule, f"rule {number}"))

    def facts(self, files: Sequence[Path]) -> SeriesFacts:
        """Of the first file's header.

        Raises:
            InputError: it cannot be parsed.
        """
        import pydicom

        try:
            data = pydicom.dcmread(
                files[0], specific_tags=["Modality", "BodyPartExamined", "SeriesDescription"]
            )
            found = [str(data.get(name, "") or "") for name in ("Modality", "BodyPartExamined")]
            return SeriesFacts(
                modality=found[0],
                body_part=found[1],
                description=str(data.get("SeriesDescription", "") or ""),
            )
        except Exception as problem:  # pydicom raises many kinds on damaged files
            raise InputError("The series cannot be parsed", got=type(problem).__name__) from None

    def make(self, files: Sequence[Path], rule: Rule, folder: Path) -> tuple[Made, ...]:
        """Predict, and write a rule's outputs into `folder`, which is made anew.

        Raises:
            InputError: there is not exactly one volume, or the model needs other channels.
            CalqueError: the series is refused, the model cannot be read, or there is no place to write.
        """
        stack = choose_stack(find_stacks(list(files)))
        path = self._model_file(rule, "its rule")
        model, predictor = self._models.get(path)
        image = _with_channels(read_stack(stack), model.plan)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        from calque import __version__

        identity = Identity(name=model.plan.dataset, version=__version__, key=model.key)
        case = _Case(image, predictor(image).label_map, stack, identity, folder)
        written = {kind: OUTPUTS[kind](case) for kind in rule.outputs}
        return tuple(made for kind, one in written.items() for made in _made(kind, one))

    def _model_file(self, rule: Rule, where: str) -> Path:
        found = rule.model or self._default
        if found is None:
            raise InputError(
                "No model is named for a series",
                where=where,
                fix="name one in the rule, or as MODEL at the start",
            )
        return found


def _with_channels(image: Image, plan: Plan) -> Image:
    if len(image.channels) != len(plan.channels):
        raise InputError(
            "One series does not hold the channels that the model needs",
            expected=f"{len(plan.channels)}: {', '.join(plan.channels)}",
            got=len(image.channels),
        )
    return Image(image.array, image.grid, plan.channels)


def _seg(case: _Case) -> Written:
    return write_seg(case.label_map, case.stack, case.folder / "seg.dcm", case.identity)


def _labelmap(case: _Case) -> Written:
    file = case.folder / "labelmap.dcm"
    return write_seg(case.label_map, case.stack, file, case.identity, "labelmap")


def _rtstruct(case: _Case) -> Written:
    return write_rtstruct(case.label_map, case.stack, case.folder / "rtstruct.dcm", case.identity)


def _sr(case: _Case) -> Written:
    """It refers to the segments of the SEG of the same labels, whose UIDs are the same each time."""
    from calque.ops.measures import measure_labels

    measures = measure_labels(case.label_map, case.image)
    labels, file = case.label_map.labels, case.folder / "sr.dcm"
    return write_sr(measures, labels, _seg(case), case.stack, file, case.identity)


def _overlay(case: _Case) -> Written:
    from calque.ops.render import overlay_slices

    pictures = overlay_slices(case.image, case.label_map, note="")
    return write_overlay(pictures, case.stack, case.folder / "overlay", case.identity)


OUTPUTS: dict[OutputKind, Callable[[_Case], Written]] = {
    "seg": _seg,
    "labelmap": _labelmap,
    "rtstruct": _rtstruct,
    "sr": _sr,
    "overlay": _overlay,
}


def _made(kind: str, written: Written) -> list[Made]:
    """One for each file: an overlay is a series of them."""
    if written.path.is_file():
        return [Made(kind, written.path, written.instance, written.series)]
    import pydicom

    files = sorted(written.path.glob("*.dcm"))
    instances = [pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID for file in files]
    return [Made(kind, file, str(uid), written.series) for file, uid in zip(files, instances, strict=True)]
