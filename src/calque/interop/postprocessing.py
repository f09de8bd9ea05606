"""nnU-Net's postprocessing -> steps of ours; its JSON is read, the pickle beside it never.

nnU-Net keeps the largest component of the union of some labels where that raised the mean Dice of its
cross-validation (`determine_postprocessing`), and writes what it chose into the folder of that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import ConfigDict, ValidationError

from calque.errors import ModelError
from calque.interop.results import Results
from calque.labels import BACKGROUND, Labels
from calque.prediction.learned import Step
from calque.value import Value

_ONLY = "remove_all_but_largest_component_from_segmentation"
_FIX = "take this file away to import the model without its postprocessing"
_PLACE = "crossval_results_folds_"


class _Arguments(Value):
    labels_or_regions: int | tuple[int | tuple[int, ...], ...]
    background_label: int = BACKGROUND

    def values(self) -> tuple[int, ...]:
        given = self.labels_or_regions
        parts = (given,) if isinstance(given, int) else given
        flat = (v for part in parts for v in ((part,) if isinstance(part, int) else part))
        return tuple(dict.fromkeys(flat))


class _Chosen(Value):
    model_config = ConfigDict(extra="ignore")

    postprocessing_fns: tuple[str, ...]
    postprocessing_kwargs: tuple[_Arguments, ...]


def postprocessing_of(
    results: Results, folds: Sequence[str], labels: Labels
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """The steps that were chosen for these folds together, and what should be said of it.

    Args:
        results: the folder.
        folds: that are imported; what was chosen for others is not applied.
        labels: of the model.

    Returns:
        Steps in nnU-Net's order, and sentences for the card: where a file is passed over, it says why.

    Raises:
        ModelError: a file for these folds that is damaged, or asks for what Calque does not do.
    """
    files = [Path(file) for file in results.postprocessing]
    mine = [file for file in files if _folds(file) == set(folds)]
    written = [file for file in mine if file.suffix == ".json"]
    if written:
        steps = _steps(results.folder / written[0], labels)
        count = f"{len(steps)} step{'s' * (len(steps) != 1)}"
        return steps, (f"nnU-Net's postprocessing is applied: {count}, {written[0].as_posix()}.",)
    if mine:
        reason = "it is a pickle, which may run anything and is never read; nnU-Net writes a .json beside it"
        return (), (f"Its postprocessing is not applied: {mine[0].as_posix()}: {reason}.",)
    if files:
        others = ", ".join(file.as_posix() for file in files)
        return (), (f"Postprocessing that was chosen for other folds is not applied: {others}.",)
    return (), ()


def _folds(file: Path) -> set[str]:
    """Of `crossval_results_folds_0_1/postprocessing.json`; none of other places."""
    return (
        set(file.parent.name.removeprefix(_PLACE).split("_"))
        if file.parent.name.startswith(_PLACE)
        else set()
    )


def _steps(path: Path, labels: Labels) -> tuple[Step, ...]:
    try:
        chosen = _Chosen.model_validate(json.loads(path.read_text(encoding="utf-8")))
        pairs = list(zip(chosen.postprocessing_fns, chosen.postprocessing_kwargs, strict=True))
    except (OSError, ValidationError, ValueError, RecursionError) as problem:
        raise ModelError(
            "nnU-Net's postprocessing cannot be read",
            where=path,
            expected="the JSON that nnU-Net writes",
            got=problem,
            fix=_FIX,
        ) from None
    steps = []
    for function, arguments in pairs:
        values = arguments.values()
        if function != _ONLY or arguments.background_label != BACKGROUND:
            raise ModelError(
                "This model is postprocessed in a way that Calque does not know",
                where=path,
                expected=_ONLY,
                got=function if function != _ONLY else f"background_label {arguments.background_label}",
                fix=_FIX,
            )
        if not values or set(values) - set(labels.values):
            raise ModelError(
                "This postprocessing is of values that are no class",
                where=path,
                expected=list(labels.values),
                got=list(values),
                fix=_FIX,
            )
        steps.append(Step(value=values[0], together=values[1:], action="largest"))
    return tuple(steps)
