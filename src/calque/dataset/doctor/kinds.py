"""The kinds of findings: their names never change, since people and scripts rely on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Kind:
    """What findings of one name have in common.

    Args:
        severity: an "error" stops training on the case; a "warning" asks for a look.
        what: in words.
        fix: what to do.
    """

    severity: Severity
    what: str
    fix: str


def _error(what: str, fix: str) -> Kind:
    return Kind("error", what, fix)


def _warning(what: str, fix: str) -> Kind:
    return Kind("warning", what, fix)


_FILES = {
    "image-missing": _error("The image is not there", "restore the file, or take the case out of the list"),
    "mask-missing": _error("The mask is not there", "restore the file, or take it out of the list"),
    "not-annotated": _warning("The case has no mask, so it is not trained on", "add a mask"),
    "truncated": _error("The file ends before its data do", "copy or download it again"),
    "unreadable": _error("The file cannot be read", "export it again"),
    "wrong-suffix": _error("The file's content is of another format than its name says", "rename it"),
}
_GEOMETRY = {
    "no-position": _error("The header gives no usable position in the patient", "mend the header"),
    "positions-disagree": _warning(
        "The header gives two different positions (sform and qform)", "see which is right"
    ),
    "direction-skewed": _warning(
        "The axes are not at right angles to each other",
        "export the scan again, or see whether it was tilted",
    ),
    "spacing-absurd": _error("The spacing cannot be meant", "see whether its unit is right"),
    "grids-differ": _error(
        "Files of the case do not lie on the same grid", "resample one onto the grid of the other"
    ),
    "channels-resampled": _warning(
        "A channel lies on another grid; it is resampled onto the first one's",
        "see whether they show the same",
    ),
    "grids-nearly-equal": _error(
        "Grids of the case differ by a fraction of a voxel", "copy the image's header to the other file"
    ),
}
_IMAGES = {
    "channels": _error("The case does not have the dataset's channels", "mend the list of channels"),
    "not-finite": _error("The image holds NaN or infinity", "replace these voxels"),
    "constant": _error("A channel has one value everywhere", "export the image again"),
    "clipped": _warning("Many voxels have the highest value: brighter ones were cut off", "export it again"),
    "burned-in-text": _warning(
        "Letters seem to be burned into the picture", "look at it: names must not be shared, nor learnt from"
    ),
}
_MASKS = {
    "labels-impossible": _error("The mask holds values that cannot be labels", "mend the mask"),
    "labels-undeclared": _error(
        "The mask holds values that are not declared",
        "declare them in the dataset's labels, or mend the mask",
    ),
    "labels-scaled": _error(
        "The mask's values are those of its classes spread over 0 to 255", "divide them, or let --fix do it"
    ),
    "labels-gaps": _warning(
        "The values of the classes are not 1, 2, 3, ...", "renumber them: other programs refuse gaps"
    ),
    "labels-float": _warning(
        "The mask is stored as floats; all are whole and are read as integers",
        "export masks as integers: other programs refuse floats",
    ),
    "mask-rgb": _warning("The mask is stored as a colour picture with equal channels", "store it as grey"),
    "mask-colours": _error("The mask is a picture in colours", "declare which colour is which class"),
    "mask-blurred": _error(
        "The mask has smoothed or compressed edges: grey values between its classes",
        "resample masks with nearest neighbours, and never store them as JPEG",
    ),
    "mask-empty": _warning("The mask is empty", "see whether nothing is there to be marked"),
    "mask-misplaced": _warning(
        "The mask does not lie on what the other masks lie on: shifted, flipped or of another case?",
        "look at it over its image",
    ),
}
_STRUCTURES = {
    "structures-by-geometry": _warning(
        "References to the images match nothing; the structures were placed by their positions",
        "look at them over the image",
    ),
    "structures-overlap": _error(
        "Structures overlap, and nothing says which wins", "say it in the column `priority`, or add a class"
    ),
    "structure-missing": _warning(
        "The case has no structure for a class",
        "say in the column `stored` how it is called there, or in `annotated` what was looked for",
    ),
    "modalities-mixed": _warning(
        "The series are of several modalities, and are treated as if they were of one",
        "learn from one at a time: keep its rows of `calque dataset init`",
    ),
    "structure-gaps": _warning(
        "A structure is drawn on slices with others between them that it misses; nothing is interpolated",
        "see whether slices were left out, and draw them",
    ),
    "structure-empty": _warning(
        "A structure encloses no voxel", "see whether it was meant: points and lines enclose nothing"
    ),
    "contours-ambiguous": _warning(
        "Contours of one structure cross, or are there twice", "look at them, and draw them anew"
    ),
    "mask-fractional": _warning(
        "The SEG holds fractions; voxels from half of the highest value on belong to a segment",
        "see whether this is what was meant",
    ),
}
_COHORT = {
    "class-absent": _error("No mask holds this class", "take it out of the labels, or annotate it"),
    "class-rare": _warning("Few patients have this class", "annotate more of it"),
    "class-tiny": _warning("This class has hardly any voxels where it is", "see whether it can be learnt"),
    "orientation": _warning("The orientation is unlike the other cases'", "look at it in a viewer"),
    "spacing": _warning("The spacing is unlike the other cases'", "see whether its unit is right"),
    "shape": _warning("The extent is unlike the other cases'", "see whether it shows the same part"),
    "intensity": _warning("The intensities are unlike the other cases'", "see whether their unit is right"),
    "duplicate": _warning("Two cases have the same image", "remove one, or give both the same patient"),
    "duplicate-across-split": _error(
        "The same image is trained on and tested on", "take it out of the training cases"
    ),
    "patient-across-split": _error(
        "Images of one patient are trained on and tested on", "keep each patient on one side"
    ),
}

KINDS: dict[str, Kind] = _FILES | _GEOMETRY | _IMAGES | _MASKS | _STRUCTURES | _COHORT
"""Name -> what it means and how bad it is."""
