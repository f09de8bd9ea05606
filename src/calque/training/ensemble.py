"""The folds of a run as one model, and what its card says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import torch

from calque import __version__
from calque.errors import ModelError
from calque.evaluation import Scores
from calque.model import Card, Model
from calque.prediction.learned import merge_learned
from calque.training.run import RunFolder, Split
from calque.training.state import TrainingState

LIMITS = (
    "Research software, not a medical device. Valid for images like those it was trained on: the same "
    "modality, body part, field of view and kind of scanner. Look at every result."
)


def ensemble(folder: RunFolder) -> Model:
    """All finished folds of a run; their logits are averaged when the model predicts.

    Raises:
        ModelError: no fold is finished.
    """
    models = [Model.load(fold.model) for fold in folder.folds() if fold.model.exists()]
    if not models:
        raise ModelError("No fold of this run is finished", where=folder.path, fix="train one, or --resume")
    members = tuple(member for model in models for member in model.members)
    return Model(models[0].plan, members, _merge([model.card for model in models]))


def fold_card(
    dataset: str, fold: str, seed: int, split: Split, state: TrainingState, scores: Scores | None
) -> Card:
    """The card of one fold."""
    return Card(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        calque=__version__,
        torch=torch.__version__,
        dataset=dataset,
        cases=len(split.train),
        folds=(fold,),
        scores={} if scores is None else _mean_dice(scores),
        seconds=round(state.seconds, 1),
        steps=state.step,
        seed=seed,
        limits=LIMITS,
        notes="\n".join(state.story),
    )


def _mean_dice(scores: Scores) -> dict[str, float]:
    """By class; a class that no validation case has is left out."""
    means = {name: scores.summaries[name]["dice"].mean for name in scores.labels.names}
    return {f"Dice {name}": round(mean, 4) for name, mean in means.items() if mean is not None}


def _merge(cards: Sequence[Card]) -> Card:
    """Scores are means over folds, each measured on patients that its member did not see."""
    first = cards[0]
    names = {name for card in cards for name in card.scores}
    scores = {n: [card.scores[n] for card in cards if n in card.scores] for n in sorted(names)}
    return first.model_copy(
        update={
            "cases": max(card.cases for card in cards),
            "folds": tuple(fold for card in cards for fold in card.folds),
            "scores": {name: round(sum(values) / len(values), 4) for name, values in scores.items()},
            "seconds": sum(card.seconds for card in cards),
            "steps": max(card.steps for card in cards),
            "learned": merge_learned([card.learned for card in cards]),
        }
    )
