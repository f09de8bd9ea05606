"""Which data get which augmentation."""

from __future__ import annotations

import pytest

from calque.planning import Fingerprint, Intensity
from calque.planning.rules import choose_geometry
from calque.planning.variation import choose_augmentation, why

from .synthetic import HIPPOCAMPUS, SLICES

RED, GREEN = (Intensity(mean=m, std=40, low=-90, median=55, high=280) for m in (60, 90))


def chosen(seen: Fingerprint, **changes: object):
    return choose_augmentation(choose_geometry(seen.model_copy(update=changes)))


def test_volumes_are_varied_as_nnunet_does_but_not_mirrored() -> None:
    made = chosen(HIPPOCAMPUS)
    assert (made.rotation, made.scaling_range, made.colour) == (0.2, (0.7, 1.4), 0.0)
    assert not any(made.mirror)


@pytest.mark.parametrize(
    ("upright", "mirror", "degrees"),
    [
        ((0.5, 0.6), (True, True), 180.0),
        ((0.9, 0.5), (False, True), 30.0),
        ((0.9, 0.9), (False, False), 30.0),
    ],
)
def test_what_stands_upright_is_not_turned_over(upright, mirror, degrees) -> None:
    made = chosen(SLICES, upright=upright)
    assert made.mirror[1:] == mirror
    assert made.rotation_degrees == degrees


def test_pixels_of_unknown_size_vary_more() -> None:
    assert chosen(SLICES, sized=True).scaling_range == (0.7, 1.4)
    assert chosen(SLICES, sized=False).scaling_range == (0.5, 2.0)


def test_colours_vary_where_there_are_any() -> None:
    """Three equal channels are grey."""
    assert chosen(SLICES, intensities=(RED, GREEN, RED)).colour > 0
    assert chosen(SLICES, intensities=(RED, RED, RED)).colour == 0
    assert chosen(SLICES, intensities=(RED, GREEN)).colour == 0


def test_the_reason_says_what_was_seen() -> None:
    seen = SLICES.model_copy(update={"upright": (0.93, 0.5), "sized": False})
    assert "93%" in why(choose_geometry(seen))
    assert "unknown" in why(choose_geometry(seen))
