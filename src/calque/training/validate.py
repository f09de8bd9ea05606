"""How good a network is: quickly while training goes on, and fully at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from calque.dataset import Case, Dataset
from calque.dataset.model import MaskRule
from calque.dataset.reading import read_mask, read_scan
from calque.evaluation import CaseScore, Scores, summarise
from calque.evaluation.scale import with_scale
from calque.image import Image, LabelMap
from calque.io import mask_suffix, write_labels
from calque.nets import build
from calque.parallel import map_bounded
from calque.planning import Plan
from calque.prediction import Predictor
from calque.prediction.engines import EngineOptions, make_engine
from calque.prediction.learn import MODES, learn
from calque.prediction.learned import Learned
from calque.prediction.tiling import Tiling
from calque.prediction.windows import sliding_window
from calque.preparation import PreparedCase
from calque.progress import Progress, Task
from calque.training.cases import Loader
from calque.training.partial import score_annotated
from calque.training.run import FoldFolder
from calque.training.sampler import Contents
from calque.training.state import tensors_of


@dataclass(frozen=True)
class QuickValidator:
    """Dice per class on prepared validation cases, overlap pooled over cases, without mirroring.

    Args:
        store: the prepared cases.
        cases: those that validate.
        plan: patch and labels.
        contents: which classes were annotated.
        show: is given each case and the class numbers that were predicted.
    """

    store: Loader
    cases: tuple[str, ...]
    plan: Plan
    contents: Contents = field(default_factory=Contents)
    show: Callable[[PreparedCase, NDArray[np.integer]], None] | None = None

    def __call__(self, average: dict[str, Tensor]) -> dict[str, float]:
        """Name of class -> Dice of the network with these weights; classes that nobody has are left out."""
        engine = make_engine(
            "torch", [average_network(self.plan, average)], EngineOptions(self.plan.precision)
        )
        decoder, outputs = self.plan.decoder, self.plan.labels.outputs
        overlap, size = np.zeros(outputs), np.zeros(outputs)
        for name in self.cases:
            case = self.store.load(name)
            logits = sliding_window(engine, case.seen, decoder.outputs, Tiling(self.plan.patch))
            guess = decoder.decide(logits)
            if self.show is not None:
                self.show(case, guess)
            if (known := self.contents.known.get(name)) is not None:
                guess = np.where(known[guess], guess, 0)  # nobody knows whether it is right
            valid = case.labels < outputs  # the ignore value lies above
            guess, truth = guess[valid], np.asarray(case.labels)[valid]
            hits = guess[guess == truth]
            overlap += np.bincount(hits, minlength=outputs)
            size += np.bincount(guess, minlength=outputs) + np.bincount(truth, minlength=outputs)
        return {
            name: float(2 * overlap[k] / size[k])
            for k, name in enumerate(self.plan.labels.names, start=1)
            if size[k] > 0
        }


def average_network(plan: Plan, average: dict[str, Tensor]) -> nn.Module:
    """A network in evaluation mode that holds a copy of these weights, on the CPU."""
    network = build(plan.network)
    with torch.no_grad():
        for name, tensor in tensors_of(network).items():
            tensor.copy_(average[name])
    return network.eval()


def study(
    predictor: Predictor,
    dataset: Dataset,
    cases: Sequence[str],
    task: Task,
    enough: Callable[[], bool] = lambda: False,
) -> Learned:
    """What validation cases tell about predictions; see `calque.prediction.learn`.

    Args:
        predictor: with the final weights.
        dataset: where the files are.
        cases: to be studied, one after the other.
        task: is told of each.
        enough: asked before each case; True ends it there.
    """
    if not cases:
        return Learned()
    plan = predictor.plan

    def pairs() -> Iterator[tuple[Image, LabelMap, str]]:
        for case in _cases(dataset, cases):
            if enough():
                return
            truth = read_mask(case, plan.labels, dataset.rule)
            yield read_scan(case.images, plan.channels), truth, case.patient
            task.advance(note=case.id)

    modes = MODES if any(plan.augmentation.mirror) else MODES[:1]
    return learn(plan, predictor.networks, pairs(), modes=modes, first=predictor.first)


def validate(
    predictor: Predictor,
    dataset: Dataset,
    cases: Sequence[str],
    folder: FoldFolder,
    progress: Progress,
    enough: Callable[[], bool] = lambda: False,
) -> Scores:
    """Predict whole validation cases as a user would, write the label maps and score them.

    Args:
        predictor: with the final weights.
        dataset: where the files are.
        cases: those that validate.
        folder: gets the label maps and scores.json.
        progress: shows the cases.
        enough: asked before each case; True leaves out those that are not yet begun, which are spread evenly.
    """
    scores: list[CaseScore] = []
    order = np.random.default_rng(0).permutation(len(cases))
    shuffled = _cases(dataset, [cases[k] for k in order])
    with progress.task("validating", len(cases)) as task:
        for outcome in map_bounded(
            lambda case: score_whole(predictor, case, dataset.rule, folder),
            takewhile(lambda _: not enough(), shuffled),
            1,
        ):
            scores.append(outcome.unwrap())
            task.advance(note=outcome.item.id)
    place = {name: k for k, name in enumerate(cases)}
    scores.sort(key=lambda score: place[score.case])
    summary = summarise(scores, predictor.plan.labels)
    summary.write(folder.scores)
    return summary


def _cases(dataset: Dataset, names: Sequence[str]) -> list[Case]:
    return [dataset.case(name) for name in names]


def score_whole(
    predictor: Predictor, case: Case, rule: MaskRule, folder: FoldFolder | None = None
) -> CaseScore:
    """Predict a case as a user would and score it; with a folder, write the label map there, too."""
    labels = predictor.plan.labels
    guess = predictor(read_scan(case.images, predictor.plan.channels)).label_map
    if folder is not None:
        write_labels(guess, folder.validation / f"{case.id}{mask_suffix(case.images[0])}")
    return with_scale(score_annotated(guess, case, labels, rule), case.images[0])
