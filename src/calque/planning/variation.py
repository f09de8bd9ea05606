"""How training varies what it shows: which augmentation suits which data."""

from __future__ import annotations

from calque.planning.model import Augmentation
from calque.planning.rules import Geometry
from calque.planning.seen import Fingerprint
from calque.planning.upright import UPRIGHT


def choose_augmentation(geometry: Geometry) -> Augmentation:
    """nnU-Net's for volumes, without mirroring; stronger for pictures, which tell less of how they were made.

    Volumes come to one orientation and have their size in mm (decision 7). Pictures may stand any way round,
    their pixels any size, their colours as camera and stain had it: what files do not say is varied.
    """
    if not geometry.pictures:
        return Augmentation(mirror=(False, False, False))
    seen = geometry.fingerprint
    along_y, along_x = mirrored(seen)
    return Augmentation(
        rotation=0.5,
        rotation_degrees=180.0 if along_y and along_x else 30.0,
        scaling=0.5,
        scaling_range=(0.7, 1.4) if seen.sized else (0.5, 2.0),
        brightness=0.3,
        contrast=0.3,
        gamma=0.5,
        colour=0.5 if in_colour(seen) else 0.0,
        mirror=(False, along_y, along_x),
    )


def mirrored(seen: Fingerprint) -> tuple[bool, bool]:
    """Whether pictures look alike upside down, and left to right."""
    along_y, along_x = seen.upright or (0.0, 0.0)
    return along_y < UPRIGHT, along_x < UPRIGHT


def in_colour(seen: Fingerprint) -> bool:
    """Whether channels differ: grey pictures are often stored as three equal ones."""
    return len(seen.intensities) == 3 and len(set(seen.intensities)) > 1


def why(geometry: Geometry) -> str:
    """One line."""
    if not geometry.pictures:
        return (
            "after nnU-Net; without mirroring: every image is brought to one orientation, and a network that "
            "need not know mirrored bodies learns faster (docs/log.md)"
        )
    seen = geometry.fingerprint
    size = "" if seen.sized else "; the size of pixels is unknown, so scales vary from half to double"
    colour = "; stains and cameras differ, so channels are mixed" if in_colour(seen) else ""
    return "after nnU-Net, stronger; " + _standing(seen) + size + colour


def _standing(seen: Fingerprint) -> str:
    if seen.upright is None:
        return "mirrored, for there are too few patients to tell whether pictures have an up and a left"
    along_y, along_x = seen.upright
    return (
        f"the pictures of {along_y:.0%} of patients resemble the others' more as they are than upside down, "
        f"{along_x:.0%} more than left to right: mirrored where that is under {UPRIGHT:.0%}"
    )
