"""Splits by patient, fixed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calque.dataset import Case, Dataset, Fold, holdout, kfold
from calque.errors import DatasetError
from calque.labels import Labels

LABELS = Labels.from_names({"organ": 1})


def _dataset(scans: list[int], tests: int = 0, unlabelled: int = 0) -> Dataset:
    """Patient k has `scans[k]` cases; then cases that no split may use."""
    cases = [
        Case(f"p{k:03}_t{t}", (Path("i.nii"),), Path("m.nii"), f"p{k:03}")
        for k, count in enumerate(scans)
        for t in range(count)
    ]
    cases += [Case(f"test{k}", (Path("i.nii"),), Path("m.nii"), f"test{k}", "test") for k in range(tests)]
    cases += [Case(f"bare{k}", (Path("i.nii"),), None, f"bare{k}") for k in range(unlabelled)]
    return Dataset("d", Path("d"), "msd", ("MR",), LABELS, tuple(cases))


datasets = st.builds(
    _dataset, st.lists(st.integers(1, 5), min_size=2, max_size=25), st.integers(0, 2), st.integers(0, 2)
)


def _patients(dataset: Dataset, ids: tuple[str, ...]) -> set[str]:
    return {dataset.case(i).patient for i in ids}


def _lawful(dataset: Dataset, fold: Fold) -> None:
    assert not _patients(dataset, fold.train) & _patients(dataset, fold.validation)
    assert sorted(fold.train + fold.validation) == sorted(c.id for c in dataset.annotated)


@given(datasets, st.integers(0, 5), st.data())
def test_folds_partition_the_cases_by_patient(dataset: Dataset, seed: int, data: st.DataObject) -> None:
    patients = {c.patient for c in dataset.annotated}
    count = data.draw(st.integers(2, len(patients)))
    folds = kfold(dataset, count, seed)
    assert len(folds) == count
    for fold in folds:
        _lawful(dataset, fold)
    validated = [case for fold in folds for case in fold.validation]
    assert sorted(validated) == sorted(c.id for c in dataset.annotated)
    sizes = [len(fold.validation) for fold in folds]
    largest = max(sum(c.patient == p for c in dataset.annotated) for p in patients)
    assert max(sizes) - min(sizes) <= largest


@given(datasets, st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_holdout_is_by_patient_and_near_its_size(dataset: Dataset, fraction: float, seed: int) -> None:
    fold = holdout(dataset, fraction, seed)
    _lawful(dataset, fold)
    count = len(dataset.annotated)
    # At most one patient more or less than asked (of up to 5 cases), and one patient stays on each side.
    assert abs(len(fold.validation) - fraction * count) <= 5


@given(datasets, st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(dataset: Dataset, random: object) -> None:
    cases = list(dataset.cases)
    random.shuffle(cases)  # type: ignore[attr-defined]
    shuffled = replace(dataset, cases=tuple(cases))
    assert kfold(shuffled, 2, seed=3) == kfold(dataset, 2, seed=3)
    assert holdout(shuffled, 0.3, seed=3) == holdout(dataset, 0.3, seed=3)


def test_the_seed_matters_and_the_split_is_the_same_for_ever() -> None:
    dataset = _dataset([1] * 10)
    assert kfold(dataset, 5, seed=0) != kfold(dataset, 5, seed=1)
    assert [fold.validation for fold in kfold(dataset, 5, seed=0)] == EXPECTED
    assert {len(fold.validation) for fold in kfold(dataset)} == {2}


EXPECTED = [
    ("p005_t0", "p007_t0"),
    ("p001_t0", "p002_t0"),
    ("p008_t0", "p009_t0"),
    ("p003_t0", "p004_t0"),
    ("p000_t0", "p006_t0"),
]


def test_what_cannot_be_split_is_refused() -> None:
    dataset = _dataset([3, 2, 1], tests=4, unlabelled=4)
    for folds in (-1, 0, 1, 4):
        with pytest.raises(DatasetError, match="2 to 3 folds"):
            kfold(dataset, folds)
    for fraction in (0, 1, -0.1, float("nan")):
        with pytest.raises(DatasetError, match="fraction"):
            holdout(dataset, fraction)
    with pytest.raises(DatasetError, match="two patients"):
        kfold(_dataset([5]))


def test_a_fold_survives_json() -> None:
    fold = holdout(_dataset([1] * 5), 0.4)
    assert Fold.from_json(fold.to_json()) == fold


def test_equal_images_stay_together() -> None:
    dataset = _dataset([1] * 20)
    alike = {case.id: case.id for case in dataset.cases}
    names = [case.id for case in dataset.cases]
    alike[names[3]] = alike[names[11]] = alike[names[17]] = "the same picture"
    for fold in kfold(dataset, 5, alike=alike):
        for side in (fold.train, fold.validation):
            assert len({names[3], names[11], names[17]} & set(side)) in (0, 3)
    assert sorted(name for fold in kfold(dataset, 5, alike=alike) for name in fold.validation) == sorted(
        names
    )
    assert kfold(dataset, 5, alike={}) == kfold(dataset, 5)


def test_a_chain_of_equal_images_joins_every_patient() -> None:
    dataset = _dataset([1] * 6)
    names = [case.id for case in dataset.cases]
    patients = dict(zip(names, ("b", "a", "c", "b", "c", "d"), strict=True))
    dataset = replace(dataset, cases=tuple(replace(c, patient=patients[c.id]) for c in dataset.cases))
    alike = {names[0]: "x", names[2]: "x", names[4]: "y", names[1]: "y"}
    first, second = kfold(dataset, 2, alike=alike)
    assert {first.validation, second.validation} == {tuple(sorted(names[:5])), (names[5],)}


def test_rare_classes_are_spread() -> None:
    dataset = _dataset([1] * 40)
    names = [case.id for case in dataset.cases]
    rare = set(names[:5])
    classes = {name: (1, 2) if name in rare else (1,) for name in names}
    folds = kfold(dataset, 5, classes=classes)
    assert [len(rare & set(fold.validation)) for fold in folds] == [1] * 5
    assert [len(fold.validation) for fold in folds] == [8] * 5
    assert kfold(dataset, 5, classes=dict.fromkeys(names, (1,))) == kfold(dataset, 5)
