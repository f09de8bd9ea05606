"""Losses against formulas written out voxel by voxel, and their gradients against differences."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from tests.training.synthetic import make_plan
from torch import Tensor

from calque.errors import PlanError
from calque.heads import Decoder, Head
from calque.labels import Labels
from calque.planning import Objective, Plan
from calque.training.losses import LOSSES, Target, deep_loss, make_loss, supervision_weights

NESTED = (Head(name="both", values=(1, 2), paints=2), Head(name="small", values=(1,), paints=1))


def plan_with(regions: bool = False, **objective: object) -> Plan:
    changes: dict[str, object] = {"objective": Objective.model_validate(objective)}
    if regions:
        network = make_plan().network.model_copy(update={"outputs": 2})
        changes |= {"heads": NESTED, "network": network}
    return make_plan(**changes)


def random_case(outputs: int, seed: int = 0, batch: int = 2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, outputs, 2, 3, 4, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 4, (batch, 2, 3, 4), generator=generator)  # 3 counts nowhere


def voxels(labels: Tensor) -> list[tuple[int, ...]]:
    return list(itertools.product(*(range(n) for n in labels.shape[1:])))


def by_hand(
    logits: Tensor, labels: Tensor, weights: list[float], batch: bool, unknown: list[set[int]]
) -> float:
    """Cross-entropy minus Dice of three classes, with unknown classes of each sample joined to background."""
    entropy = share = 0.0
    overlap, size = [[0.0] * 3 for _ in labels], [[0.0] * 3 for _ in labels]
    for b in range(len(labels)):
        for v in voxels(labels):
            y = int(labels[(b, *v)])
            if y == 3:
                continue
            raw = [math.exp(float(logits[(b, k, *v)])) for k in range(3)]
            p = [r / sum(raw) for r in raw]
            p[0] += sum(p[k] for k in unknown[b])
            entropy -= weights[y] * math.log(p[y])
            share += weights[y]
            for k in range(3):
                overlap[b][k] += p[k] * (y == k)
                size[b][k] += p[k] + (y == k)
    terms = [(b, k) for b in range(len(labels)) for k in (1, 2) if k not in unknown[b]]
    if batch:
        kept = [k for k in (1, 2) if any(k == t[1] for t in terms)]
        pooled = [
            (sum(overlap[b][k] for b, n in terms if n == k), sum(size[b][k] for b, n in terms if n == k), k)
            for k in kept
        ]
    else:
        pooled = [(overlap[b][k], size[b][k], k) for b, k in terms]
    dice = sum(weights[k] * (2 * o + 1e-5) / (s + 1e-5) for o, s, k in pooled)
    return entropy / share - dice / sum(weights[k] for _, _, k in pooled)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("weights", [{}, {"small": 5.0, "background": 0.5}])
@pytest.mark.parametrize("unknown", [[set(), set()], [set(), {1}], [{2}, {1}]])
def test_classes_against_a_formula_by_hand(
    batch: bool, weights: dict[str, float], unknown: list[set[int]]
) -> None:
    logits, labels = random_case(3)
    for b, classes in enumerate(unknown):
        for k in classes:
            labels[b][labels[b] == k] = 0
    loss = make_loss(plan_with(batch_dice=batch, class_weights=weights, exclusion=0))
    known = torch.tensor([[k not in classes for k in range(3)] for classes in unknown])
    target = Target(labels, known if any(unknown) else None)
    wanted = by_hand(
        logits, labels, [weights.get(n, 1.0) for n in ("background", "small", "large")], batch, unknown
    )
    assert float(loss(logits, target)) == pytest.approx(wanted, rel=1e-6)


def test_regions_against_a_formula_by_hand() -> None:
    logits, labels = random_case(2)
    known = torch.tensor([[True, True, True], [True, True, False]])  # class 2 was not looked for
    labels[1][labels[1] == 2] = 0
    members = [{1, 2}, {1}]
    entropy, dice = 0.0, 0.0
    for k in range(2):
        cells, total = 0, 0.0
        for b in range(2):
            overlap = size = 0.0
            for v in voxels(labels):
                y = int(labels[(b, *v)])
                if y == 3 or (y == 0 and b == 1 and 2 in members[k]):
                    continue
                p, t = 1 / (1 + math.exp(-float(logits[(b, k, *v)]))), y in members[k]
                total -= math.log(p if t else 1 - p)
                cells += 1
                overlap, size = overlap + p * t, size + p + t
            dice += (2 * overlap + 1e-5) / (size + 1e-5) / 4
        entropy += total / cells / 2
    got = make_loss(plan_with(regions=True, loss="dice_bce"))(logits, Target(labels, known))
    assert float(got) == pytest.approx(entropy - dice, rel=1e-6)


def test_exclusion_against_a_formula_by_hand() -> None:
    logits, labels = random_case(3, batch=1)
    labels[labels == 2] = 0
    known = torch.tensor([[True, True, False]])
    without, with_it = (make_loss(plan_with(exclusion=e))(logits, Target(labels, known)) for e in (0.0, 2.0))
    p = torch.softmax(logits, 1)[0, 2] * (labels[0] < 3)
    taken = (labels[0] == 1).double()
    dice = 2 * (p * taken).sum() / (p.sum() + taken.sum() + 1e-5)
    torch.testing.assert_close(with_it - without, 2 * (dice + (taken * torch.log(1 + p)).mean()))


@pytest.mark.parametrize("name", sorted(LOSSES))
@pytest.mark.parametrize("partial", ["marginal", "ignore"])
def test_gradients_are_those_of_differences(name: str, partial: str) -> None:
    regions = LOSSES[name].regions
    loss = make_loss(plan_with(regions=regions, loss=name, partial=partial))
    logits, labels = random_case(2 if regions else 3)
    known = torch.tensor([[True, True, True], [True, False, True]])
    labels[1][labels[1] == 1] = 0
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, Target(labels, known)), (logits,))


@pytest.mark.parametrize("regions", [False, True])
def test_a_sure_and_right_answer_is_the_minimum(regions: bool) -> None:
    plan = plan_with(regions=regions, loss="dice_bce" if regions else "dice_ce")
    labels = torch.randint(0, 3, (1, 4, 4, 4), generator=torch.Generator().manual_seed(1))
    truth = torch.from_numpy(plan.decoder.members).float()[:, labels].movedim(0, 1)
    assert float(make_loss(plan)(100 * truth - 50, Target(labels))) == pytest.approx(-1.0, abs=1e-5)


def test_doubtful_background_counts_nowhere_where_it_is_to_be_ignored() -> None:
    logits, labels = random_case(3, batch=1)
    labels[labels == 1] = 0
    known = torch.tensor([[True, False, True]])
    loss = make_loss(plan_with(partial="ignore"))
    other = logits + 5 * (labels == 0)[:, None] * torch.randn(logits.shape, dtype=logits.dtype)
    torch.testing.assert_close(loss(logits, Target(labels, known)), loss(other, Target(labels, known)))


def test_marginal_loss_leaves_background_and_unknown_classes_to_each_other() -> None:
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.long)
    known = torch.tensor([[True, False, True]])
    loss = make_loss(plan_with(exclusion=0))
    sure = [50.0 * row.view(1, 3, 1, 1, 1).expand(1, 3, 2, 2, 2) for row in torch.eye(3)]
    background, unknown, known_class = (float(loss(one, Target(labels, known))) for one in sure)
    assert background == pytest.approx(unknown, abs=1e-5)
    assert known_class > background + 10


def test_weights_halve_and_the_coarsest_is_silent() -> None:
    assert supervision_weights(1) == [1.0]
    assert supervision_weights(4) == pytest.approx([4 / 7, 2 / 7, 1 / 7, 0.0])


def test_deep_supervision_scores_each_resolution_with_its_weight() -> None:
    generator = torch.Generator().manual_seed(3)
    fine, middle, coarse = (torch.randn(1, 3, n, n, n, generator=generator) for n in (8, 4, 2))
    labels = torch.zeros(1, 8, 8, 8, dtype=torch.long)
    labels[:, :4] = 1  # even halves: nearest resampling has one answer
    loss = make_loss(make_plan())
    want = 2 / 3 * loss(fine, Target(labels)) + 1 / 3 * loss(middle, Target(labels[:, ::2, ::2, ::2]))
    torch.testing.assert_close(deep_loss(loss, [fine, middle, coarse], Target(labels)), want)


@pytest.mark.parametrize(("regions", "name"), [(False, "dice_bce"), (True, "dice_ce"), (False, "hinge")])
def test_a_loss_that_is_not_there_or_is_for_other_outputs_is_refused(regions: bool, name: str) -> None:
    with pytest.raises(PlanError, match="no such loss"):
        make_loss(plan_with(regions=regions, loss=name))


def test_the_decoder_of_a_plan_knows_its_outputs() -> None:
    assert plan_with(regions=True, loss="dice_bce").decoder == Decoder(
        labels=Labels.from_names({"small": 1, "large": 2}), heads=NESTED
    )
