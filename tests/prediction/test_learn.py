"""What a model learns of its own predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from calque.errors import InputError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.nets import NetworkConfig, build
from calque.planning import Normalisation
from calque.planning.machine import fast_bf16, find_machine
from calque.prediction import (
    Calibration,
    Learned,
    MirrorTrial,
    Parity,
    PredictOptions,
    Predictor,
    learn,
    measure_parity,
    merge_learned,
)
from calque.prediction import predictor as predictor_module
from calque.prediction.calibrate import Confidences
from calque.prediction.confidence import Agreement, unlike_training
from calque.prediction.last_layer import LastLayer
from calque.prediction.learned import Line
from calque.prediction.parity import compare

from .fakes import Threshold, image_on, threshold_plan
from .test_postprocess import step

GRID = Grid.from_parts((12, 12, 12), (1, 1, 1))
OPTIONS = PredictOptions(engine="torch", precision="f32", mirror="off")
ROUGH = Parity(precision="bf16", engine="torch", cases=2, same=0.9, dice=0.9)
FINE = ROUGH.model_copy(update={"dice": 0.9995})


class Lopsided(nn.Module):
    """Right in one half of each window, and wrong in the other: mirroring shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        ramp = torch.linspace(2.0, -0.9, x.shape[-1])
        first = x[:, :1] * (1 + ramp) / 1.5 + self.shift
        return [torch.cat([torch.zeros_like(first), first - 0.5, 2 * first - 2.5], dim=1)]


def case(seed: int) -> tuple[Image, LabelMap]:
    array = (np.random.default_rng(seed).random(GRID.shape) > 0.6).astype(np.float32)
    plan = threshold_plan()
    return image_on(GRID, array), LabelMap(plan.labels.to_values(array.astype(np.uint8)), GRID, plan.labels)


def test_everything_is_learned_in_one_go():
    plan = threshold_plan()
    found = learn(plan, [Lopsided()], (case(seed) for seed in range(6)), OPTIONS)
    assert [trial.mode for trial in found.mirror] == ["off", "interleaved", "full"]
    assert [trial.runs for trial in found.mirror] == [1, 1, 8]
    off, _, full = (trial.dice for trial in found.mirror)
    assert full > off
    assert found.best_mirror == "full"
    assert found.parity[0].cases == 3
    assert found.calibration is not None
    assert found.calibration.cases == 6
    predictor = Predictor(plan, [Lopsided()], PredictOptions(engine="torch", precision="f32"), learned=found)
    assert predictor.tiling.mirror == "full"


def test_the_cheapest_of_nearly_equal_mirrorings_is_taken():
    trials = [
        MirrorTrial(mode="off", dice=0.900, runs=1),
        MirrorTrial(mode="interleaved", dice=0.9015, runs=1),
        MirrorTrial(mode="full", dice=0.902, runs=8),
    ]
    assert Learned(mirror=tuple(trials)).best_mirror == "interleaved"
    assert Learned(mirror=(trials[0],)).best_mirror == "off"
    assert Learned().best_mirror == "interleaved"


def test_temperature_makes_confident_mistakes_less_confident():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 4000)
    logits = np.eye(3)[true] * 2 + rng.normal(size=(4000, 3))
    honest = Confidences([logits.astype(np.float32)], [true], cases=1).fit()
    loud = Confidences([(5 * logits).astype(np.float32)], [true], cases=1).fit()
    assert honest is not None
    assert loud is not None
    assert loud.temperature == pytest.approx(5 * honest.temperature, rel=0.02)
    assert Confidences().fit() is None


def test_expected_dice_follows_the_cases():
    agreement = list(np.linspace(0.5, 1, 12))
    empty = np.zeros((1, 3), np.float32)
    found = Confidences(
        [empty], [np.zeros(1, np.int64)], agreement, [0.8 * a + 0.1 for a in agreement], cases=12
    ).fit()
    assert found is not None
    assert found.expected(0.6) == pytest.approx(0.58)
    assert found.error == pytest.approx(0, abs=1e-9)
    assert Calibration(slope=9.0, cases=1).expected(1.0) == 1.0


def test_agreement_that_says_nothing_foretells_the_mean():
    """One window a case agrees with itself, however wrong it is."""
    empty, dice = np.zeros((1, 3), np.float32), list(np.linspace(0.6, 0.9, 12))
    for agreement in ([1.0] * 12, list(np.linspace(1, 0.5, 12))):
        found = Confidences([empty], [np.zeros(1, np.int64)], agreement, dice, cases=12).fit()
        assert found is not None
        assert found.expected(1.0) == pytest.approx(0.75)
        assert found.error == pytest.approx(np.abs(np.array(dice) - 0.75).mean())


