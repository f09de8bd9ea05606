"""Imported models against nnU-Net: its rules said again in numpy, and what it predicted itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calque.geometry import Grid
from calque.image import Image
from calque.interop.nnunet import import_nnunet
from calque.io import read_image, read_labels
from calque.model import Model
from calque.prediction import PredictOptions, measure_parity
from calque.preparation import prepare_image

from . import foreign_models as fm
from . import reference

SPACINGS = (0.5, 0.8, 1.0, 1.3, 3.5, 6.0)
TRANSPOSES = ([0, 1, 2], [1, 0, 2], [2, 0, 1], [1, 2, 0])


class Way(NamedTuple):
    """From an image's lattice to a plan's."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    dimensions: int
    target: tuple[float, ...]
    transpose: list[int]
    seed: int


@st.composite
def ways(draw: st.DrawFn) -> Way:
    dimensions = draw(st.sampled_from((2, 3)))
    return Way(
        draw(st.tuples(*[st.integers(4, 11)] * 3)),
        draw(st.tuples(*[st.sampled_from(SPACINGS)] * 3)),
        dimensions,
        draw(st.tuples(*[st.sampled_from(SPACINGS)] * dimensions)),
        draw(st.sampled_from(TRANSPOSES)),
        draw(st.integers(0, 99)),
    )


def imported(folder: Path, part: dict[str, Any], transpose: list[int], **changes: Any) -> Model:
    dimensions, channels = len(part["patch_size"]), len(part["normalization_schemes"])
    plan = fm.plans({"model": part}, channels, transpose_forward=transpose, **changes)
    tensors = fm.weights(fm.network("plain", dimensions, channels))
    return import_nnunet(fm.write(folder, plan, fm.dataset(channels), {"0": fm.checkpoint(tensors, "model")}))


