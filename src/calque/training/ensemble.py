"""The folds of a run as one model, and what its card says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from calque import __version__
from calque.errors import ModelError
from calque.evaluation import Scores, summarise
from calque.model import Card, Model
from calque.planning import Plan
from calque.prediction.learned import merge_learned
from calque.training.limits import known_limits
from calque.training.run import RunFolder
from calque.training.state import TrainingState

if TYPE_CHECKING:
    from calque.training.setting import Setting


def ensemble(folder: RunFolder) -> Model:
    """All finished folds of a run; their logits are averaged when the model predicts.

    Raises:
        ModelError: no fold is finished.
    """
    models = [Model.load(fold.model) for fold in folder.folds() if fold.model.exists()]
    if not models:
        raise ModelError("No fold of this run is finished", where=folder.path, fix="train one, or --resume")
    members = tuple(member for model in models for member in model.members)
    plan = models[0].plan
    card = _merge([model.card for model in models], plan, pooled_scores(folder))
    return Model(plan, members, card, tuple(member for model in models for member in model.first))


def refitted(folder: RunFolder) -> Model:
    """The network that was trained on every case, with the scores of the folds, which it stands for.

    Raises:
        ModelError: it is not finished.
        ReadError: it is not there.
    """
    whole = Model.load(folder.fold("all").model)
    cards = [Model.load(fold.model).card for fold in folder.folds() if fold.model.exists()]
    merged = _merge(cards, whole.plan, pooled_scores(folder))
    note = "Trained on every case; the scores are those of cross-validation, by networks trained likewise."
    changes = {"folds": whole.card.folds, "notes": note}
    return replace(whole, card=merged.model_copy(update=changes))


def pooled_scores(folder: RunFolder) -> Scores | None:
    """Of the validation cases of all folds, each by a network that has not seen its patient."""
    found = [Scores.read(fold.scores) for fold in folder.folds() if fold.scores.exists()]
    cases = {case.case: case for scores in found for case in scores.cases}
    return summarise(list(cases.values()), found[0].labels) if cases else None


def fold_card(setting: Setting, state: TrainingState, scores: Scores | None) -> Card:
    """The card of one fold."""
    split, options, plan = setting.split, setting.options, setting.plan
    return Card(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        calque=__version__,
        torch=torch.__version__,
        dataset=setting.dataset.name,
        cases=len(split.train),
        folds=(str(options.fold),),
        seconds=round(state.seconds, 1),
        steps=state.step,
        seed=options.seed,
        limits=known_limits(plan, len(split.train), scores),
        notes="\n".join((*_stages(setting), *state.story)),
        **_scored(scores),
    )


def _stages(setting: Setting) -> tuple[str, ...]:
    """Of a cascade: what its first stage is, and how good."""
    first = setting.first
    if first is None:
        return ()
    spacing = " x ".join(f"{size:.3g}" for size in first.model.plan.spacing)
    scores = pooled_scores(first.run)
    dice = ", ".join(f"{name} {mean:.2f}" for name, mean in (_mean_dice(scores) if scores else {}).items())
    words = (
        f"A cascade. Its first stage, at {spacing} mm, is the mean of {len(first.model.members)} networks, "
        "each trained on a part of the patients; on patients that it has not seen, each alone: "
    )
    return (words + (dice or "not measured"),)


def _scored(scores: Scores | None) -> dict[str, Any]:
    if scores is None:
        return {}
    return {
        "scores": _mean_dice(scores),
        "intervals": _intervals(scores),
        "validated": len(scores.cases),
    }


def _intervals(scores: Scores) -> dict[str, tuple[float, float]]:
    found = {name: scores.summaries[name]["dice"] for name in _named(scores)}
    return {
        f"Dice {name}": (round(line.low, 4), round(line.high, 4))
        for name, line in found.items()
        if line.low is not None and line.high is not None
    }


def _named(scores: Scores) -> tuple[str, ...]:
    """Classes, then regions."""
    return (*scores.labels.names, *(region.name for region in scores.labels.regions))


def _mean_dice(scores: Scores) -> dict[str, float]:
    """By class; a class that no validation case has is left out."""
    means = {name: scores.summaries[name]["dice"].mean for name in _named(scores)}
    return {f"Dice {name}": round(mean, 4) for name, mean in means.items() if mean is not None}


def _merge(cards: Sequence[Card], plan: Plan, scores: Scores | None) -> Card:
    """Scores are over the cases of all folds, each measured on patients that its member did not see."""
    first, cases = cards[0], max(card.cases for card in cards)
    return first.model_copy(
        update={
            "cases": cases,
            "limits": known_limits(plan, cases, scores),
            "folds": tuple(fold for card in cards for fold in card.folds),
            "seconds": sum(card.seconds for card in cards),
            "steps": max(card.steps for card in cards),
            "learned": merge_learned([card.learned for card in cards]),
            **_scored(scores),
        }
    )
