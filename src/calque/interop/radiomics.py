"""Radiomics after the Image Biomarker Standardisation Initiative, computed by MIRP.

MIRP (Zwanenburg et al. 2024, doi:10.21105/joss.06413) is tested against the initiative's reference values
(doi:10.1148/radiol.2020191145). It is an extra, for it brings ITK.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from calque.errors import GeometryError, InputError, MissingExtraError
from calque.image import Image, LabelMap
from calque.io import write_image, write_labels
from calque.labels import Labels, present_values
from calque.value import Value

_FAMILIES = ("morph", "loc", "stat", "ih", "ivh", "cm", "rlm", "szm", "dzm", "ngt", "ngl")
"""First parts of the names of features; other columns describe the computation."""


class Radiomics(Value):
    """Features of one class in one channel, by MIRP's names, which carry the initiative's tags."""

    name: str
    channel: str
    features: dict[str, float | None]


def radiomics(label_map: LabelMap, image: Image, bins: int = 32) -> tuple[Radiomics, ...]:
    """Every class that is there, in every channel.

    Args:
        label_map: values that are no class (the ignore value) are left out.
        image: on the same grid.
        bins: of grey levels, a fixed number over the range of the class.

    Raises:
        MissingExtraError: MIRP is not installed.
        GeometryError: the image lies on another grid.
        InputError: MIRP cannot compute a class; it says why.
    """
    try:
        from mirp import extract_features
    except ImportError:
        raise MissingExtraError("mirp", "radiomics") from None
    if not image.grid.isclose(label_map.grid):
        raise GeometryError(
            "Image and label map do not lie on the same grid",
            expected=label_map.grid.shape,
            got=image.grid.shape,
        )
    there = set(present_values(label_map.array))
    found = []
    with tempfile.TemporaryDirectory(prefix="calque-") as place:
        scan, mask = Path(place) / "image.nii.gz", Path(place) / "mask.nii.gz"
        for number, channel in enumerate(image.channels):
            part = image.array[number : number + 1].astype(np.float32)
            write_image(Image(part, image.grid, (channel,)), scan)
            for label in label_map.labels.classes:
                if label.value in there:
                    one = (label_map.array == label.value).astype(np.uint8)
                    write_labels(LabelMap(one, image.grid, _MASK), mask)
                    features = _features(extract_features, scan, mask, bins)
                    found.append(Radiomics(name=label.name, channel=channel, features=features))
    return tuple(found)


_MASK = Labels.from_names({"mask": 1})


def _features(
    extract: Callable[..., Sequence[Any]], scan: Path, mask: Path, bins: int
) -> dict[str, float | None]:
    """Of the voxels of a mask; None where a feature has no value."""
    try:
        table = extract(
            image=str(scan),
            mask=str(mask),
            base_discretisation_method="fixed_bin_number",
            base_discretisation_n_bins=bins,
        )[0]
    except (ValueError, RuntimeError, IndexError) as problem:
        raise InputError("MIRP could not compute radiomics", got=problem) from None
    row = {name: value for name, value in table.iloc[0].items() if name.split("_")[0] in _FAMILIES}
    return {name: float(value) if np.isfinite(float(value)) else None for name, value in row.items()}


def radiomics_to_csv(rows: Iterable[tuple[str, Radiomics]]) -> str:
    """One row per case, class and channel; a column per feature, no value an empty cell."""
    rows = list(rows)
    names = list(dict.fromkeys(name for _, one in rows for name in one.features))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("case", "class", "channel", *names))
    for case, one in rows:
        cells = (one.features.get(name) for name in names)
        writer.writerow((case, one.name, one.channel, *("" if cell is None else cell for cell in cells)))
    return text.getvalue()