def oblique(shape: tuple[int, ...], spacing: tuple[float, ...], seed: int, channels: int = 1) -> Image:
    """An image with flipped, tilted axes, of which nnU-Net sees none, in a frame of zeros."""
    random = np.random.default_rng(seed)
    array = random.normal(3, 2, (channels, *shape)).astype(np.float32)
    array[:, 0], array[:, :, -1] = 0, 0
    array[:, shape[0] // 2, shape[1] // 2, shape[2] // 2] = 0  # a hole, which belongs to the body
    direction = np.linalg.qr(random.normal(size=(3, 3)))[0]
    grid = Grid.from_parts(shape, spacing, (3, -4, 5), direction)
    return Image(array, grid, tuple(f"C{k}" for k in range(channels)))


@given(way=ways())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_networks_see_what_nnunet_shows_them(tmp_path: Path, way: Way) -> None:
    part = fm.configuration(way.dimensions, 2, spacing=way.target, use_mask_for_norm=[False, True])
    image = oblique(way.shape, way.spacing, way.seed, channels=2)
    prepared = prepare_image(image, imported(tmp_path, part, way.transpose).plan)
    expected = reference.preprocess(image.array, way.spacing, part, way.transpose)
    assert prepared.array.shape == expected.shape
    np.testing.assert_allclose(prepared.array, expected, atol=2e-4)


@given(way=ways())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_labels_lie_where_nnunet_puts_them(tmp_path: Path, way: Way) -> None:
    """A network that gives an image's own channels as logits, and the way there and back."""
    part = fm.configuration(
        way.dimensions,
        3,
        spacing=way.target,
        normalization_schemes=["NoNormalization"] * 3,
    )
    model = imported(tmp_path, part, way.transpose)
    random = np.random.default_rng(way.seed)
    image = oblique(way.shape, way.spacing, way.seed, channels=3)
    image = Image(random.normal(5, 1, image.array.shape), image.grid, image.channels)
    predictor = model.predictor(PredictOptions(mirror="off", precision="f32", engine="torch"))
    predictor.engine = _Copy()
    seen = prepare_image(image, model.plan).array
    expected = reference.postprocess(seen.astype(np.float64), way.shape, way.spacing, part, way.transpose)
    got = predictor(image).label_map
    assert got.grid == image.grid
    assert (got.array == expected).mean() > 0.99  # ties of float32 against float64


class _Copy:
    """An engine whose logits are its input."""

    name, precision, streams, last = "copy", "f32", 1, None

    def __call__(self, windows: torch.Tensor) -> torch.Tensor:
        return windows.clone()

    def rest(self) -> None:
        """It holds nothing."""


# What nnU-Net 2.8.1 itself predicted


@pytest.fixture(scope="module")
def genuine(data_root: Path) -> Model:
    return import_nnunet(data_root / "nnunet-model" / "results")


def _compare(model: Model, root: Path, mirror: str, cases: list[Path]) -> float:
    """Share of voxels on which Calque and nnU-Net differ; each must be all but a tie."""
    options = PredictOptions(mirror=mirror, precision="f32", engine="torch", probabilities=True)  # type: ignore[arg-type]
    predictor = model.predictor(options)
    different = voxels = 0
    for path in cases:
        source = root / "hippocampus" / "imagesTr" / path.name
        prediction = predictor(read_image(source))
        theirs = read_labels(path, model.plan.labels)
        assert prediction.label_map.grid.isclose(theirs.grid)
        assert prediction.probabilities is not None
        wrong = prediction.label_map.array != theirs.array
        first, second = np.sort(prediction.probabilities[:, wrong], axis=0)[[-1, -2]]
        # nnU-Net sums weighted logits in half precision: its own rounding decides such voxels
        assert (first - second < 1e-3).all()
        different, voxels = different + int(wrong.sum()), voxels + wrong.size
    return different / voxels


@pytest.mark.data
@pytest.mark.parametrize("mirror", ["off", "full"])
def test_labels_are_those_of_nnunet(genuine: Model, data_root: Path, mirror: str) -> None:
    cases = sorted((data_root / "nnunet-model" / "predictions" / f"mirror-{mirror}").glob("*.nii.gz"))
    assert len(cases) == 20
    assert _compare(genuine, data_root, mirror, cases[:3]) <= 1e-4


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("mirror", ["off", "full"])
def test_labels_of_all_cases_are_those_of_nnunet(genuine: Model, data_root: Path, mirror: str) -> None:
    cases = sorted((data_root / "nnunet-model" / "predictions" / f"mirror-{mirror}").glob("*.nii.gz"))
    assert len(cases) == 20
    assert _compare(genuine, data_root, mirror, cases) <= 1e-4


@pytest.mark.data
def test_bf16_is_admitted_for_a_half_trained_model(genuine: Model, data_root: Path) -> None:
    cases = sorted((data_root / "nnunet-model" / "predictions" / "mirror-off").glob("*.nii.gz"))[:6]
    images = (read_image(data_root / "hippocampus" / "imagesTr" / path.name) for path in cases)
    parity = measure_parity(genuine.plan, genuine.networks(), images)
    assert parity.admitted, parity


@pytest.mark.data
def test_probabilities_are_those_of_nnunet(genuine: Model, data_root: Path) -> None:
    files = sorted((data_root / "nnunet-model" / "predictions" / "mirror-off").glob("*.npz"))
    assert len(files) == 3
    options = PredictOptions(mirror="off", precision="f32", engine="torch", probabilities=True)
    predictor = genuine.predictor(options)
    for path in files:
        image = read_image(data_root / "hippocampus" / "imagesTr" / f"{path.stem}.nii.gz")
        ours, theirs = predictor(image).probabilities, np.load(path)["probabilities"]
        assert ours is not None
        gap = np.abs(ours - theirs).max(axis=0)
        # far from the window's middle nnU-Net's half-precision weights have two or three digits left
        assert gap[6:-6, 6:-6, 6:-6].max() < 5e-4
        assert gap.max() < 1e-2
        assert np.quantile(gap, 0.999) < 5e-4
