"""From fingerprints to geometry and topology; the expected values are nnU-Net's where it has them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.planning.rules import (
    MIN_EDGE,
    anisotropic,
    choose_geometry,
    choose_normalisation,
    largest_patch,
    network,
    shrinking,
    target_spacing,
    topology,
)

from .synthetic import BRAIN, CT, HIPPOCAMPUS, KINDS, PROSTATE, SLICES, TINY, make_fingerprint


def test_hippocampus_as_nnunet_plans_it() -> None:
    geometry = choose_geometry(HIPPOCAMPUS)
    assert (geometry.spacing, geometry.shape, geometry.dimensions) == ((1, 1, 1), (36, 50, 35), 3)
    chosen = topology(geometry.spacing, largest_patch(geometry))
    assert chosen.patch == (40, 56, 40)  # plans.json of the genuine nnU-Net for this dataset
    assert chosen.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    assert set(chosen.kernels) == {(3, 3, 3)}


def test_thick_slices_begin_with_flat_kernels_and_flat_pooling() -> None:
    geometry = choose_geometry(PROSTATE)
    assert geometry.separate_z
    assert geometry.spacing == (3.6, 0.6, 0.6)
    chosen = topology(geometry.spacing, (20, 320, 256))  # nnU-Net's patch for MSD Task05
    assert chosen.kernels == ((1, 3, 3), (1, 3, 3), *(((3, 3, 3),) * 5))
    assert chosen.strides == ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2))


def test_ct_gets_a_cube_in_millimetres() -> None:
    geometry = choose_geometry(CT)
    assert not geometry.separate_z
    z, y, x = largest_patch(geometry)
    assert y == x
    assert 0.7 < (z * 1.5) / (y * 0.8) < 1.4
    smaller = next(t for t in shrinking(geometry, (z, y, x)) if np.prod(t.patch) <= 128**3)
    assert np.prod(smaller.patch) > 96**3
    assert 0.4 < (smaller.patch[0] * 1.5) / (smaller.patch[1] * 0.8) < 2


def test_the_thick_axis_comes_first_wherever_it_was() -> None:
    sagittal = make_fingerprint((320, 320, 20), (0.6, 0.6, 3.6), orientation="SPL")
    geometry = choose_geometry(sagittal)
    assert geometry.orientation == "LSP"
    assert geometry.spacing == (3.6, 0.6, 0.6)
    assert geometry.shape == (20, 320, 320)
    assert geometry.fingerprint.shapes[0] == (20, 320, 320)
    assert geometry.separate_z


def test_one_slice_is_two_dimensional_whichever_axis_it_lies_on() -> None:
    geometry = choose_geometry(SLICES)
    assert (geometry.dimensions, geometry.shape, geometry.separate_z) == (2, (1, 256, 256), False)
    coronal = choose_geometry(make_fingerprint((256, 1, 200), (1.0, 5.0, 1.0)))
    assert (coronal.dimensions, coronal.orientation, coronal.shape) == (2, "PSL", (1, 256, 200))
    chosen = topology(geometry.spacing, largest_patch(geometry), 2)
    assert chosen.patch == (1, 256, 256)
    assert all(k[0] == 1 for k in chosen.kernels)
    assert all(s[0] == 1 for s in chosen.strides)


def test_spacing_of_mixed_thick_slices_follows_the_thinner_ones() -> None:
    seen = make_fingerprint((24, 320, 320), (4.0, 0.5, 0.5), cases=10)
    mixed = seen.model_copy(update={"spacings": tuple((z, 0.5, 0.5) for z in (2, 2, 3, 4, 4, 4, 4, 4, 4, 5))})
    assert target_spacing(mixed) == (pytest.approx(2.0), 0.5, 0.5)
    assert target_spacing(CT) == (1.5, 0.8, 0.8)


def test_anisotropic_means_one_axis_alone() -> None:
    assert anisotropic((3.6, 0.6, 0.6))
    assert not anisotropic((1.25, 0.24, 1.25))
    assert not anisotropic((1.5, 0.8, 0.8))


@given(
    spacing=st.tuples(*[st.floats(0.3, 6.0)] * 3),
    patch=st.tuples(*[st.integers(1, 200)] * 3),
    dimensions=st.sampled_from([2, 3]),
)
@settings(max_examples=150, deadline=None)
def test_topologies_are_sound(spacing, patch, dimensions) -> None:
    patch = (1, *patch[1:]) if dimensions == 2 else patch
    chosen = topology(spacing, patch, dimensions)
    divisor = np.prod(chosen.strides, axis=0)
    assert len(chosen.strides) == len(chosen.kernels)
    assert (np.array(chosen.patch) % divisor == 0).all()
    assert (np.array(chosen.patch) >= patch).all()
    assert (np.array(chosen.patch) - patch < divisor).all()
    halved = divisor > 1
    assert (np.array(chosen.patch)[halved] / divisor[halved] >= MIN_EDGE).all()
    for earlier, later in zip(chosen.kernels, chosen.kernels[1:], strict=False):
        assert all(b >= a for a, b in zip(earlier, later, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shrinks_to_something_small_and_stays_buildable(kind: str) -> None:
    geometry = choose_geometry(KINDS[kind])
    options = list(shrinking(geometry, largest_patch(geometry)))
    sizes = [np.prod(o.patch) for o in options]
    assert all(a > b for a, b in itertools.pairwise(sizes))
    assert sizes[-1] <= 16**3 * 3
    for option in (options[0], options[-1]):
        config = network(option, "plain", 16, 1, 3, geometry.dimensions)
        assert len(config.features) >= 2
        assert max(config.features) <= 512


def test_tiny_volumes_are_padded_to_what_a_network_needs() -> None:
    patch = largest_patch(choose_geometry(TINY))
    assert len(topology((2.0, 2.0, 2.0), patch).strides) >= 2
    assert np.prod(patch) <= 16**3


def test_residual_encoders_have_nnunets_blocks() -> None:
    chosen = topology((1.0, 1.0, 1.0), (128, 128, 128))
    config = network(chosen, "residual", 32, 1, 2, 3)
    assert config.features == (32, 64, 128, 256, 320, 320)
    assert config.blocks == (1, 3, 4, 6, 6, 6)
    assert config.decoder_blocks == (1,) * 5


@pytest.mark.parametrize("name", ["CT", "ct", "CT scan"])
def test_ct_by_name(name: str) -> None:
    (rule,) = choose_normalisation(CT, (name,))
    assert (rule.scheme, rule.low, rule.high, rule.mean, rule.std) == ("ct", -90, 280, 60, 40)


def test_all_else_is_zscored() -> None:
    rules = choose_normalisation(BRAIN, ("T1", "T2", "FLAIR", "CTA-like"))
    assert [rule.scheme for rule in rules] == ["zscore"] * 4
