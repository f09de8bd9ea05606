"""With nnU-Net's own weights, nnU-Net's own masks come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from calque.io import read_image, read_labels
from calque.labels import Labels
from calque.nets import NetworkConfig, build
from calque.planning import Augmentation, Normalisation, Plan
from calque.prediction import PredictOptions, Predictor

from ..preparation.synthetic import make_plan

pytestmark = pytest.mark.data
LABELS = Labels.from_names({"Anterior": 1, "Posterior": 2})
CASES = 3


def nnunet_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint, read without running anything in it."""
    plain = [np._core.multiarray.scalar, np.dtype, *(type(np.dtype(t)) for t in (np.float32, np.float64))]
    with torch.serialization.safe_globals(plain):
        state = torch.load(folder / "checkpoint_final.pth", map_location="cpu", weights_only=True)
    # nnU-Net stores each convolution twice, and the encoder again within the decoder
    return {
        k: v
        for k, v in state["network_weights"].items()
        if "all_modules" not in k and "decoder.encoder" not in k
    }


@pytest.fixture(scope="module")
def plan() -> Plan:
    network = NetworkConfig(
        kind="plain", inputs=1, outputs=3, features=(16, 32, 64, 128), strides=((1, 1, 1), *((2, 2, 2),) * 3),
        kernels=((3, 3, 3),) * 4, blocks=(2,) * 4, decoder_blocks=(2,) * 3,
    )  # fmt: skip
    return make_plan(
        labels=LABELS, network=network, patch=(40, 56, 40), orientation="SAR",
        normalisation=(Normalisation(scheme="zscore"),), augmentation=Augmentation(),
    )  # fmt: skip


@pytest.mark.parametrize("mirror", ["off", "full"])
def test_masks_are_nnunets_but_for_ties(plan, data_root, mirror):
    """nnU-Net adds windows in float16, in steps of a thousandth: as near are two classes where we differ."""
    source = data_root / "nnunet-model"
    network = build(plan.network)
    network.load_state_dict(nnunet_weights(source / "results" / "fold_0"))
    options = PredictOptions(mirror=mirror, precision="f32", probabilities=True)
    predictor = Predictor(plan, [network], options)
    for path in sorted((source / "predictions" / f"mirror-{mirror}").glob("*.nii.gz"))[:CASES]:
        ours = predictor(read_image(data_root / "hippocampus" / "imagesTr" / path.name))
        theirs = read_labels(path, LABELS)
        assert ours.label_map.grid.isclose(theirs.grid)
        best = np.sort(ours.probabilities, axis=0)
        differs = ours.label_map.array != theirs.array
        assert np.count_nonzero(differs) <= 1e-4 * differs.size
        assert (best[-1] - best[-2])[differs].max(initial=0) < 2e-3


def test_probabilities_are_nnunets(plan, data_root):
    source = data_root / "nnunet-model"
    network = build(plan.network)
    network.load_state_dict(nnunet_weights(source / "results" / "fold_0"))
    options = PredictOptions(mirror="off", precision="f32", probabilities=True)
    path = sorted((source / "predictions" / "mirror-off").glob("*.npz"))[0]
    ours = Predictor(plan, [network], options)(
        read_image(data_root / "hippocampus" / "imagesTr" / f"{path.stem}.nii.gz")
    )
    with np.load(path) as theirs:
        np.testing.assert_allclose(ours.probabilities, theirs["probabilities"], atol=2e-3)
