"""The one way from files to arrays: channels on other grids, grey for colours, masks on their grids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from calque.dataset.model import Case, Dataset, MaskRule
from calque.dataset.reading import read_mask, read_scan, spacing_known
from calque.errors import DatasetError, GeometryError, InputError
from calque.geometry import Grid
from calque.labels import Labels

from .building import GRID, mask, scan, write

LABELS = Labels.from_names({"front": 1, "back": 2})


def _ramp(grid: Grid) -> np.ndarray:
    """A linear function of the position: linear interpolation gives it back exactly."""
    world = grid.to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))
    return (world @ (1.0, -2.0, 0.5) + 100).astype(np.float32)


def test_channels_on_other_grids_come_to_the_first(tmp_path: Path) -> None:
    fine = Grid.from_parts((6, 9, 10), (2, 1, 1), origin=(3, 4, 5))
    coarse = (
        Grid.from_parts((8, 6, 7), (3, 2.5, 2.5), origin=(0, 0, 2))
        .reorientation("IPR")
        .grid(Grid.from_parts((8, 6, 7), (3, 2.5, 2.5), origin=(0, 0, 2)))
    )
    files = [
        write(tmp_path / "a.nii.gz", _ramp(fine), fine),
        write(tmp_path / "b.nii.gz", _ramp(coarse), coarse),
    ]
    image = read_scan(files, ("CT", "PET"))
    assert (image.grid, image.channels) == (read_scan(files[0]).grid, ("CT", "PET"))
    np.testing.assert_allclose(image.array[1], image.array[0], rtol=1e-4)


def test_what_a_channel_does_not_reach_gets_its_lowest_value(tmp_path: Path) -> None:
    small = Grid.from_parts((6, 7, 4), (2, 1, 1))
    values = np.arange(6 * 7 * 4, dtype=np.float32).reshape(small.shape) - 50
    files = [write(tmp_path / "a.nii.gz", scan(0)), write(tmp_path / "b.nii.gz", values, small)]
    channel = read_scan(files).array[1]
    np.testing.assert_allclose(channel[..., :4], values)
    assert (channel[..., 4:] == -50).all()


def test_channels_of_different_places_are_refused(tmp_path: Path) -> None:
    far = Grid.from_parts(GRID.shape, GRID.spacing, origin=(900, 0, 0))
    files = [write(tmp_path / "a.nii.gz", scan(0)), write(tmp_path / "b.nii.gz", scan(1), far)]
    with pytest.raises(GeometryError, match="same grid"):
        read_scan(files)
    with pytest.raises(InputError, match="channels"):
        read_scan([files[0], files[0]], ("a", "b", "c"))


def test_pictures_of_different_sizes_are_not_resampled(tmp_path: Path) -> None:
    for name, size in (("a", (8, 9)), ("b", (4, 5))):
        Picture.fromarray(np.zeros(size, np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(GeometryError, match="same grid"):
        read_scan([tmp_path / "a.png", tmp_path / "b.png"])


def test_grey_serves_for_equal_colours_and_the_reverse(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (8, 9), dtype=np.uint8)
    Picture.fromarray(grey).save(tmp_path / "grey.png")
    Picture.fromarray(np.repeat(grey[..., None], 3, axis=2)).save(tmp_path / "equal.png")
    Picture.fromarray(np.stack([grey, grey, 255 - grey], axis=2)).save(tmp_path / "colour.png")
    three = read_scan(tmp_path / "grey.png", ("red", "green", "blue"))
    np.testing.assert_array_equal(three.array[:, 0], np.stack([grey] * 3))
    one = read_scan(tmp_path / "equal.png", ("MR",))
    np.testing.assert_array_equal(one.array[0, 0], grey)
    assert (one.channels, one.placed) == (("MR",), False)
    with pytest.raises(InputError, match="channels"):
        read_scan(tmp_path / "colour.png", ("MR",))


def test_parts_lie_on_one_grid(tmp_path: Path) -> None:
    other = Grid.from_parts(GRID.shape, GRID.spacing, origin=(9, 0, 0))
    parts = (
        ("front", write(tmp_path / "f.nii.gz", mask(0, (0, 1)))),
        ("back", write(tmp_path / "b.nii.gz", mask(1, (0, 1)), other)),
    )
    with pytest.raises(GeometryError, match="same grid"):
        read_mask(Case("a", (), None, "a", parts=parts), LABELS, MaskRule(priority=("front", "back")))
    with pytest.raises(DatasetError, match="no mask"):
        read_mask(Case("a", (), None, "a"), LABELS)


def test_whether_mm_are_mm(tmp_path: Path) -> None:
    for k in range(2):
        Picture.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / f"p{k}.png")
    cases = tuple(Case(f"p{k}", (tmp_path / f"p{k}.png",), None, f"p{k}") for k in range(2))
    dataset = Dataset("d", tmp_path, "manifest", ("grey",), LABELS, cases)
    assert not spacing_known(dataset)
    (tmp_path / "p0.png").write_bytes(b"broken")
    assert not spacing_known(dataset)
    volume = write(tmp_path / "v.nii.gz", scan(0))
    assert spacing_known(replace(dataset, cases=(Case("v", (volume,), None, "v"),)))
