"""Small datasets on disk, to be spoilt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calque.geometry import Grid
from calque.io import format_of

GRID = Grid.from_parts((6, 7, 8), (2, 1, 1))


def write(path: Path, array: NDArray[Any], grid: Grid = GRID) -> Path:
    """Write (z, y, x) or (channel, z, y, x)."""
    array = array if array.ndim == 4 else array[np.newaxis]
    path.parent.mkdir(parents=True, exist_ok=True)
    format_of(path).write(array, grid, path)
    return path


def scan(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(100, 20, GRID.shape).astype(np.float32)


def mask(seed: int, values: tuple[int, ...] = (0, 1, 2)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).choice(values, GRID.shape).astype(np.uint8)


def msd(root: Path, cases: int = 6, tests: int = 1) -> Path:
    """A dataset in the layout of the Decathlon: c0, c1, ... and t0, ..."""
    for k in range(cases):
        write(root / "imagesTr" / f"c{k}.nii.gz", scan(k))
        write(root / "labelsTr" / f"c{k}.nii.gz", mask(k))
    for k in range(tests):
        write(root / "imagesTs" / f"t{k}.nii.gz", scan(100 + k))
    manifest = {
        "name": "Tiny",
        "modality": {"0": "MRI"},
        "labels": {"0": "background", "1": "front", "2": "back"},
        "training": [
            {"image": f"./imagesTr/c{k}.nii.gz", "label": f"./labelsTr/c{k}.nii.gz"} for k in range(cases)
        ],
        "test": [f"./imagesTs/t{k}.nii.gz" for k in range(tests)],
    }
    (root / "dataset.json").write_text(json.dumps(manifest))
    return root


def edit(root: Path, **changes: Any) -> Path:
    """Change entries of the manifest; None removes one."""
    path = root / "dataset.json"
    manifest = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in manifest.items() if v is not None}))
    return root
