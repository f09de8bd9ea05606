"""What is written of one prediction: the label map, and what was asked for beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calque import __version__
from calque.errors import InputError
from calque.image import Image
from calque.io import write_image, write_labels, write_png, write_text_atomic
from calque.io.atomic import atomic_path
from calque.io.dicom import Identity
from calque.io.dicom.source import as_source, stack_of
from calque.io.dicom.write_object import Kind
from calque.io.formats import stem_of
from calque.ops.objects import find_objects, objects_to_csv, objects_to_json
from calque.ops.sheet import render_case
from calque.prediction.dicom import FORMS, SUFFIXES, Result, require_kinds, write_objects
from calque.prediction.result import Prediction
from calque.prediction.scans import Scan


@dataclass(frozen=True)
class DicomExtras:
    """DICOM objects beside a label map, and what all of them say of the model.

    Args:
        identity: of the model.
        sr: also a report of the measurements, which refers to the SEG.
        overlay: also a series of pictures with the labels drawn in.
    """

    identity: Identity
    sr: bool = False
    overlay: bool = False

    @classmethod
    def of_key(cls, key: str) -> DicomExtras:
        """For a model of which nothing but the key is known."""
        return cls(Identity(name=f"model {key[:12]}", version=__version__, key=key))


@dataclass(frozen=True)
class Extras:
    """What is written beside each label map, and as what the label map itself.

    Args:
        overlay: `<case>_overlay.png`: slices with the classes in their colours.
        objects: `<case>_objects.csv` and `.json`: every connected component.
        form: of the label map, a key of `calque.io.MASK_FORMATS`.
        dicom: DICOM objects.
    """

    overlay: bool
    objects: bool
    form: str
    dicom: DicomExtras

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Of DICOM objects that are written; the label map first, where it is one."""
        main: tuple[Kind, ...] = (FORMS[self.form],) if self.form in FORMS else ()
        sr: tuple[Kind, ...] = ("sr",) if self.dicom.sr else ()
        return (*main, *sr, *(("overlay",) if self.dicom.overlay else ()))

    @property
    def key(self) -> str:
        """Tells outputs apart that were made for different wishes; as it was before there was DICOM."""
        plain = f"Extras(overlay={self.overlay}, objects={self.objects})"
        return f"{plain} {self.kinds} {self.dicom.identity}" if self.kinds else plain

    def require_possible(self, scans: Sequence[Scan]) -> None:
        """Refuse, before anything is computed, DICOM objects of scans that are no DICOM.

        Raises:
            InputError: so it is, or a report is asked for without a segmentation.
        """
        require_kinds(self.kinds)
        others = [scan for scan in scans if as_source(scan.paths[0]) is None] if self.kinds else []
        if others:
            raise InputError(
                "DICOM objects refer to the DICOM images of which they were made, and this scan is none",
                where=others[0].paths[0],
                got=f"{len(others)} of {len(scans)} scans are no DICOM",
                fix="write NIfTI, or: calque convert MASK -o OUT.dcm --format dicom-seg --reference SERIES",
            )

    def write(self, scan: Scan, image: Image, prediction: Prediction, path: Path) -> tuple[str, ...]:
        """Extras first: where the label map stands, the scan is done. Returns what a person should know."""
        label_map, stem = prediction.label_map, self._stem(path)
        if self.overlay:
            write_png(render_case(image, label_map), path.with_name(f"{stem}_overlay.png"))
        if self.objects:
            found = find_objects(label_map, image)
            table = objects_to_csv(found, image.channels)
            write_text_atomic(path.with_name(f"{stem}_objects.csv"), table)
            write_text_atomic(path.with_name(f"{stem}_objects.json"), objects_to_json(found))
        if prediction.entropy is not None:
            entropy = Image(prediction.entropy[None], image.grid, ("entropy",))
            write_image(entropy, path.with_name(f"{stem}_entropy.nii.gz"))
        if prediction.probabilities is not None:
            with atomic_path(path.with_name(f"{stem}_probabilities.npy")) as aside:
                prediction.scratch.give("probabilities", prediction.probabilities, aside)
        notes: tuple[str, ...] = ()
        if self.kinds:
            stack = stack_of(scan.paths[0])
            paths = {kind: path.with_name(f"{stem}{SUFFIXES[kind]}") for kind in self.kinds}
            if self.form in FORMS:
                paths[FORMS[self.form]] = path
            written = write_objects(Result(label_map, image, stack, self.dicom.identity), paths)
            notes = tuple(dict.fromkeys(note for one in written.values() for note in one.notes))
        if self.form not in FORMS:
            write_labels(label_map, path)
        return notes

    def _stem(self, path: Path) -> str:
        if self.form not in FORMS:
            return stem_of(path)
        ending = SUFFIXES[FORMS[self.form]]
        return path.name.removesuffix(ending) if path.name.endswith(ending) else path.stem
