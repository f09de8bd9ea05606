"""All cases of a dataset into a store: parallel, resumable, one sick case does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from calque.dataset import Case, Dataset
from calque.dataset.failures import each_case, failure
from calque.dataset.reading import read_mask, read_scan
from calque.errors import DatasetError, PlanError
from calque.io.room import require_room
from calque.planning.model import Plan
from calque.planning.size import prepared_bytes
from calque.preparation.case import prepare_image, prepare_labels
from calque.preparation.store import Store, content_key
from calque.progress import SILENT, Progress


def prepare(
    dataset: Dataset,
    plan: Plan,
    folder: Path | str,
    *,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Store:
    """Prepare every annotated case of `dataset`; what is already in the store is not made again.

    Args:
        dataset: its annotated cases are prepared.
        plan: how.
        folder: of the store; made if it is not there.
        workers: threads; by default one per processor.
        progress: who listens.

    Returns:
        The store, listing these cases.

    Raises:
        PlanError: the plan is for other channels.
        DatasetError: some cases cannot be prepared; all are named, the others are in the store.
        ResourceError: the disk has not enough room, before anything is written, or is full.
    """
    if len(dataset.channels) != len(plan.channels):
        raise PlanError(
            "This plan is for another kind of data",
            expected=f"channels {plan.channels}",
            got=dataset.channels,
        )
    cases = dataset.annotated
    if not cases:
        raise DatasetError("No case has a mask to learn from", where=dataset.root)
    store = Store(folder)
    with progress.task("Looking for what is prepared", len(cases)) as bar:
        keys, unread = each_case(lambda case: content_key(case, plan, dataset.rule), cases, workers, bar)
    missing = [case for case in cases if case.id in keys and not store.holds(keys[case.id])]
    size = prepared_bytes(plan.fingerprint, plan.spacing, len(plan.channels)) * len(missing)
    require_room(store.folder, size, "the prepared cases")

    def make(case: Case) -> None:
        image = prepare_image(read_scan(case.images, plan.channels), plan)
        mask = read_mask(case, plan.labels, dataset.rule, keep_background=True)
        labels = prepare_labels(mask, image.placement, plan)
        store.put(keys[case.id], case, image, labels, len(plan.labels.classes))

    with _one_thread_each(plan), progress.task("Preparing", len(missing)) as bar:
        failed = unread | each_case(make, missing, workers, bar)[1]
    store.publish({case.id: keys[case.id] for case in cases if case.id not in failed})
    if failed:
        raise failure("prepared", dataset, failed)
    return store


@contextmanager
def _one_thread_each(plan: Plan) -> Iterator[None]:
    """torch on one thread within: the workers are the parallelism, and threads of threads thrash.

    It resamples, and takes a second to import: cases that have the plan's spacing do without.
    """
    if np.allclose(plan.fingerprint.spacings, plan.spacing, rtol=1e-3):
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
