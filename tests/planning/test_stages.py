"""When a coarser grid is called for, and how coarse it is."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.planning.synthetic import BRAIN, CT, HIPPOCAMPUS, PROSTATE, SLICES, make_dataset

from calque.errors import PlanError
from calque.labels import Labels
from calque.planning import Plan, Timing, Wishes, explain
from calque.planning.machine import Machine
from calque.planning.planner import Budget, decide
from calque.planning.rules import Geometry, choose_geometry
from calque.planning.stages import COVERED, calls_for_coarser, coarser, coverage, joined, plan_stages
from calque.planning.wishes import Kind

UNTIMED = Timing(probe=False, machine=Machine("cpu", "a laptop"))


def staged(seen, kind: Kind | None, seconds: float | None = 1800.0, steps: int | None = None) -> Plan:  # type: ignore[no-untyped-def]
    whole = Budget(None if steps else seconds, steps, 4 * 10**9)

    def plan_on(geometry: Geometry, share: float) -> Plan:
        return decide(make_dataset(), geometry, whole.part(share), Wishes(), UNTIMED)

    return plan_stages(choose_geometry(seen), kind, plan_on, whole.seconds)


def test_a_long_scan_gets_two_stages_that_share_the_budget() -> None:
    plan = staged(CT, "cascade")
    assert plan.first is not None
    assert prod(plan.first.spacing) > 10 * prod(plan.spacing)
    assert plan.network.previous == 2
    assert plan.network.stem == 3
    assert plan.schedule.seconds == 1800
    assert plan.first.schedule.seconds == pytest.approx(360)
    median = np.array(CT.shapes[0]) * CT.spacings[0] / plan.first.spacing
    assert prod(plan.first.patch) / prod(median) > 0.2
    assert "patients" in plan.reasons["first"]
    assert explain(plan)[0][0] == "first stage"
    again = Plan.from_json(plan.to_json())
    assert again == plan


def test_steps_are_shared_out() -> None:
    plan = staged(CT, "cascade", steps=100)
    assert plan.first is not None
    assert (plan.schedule.steps, plan.first.schedule.steps) == (60, 20)


def test_a_coarser_grid_alone() -> None:
    plan = staged(CT, "lowres")
    assert plan.first is None
    assert plan.network.previous == 0
    assert "coarser" in plan.reasons["spacing"]
    assert plan.schedule.seconds == 1800


def test_a_long_scan_is_taken_on_a_coarser_grid_by_itself() -> None:
    plan, asked = staged(CT, None), staged(CT, "lowres")
    assert "--kind 3d" in plan.reasons["spacing"]
    assert plan.model_copy(update={"reasons": {}}) == asked.model_copy(update={"reasons": {}})
    whole = staged(CT, "3d")
    assert whole.spacing == CT.spacings[0]
    assert "asked for" in whole.reasons["patch"]


def test_what_a_patch_shows_enough_of_stays_at_full_resolution() -> None:
    plan = staged(HIPPOCAMPUS, None)
    assert plan == staged(HIPPOCAMPUS, "3d")
    assert not any("--kind" in why for why in plan.reasons.values())


@pytest.mark.parametrize("few", [False, True])
def test_a_class_that_a_coarser_grid_would_lose_keeps_full_resolution(few: bool) -> None:
    # 60 voxels on the coarse grid where every case has it, 600 where one in ten does
    grid = coarser(choose_geometry(CT), staged(CT, "3d").patch)
    changes = {"class_fractions": (0.02, 60 / prod(grid.shape)), "cases_with_class": (40, 4 if few else 40)}
    plan = staged(CT.model_copy(update=changes), None)
    assert (plan.spacing == CT.spacings[0]) is not few
    assert ("too few voxels of lesion" in plan.reasons["patch"]) is not few
    cascade = staged(CT.model_copy(update=changes), "cascade")
    assert cascade.first is not None


@pytest.mark.parametrize("kind", ["lowres", "cascade"])
def test_pictures_have_no_coarser_grid(kind: Kind) -> None:
    with pytest.raises(PlanError, match="Only volumes"):
        staged(SLICES, kind)


def test_so_many_classes_cannot_be_shown() -> None:
    many = Labels.from_names({f"class {k}": k for k in range(1, 300)})
    plan = staged(CT, "lowres").model_copy(update={"labels": many})
    with pytest.raises(PlanError, match="so many classes"):
        joined(plan, plan, None)


@pytest.mark.parametrize("seen", [CT, PROSTATE, BRAIN, HIPPOCAMPUS])
@pytest.mark.parametrize("patch", [(32, 64, 64), (64, 64, 64), (96, 96, 96)])
def test_it_is_the_finest_grid_on_which_a_quarter_is_seen(seen, patch) -> None:  # type: ignore[no-untyped-def]
    full = choose_geometry(seen)
    found = coarser(full, patch)
    assert 2 * prod(found.shape) <= prod(full.shape)
    assert min(prod(patch), prod(found.shape)) / prod(found.shape) >= COVERED
    extent = np.array(full.shape) * full.spacing
    np.testing.assert_allclose(
        np.array(found.shape) * found.spacing, extent, rtol=0.5 / min(found.shape) + 1e-6
    )
    ratio = np.array(found.spacing) / full.spacing
    finest = int(np.argmin(full.spacing))
    assert ratio[finest] == pytest.approx(ratio.max())  # fine axes give way first


@given(
    shape=st.tuples(*[st.integers(20, 400)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 5.0)] * 3),
    edge=st.integers(24, 128),
)
@settings(max_examples=30, deadline=None)
def test_every_volume_has_a_coarser_grid(shape, spacing, edge) -> None:  # type: ignore[no-untyped-def]
    from tests.planning.synthetic import make_fingerprint

    full = choose_geometry(make_fingerprint(shape, spacing))
    found = coarser(full, (edge, edge, edge))
    assert prod(found.shape) < prod(full.shape)
    assert 0 < coverage(found, (edge, edge, edge)) <= 1
    assert not calls_for_coarser(found, (edge, edge, edge))
