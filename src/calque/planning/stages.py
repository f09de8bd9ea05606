"""A coarser grid for a first look, and a cascade of two stages: when, how coarse, and who gets how much time.

After nnU-Net (Isensee et al., Nature Methods 2021): where a patch at full resolution covers less than a
quarter of the median image, a network on a coarser grid sees all of it, and a second one at full resolution
is shown what the first has found. How the first is trained: docs/decisions/cascade.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np

from calque.errors import PlanError
from calque.geometry import Shape
from calque.nets.config import MOST_PREVIOUS
from calque.planning.model import HALVES, Plan
from calque.planning.rules import Geometry, anisotropic, largest_patch, shrinking
from calque.planning.schedule import Schedule
from calque.planning.wishes import COARSE, Kind

COVERED = 0.25
"""Of the voxels of the median image: what a patch should show (nnU-Net's lowres_creation_threshold)."""
COARSER = 1.03
"""Spacing grows by this factor at a time (nnU-Net)."""
FEWER = 2.0
"""A coarse grid has at most one in so many of the voxels, or it is none (nnU-Net)."""
FIRST_SHARE = 0.2
"""Of the length of a cascade, for each training of the first stage."""
SECOND_SHARE = 1 - HALVES * FIRST_SHARE

FEWEST_VOXELS = 100.0
"""Of a class in a case that has it, on average: where a coarse grid leaves fewer it may lose the class."""

_FINER = 2.0  # axes that are finer than the coarsest by more than this grow first


def coverage(geometry: Geometry, patch: Shape) -> float:
    """Share of the voxels of the median image that a patch shows, at most 1."""
    return min(1.0, prod(patch) / prod(geometry.shape))


def calls_for_coarser(geometry: Geometry, patch: Shape) -> bool:
    """nnU-Net's rule, for volumes."""
    return geometry.dimensions == 3 and coverage(geometry, patch) < COVERED


def coarser(geometry: Geometry, patch: Shape) -> Geometry:
    """The least coarse grid where a patch of as many voxels as `patch` covers a quarter of the median image.

    Axes that are much finer than the coarsest give way first (nnU-Net); half of the voxels go in any case.
    """
    full, spacing = geometry, np.array(geometry.spacing)
    while True:
        behind = spacing.max() / spacing > _FINER
        spacing = spacing * np.where(behind, COARSER, 1.0) if behind.any() else spacing * COARSER
        geometry = _at(full, spacing)
        shown = next(
            (t.patch for t in shrinking(geometry, largest_patch(geometry)) if prod(t.patch) <= prod(patch)),
            patch,
        )
        enough = coverage(geometry, shown) >= COVERED and prod(full.shape) >= FEWER * prod(geometry.shape)
        if enough or max(geometry.shape) == 1:
            return geometry


def _at(geometry: Geometry, spacing: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Geometry:
    z, y, x = (
        max(1, round(n * old / new))
        for n, old, new in zip(geometry.shape, geometry.spacing, spacing, strict=True)
    )
    a, b, c = (float(s) for s in spacing)
    thick = geometry.separate_z and anisotropic((a, b, c))
    return replace(geometry, spacing=(a, b, c), shape=(z, y, x), separate_z=thick)


def plan_stages(
    full: Geometry, kind: Kind | None, plan_on: Callable[[Geometry, float], Plan], seconds: float | None
) -> Plan:
    """One plan on the full grid or on a coarser one, or two as a cascade.

    Args:
        full: the grid at full resolution.
        kind: what was asked for; None: left to the planner.
        plan_on: decides everything else for a grid and a share of the length.
        seconds: of everything; None where steps are counted.

    Raises:
        PlanError: a coarser grid is asked for, of pictures or slices.
    """
    if kind not in COARSE:
        plan = plan_on(full, 1.0)
        if not calls_for_coarser(full, plan.patch):
            return plan
        return _called_for(full, plan, plan_on) if kind is None else _noted(plan, full, "asked for")
    if full.dimensions == 2:
        raise PlanError("Only volumes are looked at on a coarser grid", got=f"pictures, and --kind {kind}")
    if kind == "lowres":
        return _low_resolution(full, plan_on(full, 1.0).patch, lambda found: plan_on(found, 1.0))
    second = plan_on(full, SECOND_SHARE)
    first = _low_resolution(full, second.patch, lambda found: plan_on(found, FIRST_SHARE))
    return joined(second, first, seconds)


def lost(plan: Plan, coarse: Geometry) -> tuple[str, ...]:
    """Classes of which a coarse grid leaves too few voxels to be learned."""
    seen, voxels = plan.fingerprint, prod(coarse.shape)
    return tuple(
        name
        for name, share, cases in zip(
            plan.labels.names, seen.class_fractions, seen.cases_with_class, strict=True
        )
        if cases and share * voxels * seen.cases / cases < FEWEST_VOXELS
    )


def _called_for(full: Geometry, plan: Plan, plan_on: Callable[[Geometry, float], Plan]) -> Plan:
    """On the coarser grid that the rule calls for, unless that loses a class.

    Args:
        full: the grid at full resolution.
        plan: on it.
        plan_on: as of `plan_stages`.
    """
    gone = lost(plan, coarser(full, plan.patch))
    if gone:
        return _noted(plan, full, f"a coarser grid would leave too few voxels of {', '.join(gone)}")
    low = _low_resolution(full, plan.patch, lambda found: plan_on(found, 1.0))
    why = (
        f"{low.reasons['spacing']}. Where things lie is worth more than detail (docs/decisions/cascade.md); "
        "--kind 3d keeps full resolution, --kind cascade takes both, for several times the time"
    )
    return low.model_copy(update={"reasons": low.reasons | {"spacing": why}})


def _noted(plan: Plan, full: Geometry, why: str) -> Plan:
    words = (
        f"{plan.reasons['patch']}; it shows {coverage(full, plan.patch):.1%} of it, under {COVERED:.0%}, at "
        f"full resolution: {why}; --kind lowres and --kind cascade see more"
    )
    return plan.model_copy(update={"reasons": plan.reasons | {"patch": words}})


def _low_resolution(full: Geometry, patch: Shape, plan_on: Callable[[Geometry], Plan]) -> Plan:
    """The plan on the coarser grid; `patch` is what is seen at full resolution."""
    found = coarser(full, patch)
    plan = plan_on(found)
    if coverage(found, plan.patch) < COVERED:  # less time, or less memory, than the patch had
        found = coarser(full, plan.patch)
        plan = plan_on(found)
    why = (
        f"coarser: at {_mm(full.spacing)} a patch of {_by(patch)} shows {coverage(full, patch):.1%} of the "
        f"median case, {_by(full.shape)}; at this spacing {_by(plan.patch)} shows "
        f"{coverage(found, plan.patch):.0%} of {_by(found.shape)}"
    )
    return plan.model_copy(update={"reasons": plan.reasons | {"spacing": why}})


def joined(second: Plan, first: Plan, seconds: float | None) -> Plan:
    """Both stages as one plan.

    Args:
        second: at full resolution, as if it stood alone.
        first: on the coarser grid, with its share of the length.
        seconds: of both together; None where steps are counted, which `second` has its share of.

    Raises:
        PlanError: there are too many classes.
    """
    classes = len(second.labels.classes)
    if classes > MOST_PREVIOUS:
        raise PlanError(
            "A second stage cannot be shown so many classes", expected=f"at most {MOST_PREVIOUS}", got=classes
        )
    why = (
        f"{first.reasons['spacing']}. What it finds is shown to the second stage; it is trained {HALVES} "
        f"times, on halves of the patients, with {FIRST_SHARE:.0%} of the length each, so that the second "
        "stage learns from predictions of unseen cases (docs/decisions/cascade.md)"
    )
    schedule = second.schedule if seconds is None else Schedule(seconds=seconds)
    network = second.network.model_copy(update={"previous": classes})
    changes = {
        "network": network.model_dump(),
        "first": first.model_dump(),
        "schedule": schedule.model_dump(),
        "reasons": second.reasons | {"first": why},
    }
    return Plan.model_validate(second.model_dump() | changes)


def _mm(spacing: tuple[float, float, float]) -> str:
    return " x ".join(f"{s:.3g}" for s in spacing) + " mm"


def _by(shape: Shape) -> str:
    return " x ".join(map(str, shape))