def test_confidence_falls_where_windows_disagree():
    options = PredictOptions(engine="torch", precision="f32", mirror="full", confidence=True, entropy=True)
    image = case(0)[0]
    sure = Predictor(threshold_plan(), [Threshold()], options)(image)
    torn = Predictor(threshold_plan(), [Lopsided()], options)(image)
    assert sure.confidence["organ"].agreement == 1.0
    assert torn.confidence["organ"].agreement < 0.95
    assert sure.entropy is not None
    assert (sure.entropy.shape, sure.entropy.dtype) == (GRID.shape, np.float16)


def test_entropy_is_that_of_the_probabilities():
    options = OPTIONS.model_copy(update={"entropy": True, "probabilities": True})
    learned = Learned(calibration=Calibration(temperature=2.0, cases=3))
    found = Predictor(threshold_plan(), [Threshold()], options, learned=learned)(case(1)[0])
    p = found.probabilities
    expected = -(p * np.log(p)).sum(0) / np.log(3)
    np.testing.assert_allclose(found.entropy, expected, atol=1e-3)


# Folds


def test_folds_that_disagree_are_less_sure():
    network = NetworkConfig(
        kind="plain", inputs=1, outputs=3, features=(4, 8), strides=((1, 1, 1), (2, 2, 2)),
        kernels=((3, 3, 3),) * 2, blocks=(1, 1), decoder_blocks=(1,),
    )  # fmt: skip
    plan = threshold_plan(network=network, patch=(8, 8, 8))
    same, other = build(network, seed=0).eval(), build(network, seed=1).eval()
    image = image_on(GRID, np.random.default_rng(0).normal(size=GRID.shape).astype(np.float32))
    options = OPTIONS.model_copy(update={"confidence": True})
    alone = Predictor(plan, [same], options)(image)
    twins = Predictor(plan, [same, same], options)(image)
    torn = Predictor(plan, [same, other], options)(image)
    plain = Predictor(plan, [same, other], OPTIONS)(image)
    np.testing.assert_array_equal(torn.label_map.array, plain.label_map.array)
    np.testing.assert_array_equal(twins.label_map.array, alone.label_map.array)
    assert all(one.fold_agreement is None for one in alone.confidence.values())
    for one in twins.confidence.values():
        assert one.fold_agreement == pytest.approx(one.agreement)
    mean = np.mean([one.fold_agreement for one in torn.confidence.values()])
    assert mean < np.mean([one.agreement for one in torn.confidence.values()]) - 0.1
    assert all(
        one.expected_dice == min(one.agreement, one.fold_agreement) for one in torn.confidence.values()
    )


def test_the_agreement_of_folds_is_that_of_the_definition():
    """One window, two folds: Dice of each fold's labels and the mean's, counted by hand."""
    decoder = threshold_plan().decoder
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(4, 5, 5, 5)).astype(np.float32))
    own = [
        LastLayer(torch.from_numpy(rng.normal(size=(3, 2)).astype(np.float32)), torch.zeros(3)) for _ in "ab"
    ]
    last = LastLayer(torch.cat([o.weight for o in own], 1) / 2, torch.zeros(3), tuple(own))
    seen = Agreement(decoder, last)
    seen.window((0, 0, 0), features)
    seen.finished(slice(0, 5), features.numpy())
    mean = last(features).argmax(0)
    folds = [own[k](features[2 * k : 2 * k + 2]).argmax(0) for k in range(2)]
    for value, found in seen.fold_dice().items():
        hits = sum(int(((f == value) & (mean == value)).sum()) for f in folds)
        sizes = sum(int((f == value).sum()) + int((mean == value).sum()) for f in folds)
        assert found == pytest.approx(2 * hits / sizes)
    assert seen.dice() == {1: 1.0, 2: 1.0}


def test_the_line_that_missed_less_foretells():
    line = Line(slope=0.5, intercept=0.1, error=0.02)
    assert Calibration(error=0.05, folds=line, cases=9).expected(0.9, 0.8) == pytest.approx(0.5)
    assert Calibration(error=0.01, folds=line, cases=9).expected(0.9, 0.8) == pytest.approx(0.9)
    assert Calibration(error=0.05, folds=line, cases=9).expected(0.9) == pytest.approx(0.9)
    agreement = list(np.linspace(0.5, 1, 12))
    noisy = [a + 0.1 * (-1) ** k for k, a in enumerate(agreement)]
    parts = [np.zeros((1, 3), np.float32)], [np.zeros(1, np.int64)]
    found = Confidences(*parts, noisy, [0.8 * a + 0.1 for a in agreement], cases=12, folds=agreement).fit()
    assert found is not None
    assert found.folds is not None
    assert found.expected(0.2, 0.6) == pytest.approx(0.58)


# Parity


def test_parity_is_counted_over_all_images():
    one, other = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    one[:2], other[:3] = 1, 1
    found = compare([(one, other), (one, one)], "bf16", "torch")
    assert (found.cases, found.same) == (2, 28 / 32)
    assert found.dice == pytest.approx(2 * 16 / 36)
    assert not found.admitted
    assert compare([(one, one)], "bf16", "torch").admitted
    with pytest.raises(InputError):
        compare([], "bf16", "torch")


