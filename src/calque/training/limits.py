"""What a model is known not to be good for, in words, from its data and its scores."""

from __future__ import annotations

from calque.evaluation import Scores
from calque.planning import Plan

GENERAL = (
    "Research software, not a medical device. Valid for images like those it was trained on: the same "
    "modality, body part, field of view and kind of scanner. Look at every result."
)
_FEW_CASES = 20
_FEW_WITH_CLASS = 5
_WEAK = 0.7


def known_limits(plan: Plan, cases: int, scores: Scores | None) -> str:
    """Sentences: what holds for every model, then what is known of this one."""
    found = [GENERAL]
    if cases < _FEW_CASES:
        found.append(f"It learned from {cases} cases only.")
    seen = plan.fingerprint
    rare = [
        f"{name} ({n})"
        for name, n in zip(plan.labels.names, seen.cases_with_class, strict=False)
        if n < min(_FEW_WITH_CLASS, seen.cases)
    ]
    if rare:
        found.append(f"Few cases show these classes: {', '.join(rare)}.")
    if seen.spacings:
        ranges = (_range(min(axis), max(axis)) for axis in zip(*seen.spacings, strict=True))
        found.append(f"Spacing of its images, mm along z, y, x: {'; '.join(ranges)}.")
    if scores is None:
        return " ".join([*found, "No case was kept for validation: nobody has measured how good it is."])
    means = {name: scores.summaries[name]["dice"].mean for name in plan.labels.names}
    weak = [f"{name} (Dice {mean:.2f})" for name, mean in means.items() if mean is not None and mean < _WEAK]
    unseen = [name for name, mean in means.items() if mean is None]
    if weak:
        found.append(f"Weak in validation: {', '.join(weak)}.")
    if unseen:
        found.append(f"Not validated, for no validation case shows them: {', '.join(unseen)}.")
    return " ".join(found)


def _range(low: float, high: float) -> str:
    """ "0.8 to 1.2", or one figure where both are the same."""
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"
