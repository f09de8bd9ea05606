"""A small plan that tests vary."""

from __future__ import annotations

from calque.labels import Labels
from calque.nets import NetworkConfig
from calque.planning import Fingerprint, Intensity, Normalisation, Plan, Schedule

LABELS = Labels.from_names({"background": 0, "organ": 1, "lesion": 4}, ignore=9)


def make_plan(channels: tuple[str, ...] = ("MR",), **changes) -> Plan:
    network = NetworkConfig(
        kind="plain", inputs=len(channels), outputs=3, features=(4, 8), strides=((1, 1, 1), (2, 2, 2)),
        kernels=((3, 3, 3),) * 2, blocks=(1, 1), decoder_blocks=(1,),
    )  # fmt: skip
    fingerprint = Fingerprint(
        cases=1, spacings=((1.0, 1.0, 1.0),), shapes=((8, 8, 8),), orientations={"SPL": 1},
        intensities=(Intensity(mean=0, std=1, low=-1, median=0, high=1),) * len(channels),
        class_fractions=(0.1, 0.1), cases_with_class=(1, 1),
    )  # fmt: skip
    fields = {
        "dataset": "synthetic", "channels": channels, "labels": LABELS, "orientation": "SPL",
        "spacing": (1.0, 1.0, 1.0), "normalisation": (Normalisation(scheme="zscore"),) * len(channels),
        "patch": (8, 8, 8), "batch": 1, "network": network, "schedule": Schedule(steps=1),
        "fingerprint": fingerprint,
    }  # fmt: skip
    return Plan(**{**fields, **changes})