def test_parity_of_a_model_is_measured_on_whole_images():
    found = measure_parity(threshold_plan(), [Threshold()], [case(0)[0], case(1)[0]], OPTIONS)
    assert (found.precision, found.cases, found.same, found.dice) == ("bf16", 2, 1.0, 1.0)


@pytest.mark.parametrize(("record", "expected"), [(FINE, "bf16"), (ROUGH, "f32")])
def test_automatic_precision_follows_the_record(record, expected, monkeypatch):
    monkeypatch.setattr(predictor_module, "computes_in_bf16", lambda _: True)
    options = PredictOptions(engine="torch", mirror="off")
    predictor = Predictor(threshold_plan(), [Threshold()], options, learned=Learned(parity=(record,)))
    assert predictor.engine.precision == expected


def test_a_model_without_a_record_is_checked_on_the_first_image(monkeypatch, tmp_path):
    monkeypatch.setattr(predictor_module, "computes_in_bf16", lambda _: True)
    options = PredictOptions(engine="torch", mirror="off", cache=tmp_path)
    predictor = Predictor(threshold_plan(), [Threshold()], options)
    assert predictor.undecided
    predictor(case(0)[0])
    assert predictor.parity is not None
    assert predictor.parity.admitted
    assert predictor.engine.precision == "bf16"
    assert len(list((tmp_path / "parity").iterdir())) == 1
    again = Predictor(threshold_plan(), [Threshold()], options)
    monkeypatch.setattr(predictor_module, "quick_parity", None)  # it is remembered
    again.warm_up(case(1)[0])
    assert again.engine.precision == "bf16"


def test_a_processor_without_bf16_is_not_asked(monkeypatch):
    monkeypatch.setattr(predictor_module, "computes_in_bf16", lambda _: False)
    predictor = Predictor(threshold_plan(), [Threshold()], PredictOptions(engine="torch"))
    predictor(case(0)[0])
    assert (predictor.engine.precision, predictor.parity) == ("f32", None)
    assert isinstance(fast_bf16(find_machine()), bool)


# Folds


def test_folds_together_know_what_each_of_them_knows():
    first = Learned(
        parity=(FINE,),
        mirror=(MirrorTrial(mode="off", dice=0.8, runs=1), MirrorTrial(mode="full", dice=0.9, runs=8)),
        postprocessing=(step(2, "largest"), step(5, "small", 0.3)),
        calibration=Calibration(temperature=1.0, cases=4),
    )
    second = Learned(
        parity=(ROUGH,),
        mirror=(MirrorTrial(mode="off", dice=0.9, runs=1),),
        postprocessing=(step(5, "small", 0.1),),
        calibration=Calibration(temperature=2.0, cases=6),
    )
    both = merge_learned([first, second])
    assert both.parity_of("bf16") == ROUGH
    assert [(t.mode, t.dice) for t in both.mirror] == [("off", pytest.approx(0.85))]
    assert [(s.value, s.ml) for s in both.postprocessing] == [(5, 0.1)]
    assert both.calibration is not None
    assert (both.calibration.temperature, both.calibration.cases) == (1.5, 10)


# Unlike the training data


def test_images_unlike_the_training_data_are_named():
    plan = threshold_plan(normalisation=(Normalisation(scheme="ct", low=-500, high=500),))
    like = image_on(Grid.from_parts((8, 8, 8), (1, 1, 1)), np.linspace(-1, 1, 512).reshape(8, 8, 8))
    assert unlike_training(like, plan) == ()
    thick = image_on(Grid.from_parts((8, 8, 8), (4, 1, 1)), like.array)
    assert [w.split(" along")[0] for w in unlike_training(thick, plan)] == ["spacing", "extent"]
    shifted = image_on(like.grid, like.array + 1000)
    assert any("0.0 % of the voxels" in w for w in unlike_training(shifted, plan))
    positive = image_on(like.grid, np.abs(like.array))
    assert any("Hounsfield" in w for w in unlike_training(positive, plan))
    brain = plan.model_copy(update={"normalisation": (Normalisation(scheme="zscore"),)})
    assert unlike_training(shifted, brain) == ()
    flat = image_on(like.grid, np.full(like.grid.shape, 7.0))
    assert any("value 7 everywhere" in w for w in unlike_training(flat, brain))
    nothing = plan.fingerprint.model_copy(update={"spacings": (), "shapes": ()})
    assert unlike_training(thick, plan.model_copy(update={"fingerprint": nothing})) == ()
    stored = plan.model_copy(update={"orientation": "stored"})
    turned = image_on(Grid.from_parts((8, 8, 8), (1, 1, 1), direction=np.eye(3)), like.array)
    assert any("axes run" in w for w in unlike_training(turned, stored))
    assert unlike_training(turned, plan) == ()
