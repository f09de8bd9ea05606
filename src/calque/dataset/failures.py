"""Many cases through one function: sick ones are named together, the rest go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from calque.dataset.model import Case, Dataset
from calque.errors import CalqueError, DatasetError, ResourceError
from calque.parallel import map_bounded
from calque.progress import Task

Output = TypeVar("Output")


def each_case(
    function: Callable[[Case], Output], cases: Sequence[Case], workers: int | None, bar: Task
) -> tuple[dict[str, Output], dict[str, CalqueError]]:
    """Case name -> value, in order, and case name -> error for those that failed.

    What would fail for all of them (no memory, no disk) or is our own mistake is raised at once.
    """
    values: dict[str, Output] = {}
    failed: dict[str, CalqueError] = {}
    for outcome in map_bounded(function, cases, workers):
        name, error = outcome.item.id, outcome.error
        if error is None:
            values[name] = outcome.unwrap()
        elif isinstance(error, MemoryError):
            raise ResourceError(
                "Not enough memory for this case", where=name, fix="use fewer workers"
            ) from error
        elif isinstance(error, ResourceError) or not isinstance(error, CalqueError):
            raise error
        else:
            failed[name] = error
        bar.advance(note=name)
    return values, failed


def failure(what: str, dataset: Dataset, failed: dict[str, CalqueError]) -> DatasetError:
    """One error that names every case with what is wrong with it."""
    lines = [
        f"{name}: {'; '.join(line.strip() for line in str(e).splitlines())}" for name, e in failed.items()
    ]
    return DatasetError(
        f"{len(failed)} of {len(dataset.annotated)} cases cannot be {what}",
        where=dataset.root,
        got="\n    ".join(["", *lines]),
        fix="mend these cases or take them out",
    )
