"""`Case` and `Dataset`: where files lie; nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from calque.errors import DatasetError
from calque.labels import PLAIN, Coding, Labels
from calque.value import Value


class MaskRule(Value):
    """How the masks of a dataset are read.

    Args:
        coding: what stored values or colours stand for.
        priority: where masks of single classes overlap, the first of these names wins; empty: an error.
    """

    coding: Coding = PLAIN
    priority: tuple[str, ...] = ()


PLAIN_RULE = MaskRule()
"""One file per case that holds label values."""


@dataclass(frozen=True)
class Case:
    """One scan, with its mask if it has one.

    Args:
        id: unique in the dataset; names the outputs.
        images: one file per channel, or a single file that holds all channels.
        label: the mask, or None.
        patient: cases of one patient never stand on both sides of a split.
        split: "train" or "test" where the dataset says so, else None.
        parts: where each class has a mask of its own: (name of the class, file); `label` is None then.
        annotated: names of the classes that were looked for; None: all.
        metadata: (name, value) of whatever else is known, for subgroups.
    """

    id: str
    images: tuple[Path, ...]
    label: Path | None
    patient: str
    split: str | None = None
    parts: tuple[tuple[str, Path], ...] = ()
    annotated: tuple[str, ...] | None = None
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def reference(self) -> Path | None:
        """The image on whose grid its mask lies; None for a case that is a mask alone."""
        return self.images[0] if self.images else None

    @property
    def masks(self) -> tuple[Path, ...]:
        """The files that hold its mask."""
        return (*((self.label,) if self.label else ()), *(path for _, path in self.parts))

    def is_partial(self, labels: Labels) -> bool:
        """Whether some classes were not looked for, so that its background may hold them."""
        return self.annotated is not None and not set(labels.names) <= set(self.annotated)


@dataclass(frozen=True)
class Dataset:
    """Cases that share channels and labels.

    Args:
        name: for people.
        root: the folder.
        layout: how it was recognised, such as "msd".
        channels: a name per channel.
        labels: what the masks' values mean.
        cases: in a stable order.
        rule: how masks are read.
        patients: how patients were told apart, for people; None: each case is another one, or was listed.
    """

    name: str
    root: Path
    layout: str
    channels: tuple[str, ...]
    labels: Labels
    cases: tuple[Case, ...]
    rule: MaskRule = PLAIN_RULE
    patients: str | None = None

    def __post_init__(self) -> None:
        ids = [case.id for case in self.cases]
        twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) != len(ids) else []
        if twice:
            raise DatasetError("Case names must be unique", where=self.root, got=twice[:5])

    @property
    def annotated(self) -> tuple[Case, ...]:
        """Cases with a mask that are not set aside for testing."""
        return tuple(case for case in self.cases if case.masks and case.split != "test")

    def case(self, name: str) -> Case:
        """The case of this id."""
        for case in self.cases:
            if case.id == name:
                return case
        raise DatasetError("There is no such case", where=self.root, got=name)

    def only(self, ids: Iterable[str]) -> Dataset:
        """The same dataset with these cases alone, in this dataset's order."""
        wanted = set(ids)
        unknown = wanted - {case.id for case in self.cases}
        if unknown:
            raise DatasetError("There are no such cases", where=self.root, got=sorted(unknown)[:5])
        return replace(self, cases=tuple(case for case in self.cases if case.id in wanted))
