"""A model that nnU-Net v2 trained -> `Model`; nnU-Net need not be installed.

Isensee et al., "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation",
Nature Methods 2021; https://github.com/MIC-DKFZ/nnUNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import Tensor

from calque import __version__
from calque.errors import ModelError
from calque.interop.architecture import own_weights
from calque.interop.checkpoint import Checkpoint, read_checkpoint
from calque.interop.foreign import (
    FingerprintJson,
    configuration_of,
    read_dataset,
    read_fingerprint,
    read_plans,
)
from calque.interop.plan import Foundation, plan_of
from calque.interop.postprocessing import postprocessing_of
from calque.interop.results import DATASET, FINGERPRINT, PLANS, Results, open_results
from calque.model import Card, Model
from calque.planning.model import Plan
from calque.prediction.learned import Learned, Step

FINAL = "checkpoint_final.pth"


def import_nnunet(
    folder: Path | str,
    *,
    folds: Sequence[int | str] | None = None,
    checkpoint: str = FINAL,
    configuration: str | None = None,
) -> Model:
    """Read an nnU-Net v2 model: a results folder, or a zip made by nnUNetv2_export_model_to_zip.

    Nothing in its pickles is run. Images will be read, normalised and resampled as nnU-Net does it: array
    axes as the file has them, transposed as the plans say.

    Args:
        folder: holds plans.json, dataset.json and fold_0, ...; or a folder above, or a zip.
        folds: such as (0, 1) or ("all",); by default every numbered fold.
        checkpoint: the file in each fold.
        configuration: such as "3d_fullres", where a folder or zip holds several.

    Raises:
        ReadError: something is missing, or damaged.
        ModelError: something that Calque does not do as nnU-Net does (it is named), or a checkpoint that
            holds more than numbers and names.
        ResourceError: a zip that would become too large.
    """
    with open_results(Path(folder), configuration, checkpoint) as results:
        files = results.checkpoints(folds, checkpoint)
        plan, first = _plan(results, files[0][1], configuration)
        members = [own_weights(first.weights, plan.network, files[0][1])]
        for _, path in files[1:]:
            members.append(_member(path, plan, first))
        folds = tuple(fold for fold, _ in files)
        steps, notes = postprocessing_of(results, folds, plan.labels)
        return Model(plan, tuple(members), _card(plan, first, folds, steps, notes))


def _plan(results: Results, path: Path, configuration: str | None) -> tuple[Plan, Checkpoint]:
    """The plan, and the first checkpoint, which knows which configuration it is."""
    plans, dataset = read_plans(results.folder / PLANS), read_dataset(results.folder / DATASET)
    fingerprint = results.folder / FINGERPRINT
    known = read_fingerprint(fingerprint) if fingerprint.is_file() else FingerprintJson()
    first = read_checkpoint(path)
    if configuration is not None and configuration != first.configuration:
        raise ModelError(
            "This model is of another configuration",
            where=results.source,
            expected=configuration,
            got=first.configuration,
        )
    chosen = configuration_of(plans, first.configuration, results.source)
    read = Foundation(plans, dataset, known, chosen, results.source)
    return plan_of(read, first.mirror_axes, first.epoch), first


def _member(path: Path, plan: Plan, first: Checkpoint) -> dict[str, Tensor]:
    other = read_checkpoint(path)
    if (other.configuration, other.mirror_axes) != (first.configuration, first.mirror_axes):
        raise ModelError(
            "The folds do not belong together",
            where=path,
            expected=(first.configuration, first.mirror_axes),
            got=(other.configuration, other.mirror_axes),
        )
    return own_weights(other.weights, plan.network, path)


def _card(
    plan: Plan, first: Checkpoint, folds: tuple[str, ...], steps: tuple[Step, ...], said: tuple[str, ...]
) -> Card:
    notes = [f"Imported from nnU-Net v2: {first.trainer}, {first.configuration}, {first.epoch} epochs."]
    notes += said
    if not first.mirror_axes:
        notes.append("It was trained without mirroring, and predicts without.")
    return Card(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        calque=__version__,
        torch=torch.__version__,
        dataset=plan.dataset,
        cases=plan.fingerprint.cases,
        folds=folds,
        notes=" ".join(notes),
        learned=Learned(postprocessing=steps),
    )
