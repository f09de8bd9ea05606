"""Plans and prepared cases made on the spot."""

from __future__ import annotations

import numpy as np

from calque.geometry import Box, Grid
from calque.labels import Labels
from calque.nets import NetworkConfig
from calque.planning import Augmentation, Fingerprint, Intensity, Normalisation, Plan, Schedule
from calque.preparation import Placement, PreparedCase

STILL = Augmentation(
    rotation=0, scaling=0, noise=0, blur=0, brightness=0, contrast=0, low_resolution=0, gamma=0,
    mirror=(False, False, False),
)  # fmt: skip


def make_plan(**changes: object) -> Plan:
    base: dict[str, object] = {
        "dataset": "synthetic",
        "channels": ("MR",),
        "labels": Labels.from_names({"small": 1, "large": 2}),
        "orientation": "SPL",
        "spacing": (1.0, 1.0, 1.0),
        "normalisation": (Normalisation(scheme="zscore"),),
        "patch": (8, 12, 12),
        "batch": 4,
        "network": NetworkConfig(
            kind="plain",
            inputs=1,
            outputs=3,
            features=(4, 8),
            strides=((1, 1, 1), (2, 2, 2)),
            kernels=((3, 3, 3), (3, 3, 3)),
            blocks=(1, 1),
            decoder_blocks=(1,),
        ),
        "augmentation": STILL,
        "schedule": Schedule(steps=10),
        "fingerprint": Fingerprint(
            cases=2,
            spacings=((1.0, 1.0, 1.0),) * 2,
            shapes=((10, 14, 9),) * 2,
            orientations={"SPL": 2},
            intensities=(Intensity(mean=0, std=1, low=-1, median=0, high=1),),
            class_fractions=(0.1, 0.1),
            cases_with_class=(2, 2),
        ),
    }
    return Plan.model_validate(base | changes)


class FakeStore:
    """Cases whose voxels tell where they are: channels z, y, x and a one (0 in padding); two blocks."""

    def __init__(self, count: int = 5, shape: tuple[int, int, int] = (10, 14, 9)) -> None:
        self.cases = tuple(f"case{k}" for k in range(count))
        self.shape = shape

    def load(self, name: str) -> PreparedCase:
        places = np.meshgrid(*(np.arange(n) for n in self.shape), indexing="ij")
        image = np.stack([*places, np.ones(self.shape)]).astype(np.float32)
        labels = np.zeros(self.shape, np.uint8)
        labels[2:4, 2:4, 2:4] = 1
        labels[5:9, 5:12, 3:8] = 2
        grid = Grid.from_parts(self.shape, (1, 1, 1))
        return PreparedCase(
            id=name,
            image=image,
            labels=labels,
            foreground={k: np.argwhere(labels == k).astype(np.int32) for k in (1, 2)},
            placement=Placement(grid, grid, Box((0, 0, 0), self.shape), grid),
        )
