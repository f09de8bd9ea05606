"""A data set that has grown: new cases join those that train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from calque.dataset import Case, Dataset
from calque.errors import DatasetError
from calque.training.run import Split

GROWN = "Cases were added"
"""How the sentence in a run's story begins."""


@dataclass(frozen=True)
class Grown:
    """What became of a data set and its split.

    Args:
        dataset: old and new cases.
        split: the old one; new cases train, unless their patient validates.
        added: names of the new cases.
        twice: (new case, the case with the same image); these are left out.
    """

    dataset: Dataset
    split: Split
    added: tuple[str, ...]
    twice: tuple[tuple[str, str], ...]

    def in_words(self) -> str:
        """A sentence for the history and the card."""
        validate = len(set(self.added) & set(self.split.validation))
        words = f"{GROWN}: {len(self.added)}, of which {validate} validate, as their patients do"
        if not validate:
            words = f"{GROWN}: {len(self.added)}, all of which train"
        return words + (f"; {len(self.twice)} were there before and are left out" if self.twice else "")


def join(dataset: Dataset, more: Dataset) -> Dataset:
    """Both in one; a new case whose name is taken gets another one.

    Raises:
        DatasetError: channels, label values or the coding of masks differ.
    """
    for what, here, there in (
        ("channels", dataset.channels, more.channels),
        ("label values", dataset.labels.values, more.labels.values),
        ("coding of masks", dataset.rule, more.rule),
    ):
        if here != there:
            raise DatasetError(
                f"The new data have other {what}",
                where=more.root,
                expected=here,
                got=there,
                fix="bring them to the same form: calque dataset init writes a manifest that you can correct",
            )
    taken = {case.id for case in dataset.cases}
    cases = []
    for case in more.annotated:
        name = _free_name(case.id, taken)
        taken.add(name)
        cases.append(replace(case, id=name, split=None))
    if not cases:
        raise DatasetError("None of the new cases has a mask to learn from", where=more.root)
    return replace(dataset, cases=(*dataset.cases, *cases))


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def settle(old: Dataset, joined: Dataset, split: Split, digests: Mapping[str, str]) -> Grown:
    """Leave out what was there before, and deal the rest.

    Args:
        old: before.
        joined: from `join`.
        split: of the run.
        digests: of the prepared images, by case; equal for equal images.
    """
    seen = {digests[case.id]: case.id for case in reversed(old.annotated)}
    fresh: list[Case] = []
    twice = []
    for case in joined.cases[len(old.cases) :]:
        first = seen.setdefault(digests[case.id], case.id)
        if first == case.id:
            fresh.append(case)
        else:
            twice.append((case.id, first))
    judges = {case.patient for case in old.cases if case.id in split.validation}
    train = tuple(case.id for case in fresh if case.patient not in judges)
    validate = tuple(case.id for case in fresh if case.patient in judges)
    return Grown(
        dataset=replace(old, cases=(*old.cases, *fresh)),
        split=Split(train=split.train + train, validation=split.validation + validate),
        added=tuple(case.id for case in fresh),
        twice=tuple(twice),
    )
