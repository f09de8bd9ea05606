"""Cases of which some classes were not annotated: what is known of them, and how they are scored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from calque.dataset import Case, Dataset
from calque.dataset.model import MaskRule
from calque.dataset.reading import read_mask
from calque.evaluation import CaseScore, score_case
from calque.image import LabelMap
from calque.labels import Labels
from calque.planning import Plan
from calque.preparation import Store
from calque.training.sampler import Contents


def find_contents(dataset: Dataset, plan: Plan, store: Store) -> Contents:
    """What the sampler and the quick validation are told of the cases."""
    known = {
        case.id: found for case in dataset.annotated if (found := known_of(case, plan.labels)) is not None
    }
    return Contents({name: record.classes for name, record in store.contents().items()}, known)


def known_of(case: Case, labels: Labels) -> NDArray[np.bool_] | None:
    """(n,): which class numbers were annotated, background always; None: all of them."""
    if not case.is_partial(labels):
        return None
    return np.array([True, *(name in (case.annotated or ()) for name in labels.names)])


def score_annotated(predicted: LabelMap, case: Case, labels: Labels, rule: MaskRule) -> CaseScore:
    """Score the classes that were annotated; of the others nobody knows whether the prediction is right."""
    truth = read_mask(case, labels, rule, keep_background=True)
    return score_case(predicted, truth, case=case.id, patient=case.patient, annotated=case.annotated)
