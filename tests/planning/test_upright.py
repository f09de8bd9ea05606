"""Do pictures have an up and a left?"""

from __future__ import annotations

import numpy as np
import pytest

from calque.planning.upright import FEWEST, Thumbnail, thumbnail, upright


def _case(rng: np.random.Generator, patient: str, turn: bool, size: tuple[int, int] = (60, 47)) -> Thumbnail:
    """A bright corner and an organ off the centre, in noise; `turn`: thrown on the table any way round."""
    y, x = np.meshgrid(*(np.linspace(0, 1, n) for n in size), indexing="ij")
    image = np.exp(-((y - 0.2) ** 2 + (x - 0.3) ** 2) / 0.05) + 0.3 * rng.standard_normal(size)
    index = ((y - 0.3) ** 2 + (x - 0.4) ** 2 < 0.02).astype(np.uint8)
    if turn:
        flips = tuple(axis for axis in (0, 1) if rng.random() < 0.5)
        image, index = np.flip(image, flips), np.flip(index, flips)
    return thumbnail(patient, image[None, None], index[None], 1)


def test_pictures_that_stand_alike_are_upright() -> None:
    rng = np.random.default_rng(1)
    found = upright([_case(rng, str(k), turn=False) for k in range(20)])
    assert found is not None
    assert min(found) > 0.9


def test_pictures_thrown_any_way_round_are_not() -> None:
    rng = np.random.default_rng(2)
    found = upright([_case(rng, str(k), turn=True) for k in range(60)])
    assert found is not None
    assert max(found) < 0.75


def test_the_direction_is_told_axis_by_axis() -> None:
    """Symmetric left to right, not up and down."""
    rng = np.random.default_rng(3)
    rows = np.linspace(0, 1, 40)[:, None] * np.ones((1, 40))
    cases = []
    for k in range(40):
        noise = rng.standard_normal((40, 40))
        cases.append(thumbnail(str(k), (rows + 0.1 * noise)[None, None], np.zeros((1, 40, 40), np.uint8), 1))
    found = upright(cases)
    assert found is not None
    assert found[0] > 0.95
    assert found[1] < 0.75


def test_a_class_that_keeps_its_side_counts_though_images_are_symmetric() -> None:
    rng = np.random.default_rng(4)
    index = np.zeros((1, 32, 32), np.uint8)
    index[:, 10:20, 4:12], index[:, 10:20, 20:28] = 1, 2  # left and right
    cases = [thumbnail(str(k), rng.standard_normal((1, 1, 32, 32)), index, 2) for k in range(10)]
    found = upright(cases)
    assert found is not None
    assert found[1] == 1.0


def test_one_patient_does_not_vouch_for_itself() -> None:
    rng = np.random.default_rng(5)
    assert upright([_case(rng, f"patient {k % (FEWEST - 1)}", turn=False) for k in range(30)]) is None


@pytest.mark.parametrize("size", [(5, 7), (32, 32), (33, 100), (1, 400)])
def test_a_thumbnail_holds_every_pixel_once(size: tuple[int, int]) -> None:
    """Blocks of equal width keep the mean; smaller pictures repeat."""
    picture = np.random.default_rng(6).random(size)
    small = thumbnail("a", picture[None, None], np.zeros((1, *size), np.uint8), 1)
    assert small.image.shape == (32, 32)
    assert np.isfinite(small.image).all()
    assert np.linalg.norm(small.image) == pytest.approx(1, abs=1e-5)
    assert not small.classes.any()


def test_constant_pictures_say_nothing() -> None:
    cases = [thumbnail(str(k), np.ones((3, 1, 50, 50)), np.zeros((1, 50, 50), np.uint8), 2) for k in range(8)]
    assert upright(cases) == (0.0, 0.0)
