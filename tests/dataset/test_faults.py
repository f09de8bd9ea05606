"""Two of each kind of damage, on phantoms: all are found under the right name, and what can be is restored.

`benchmarks/inject_faults.py` does the same, twenty times each, on real data.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.faults import DAMAGES, WHOLE
from benchmarks.inject_faults import inject, inject_whole, known

from calque.dataset import check, open_dataset
from calque.dataset.doctor.kinds import KINDS
from calque.phantoms import write_phantoms

from .test_dicom import DRAWN, MIXED

PROVOKED_ELSEWHERE = {"not-annotated", "burned-in-text", "channels-resampled", MIXED, *DRAWN}
"""Not damage to a NIfTI case: see test_checking.py and, for DICOM, test_dicom.py."""


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "phantoms"
    return write_phantoms(folder, "ct_abdomen", 30, shape=(24, 48, 48), spacing=(5, 7, 7), varied=False)


def test_every_kind_has_its_damage() -> None:
    assert set(DAMAGES) | set(WHOLE) | PROVOKED_ELSEWHERE == set(KINDS)


def test_undamaged_phantoms_have_no_finding(phantoms: Path) -> None:
    assert known(check(open_dataset(phantoms))) == set()


@pytest.mark.parametrize(
    ("kind", "way"), [(kind, way) for kind, ways in DAMAGES.items() for way in range(len(ways))]
)
def test_damage_to_a_case_is_found_and_mended(phantoms: Path, kind: str, way: int) -> None:
    score = inject(phantoms, kind, way, each=2, seed=0, before=set())
    # Flipped bits may end a compressed stream early: it is then found as truncated.
    early = score.beside.get("truncated", 0) if kind == "unreadable" else 0
    assert score.found + early == 2, score.missed
    assert score.alarms == 0
    assert score.restored == score.repaired


@pytest.mark.parametrize("kind", WHOLE)
def test_damage_to_a_dataset_is_found(phantoms: Path, kind: str) -> None:
    score = inject_whole(phantoms, kind, each=2, seed=0)
    assert (score.found, score.missed) == (2, [])
