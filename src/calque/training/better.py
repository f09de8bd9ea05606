"""An extended run keeps the better of its two models, and the other one beside it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

from calque.evaluation import Scores, summarise
from calque.model import Model
from calque.training.run import FoldFolder

EARLIER, LONGER = "earlier", "longer"
"""Folders beneath that of the fold: the model from before an extension; the longer one that was no better."""


@dataclass(frozen=True)
class Verdict:
    """Which model is kept.

    Args:
        earlier: that from before the extension.
        sentence: which, and why.
    """

    earlier: bool
    sentence: str


def put_aside(fold: FoldFolder) -> None:
    """Keep the finished model, its scores and predictions while its run goes on; it is finished no more."""
    kept = _at(fold, EARLIER)
    shutil.rmtree(kept.path, ignore_errors=True)
    shutil.rmtree(_at(fold, LONGER).path, ignore_errors=True)
    kept.path.mkdir()
    _copy(fold, kept)
    fold.model.replace(kept.model)  # the last: until here nothing has happened


def weigh(fold: FoldFolder, scores: Scores | None) -> Verdict | None:
    """Whether the extension was worth it, by the mean Dice over classes on cases that validated both times.

    Args:
        fold: that was extended, perhaps.
        scores: of the longer training.

    Returns:
        None where nothing was extended.
    """
    kept = _at(fold, EARLIER)
    if not kept.model.exists():
        return None
    before = Scores.read(kept.scores) if kept.scores.exists() else None
    common = _common(before, scores)
    if before is None or scores is None or not common:
        return Verdict(
            earlier=False,
            sentence="No case validated both models: nobody has measured whether the longer one is better. "
            f"The one from before is in {kept.path.name}/",
        )
    old, new = _mean(before, common), _mean(scores, common)
    figures = f"mean Dice {new:.4f} after and {old:.4f} before, on the same {len(common)} cases"
    if old > new:
        words = f"The model from before the extension is kept, for it is better: {figures}. The longer one is"
        return Verdict(earlier=True, sentence=f"{words} in {LONGER}/")
    words = f"The extended model is kept: {figures}. The one from before is"
    return Verdict(earlier=False, sentence=f"{words} in {EARLIER}/")


def keep_earlier(fold: FoldFolder, longer: Model, verdict: Verdict) -> None:
    """Put the model from before back with its scores and predictions; `longer` goes beside it."""
    kept, other = _at(fold, EARLIER), _at(fold, LONGER)
    shutil.rmtree(other.path, ignore_errors=True)
    other.path.mkdir()
    _copy(fold, other)
    longer.save(other.model)
    _copy(kept, fold)
    earlier = Model.load(kept.model)
    notes = "\n".join(part for part in (earlier.card.notes, verdict.sentence) if part)
    replace(earlier, card=earlier.card.model_copy(update={"notes": notes})).save(fold.model)


def _at(fold: FoldFolder, name: str) -> FoldFolder:
    return FoldFolder(fold.path / name)


def _copy(source: FoldFolder, target: FoldFolder) -> None:
    """Scores, predictions and the plan that repeats them."""
    for here, there in ((source.scores, target.scores), (source.repeat, target.repeat)):
        there.unlink(missing_ok=True)
        if here.exists():
            shutil.copyfile(here, there)
    shutil.rmtree(target.validation, ignore_errors=True)
    if source.validation.exists():
        shutil.copytree(source.validation, target.validation)


def _common(one: Scores | None, other: Scores | None) -> set[str]:
    if one is None or other is None:
        return set()
    return {case.case for case in one.cases} & {case.case for case in other.cases}


def _mean(scores: Scores, cases: set[str]) -> float:
    """Of the classes that some of these cases have."""
    summary = summarise([case for case in scores.cases if case.case in cases], scores.labels)
    means = [summary.summaries[name]["dice"].mean for name in scores.labels.names]
    found = [mean for mean in means if mean is not None]
    return sum(found) / len(found) if found else 0.0
