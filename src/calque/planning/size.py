"""How much room prepared cases take."""

from __future__ import annotations

from calque.planning.seen import Fingerprint

_OVERHEAD = 300_000  # bytes per case: places of foreground voxels, headers


def prepared_bytes(fingerprint: Fingerprint, spacing: tuple[float, float, float], channels: int) -> int:
    """Bytes that one case takes in a store, on average over the fingerprint: float32 image, uint8 labels."""
    voxels = 0.0
    for shape, old in zip(fingerprint.shapes, fingerprint.spacings, strict=True):
        voxels += (
            shape[0]
            * shape[1]
            * shape[2]
            * (old[0] * old[1] * old[2])
            / (spacing[0] * spacing[1] * spacing[2])
        )
    return round(voxels / len(fingerprint.shapes) * (4 * channels + 1)) + _OVERHEAD
