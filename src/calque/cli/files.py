"""Verbs on single files and folders of files: objects, convert, frames, phantom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from calque.cli.grouping import grouped
from calque.cli.labels import rule_of
from calque.cli.options import Json, parse_triple, parse_whole_triple
from calque.cli.screen import Screen
from calque.cli.series import ListSeries, SeriesChoice, chosen, gathered, list_series
from calque.cli.structures import LabelsOf, Priority, Structures, names_of, read_drawn

if TYPE_CHECKING:
    from calque.dataset.model import MaskRule
    from calque.image import Image, LabelMap
    from calque.io.dicom.labelling import Choice
    from calque.labels import Coding


def objects(
    mask: Annotated[Path, typer.Argument(help="A label map.", show_default=False)],
    image: Annotated[Path | None, typer.Option(help="The scan, for mean intensities.")] = None,
    min_ml: Annotated[float, typer.Option(min=0, metavar="ML", help="Leave out smaller ones.")] = 0.0,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a table.")] = None,
    json: Json = None,
) -> None:
    """List the objects of a label map: class, volume, position, size.

    [dim]Example: calque objects predicted/liver_12.nii.gz --csv objects.csv[/dim]
    """
    from calque.io import read_image, read_labels, write_text_atomic
    from calque.ops.objects import find_objects, objects_to_csv

    screen = Screen(json)
    scan = None if image is None else read_image(image)
    found = find_objects(read_labels(mask), scan, min_ml=min_ml)
    if csv is not None:
        write_text_atomic(csv, objects_to_csv(found, () if scan is None else scan.channels))
    rows = [
        (
            item.number,
            item.name,
            f"{item.volume_ml:.2f}",
            f"{item.largest_diameter_mm:.1f}",
            ", ".join(f"{mm:.1f}" for mm in item.centroid_mm),
            ", ".join(f"{values.mean:.4g}" for values in item.intensities),
        )
        for item in found
    ]
    header = ("object", "class", "volume ml", "diameter mm", "centre, LPS mm", "mean intensity")
    screen.table(f"{len(found)} objects in {mask.name}", header, rows)
    screen.json({"mask": mask, "objects": found})


@dataclass(frozen=True)
class AsObject:
    """Whether it is a label map, and how that becomes a DICOM object."""

    mask: Annotated[bool, typer.Option("--mask", help="It is a label map: keep whole values.")] = False
    form: Annotated[
        Literal["auto", "dicom-seg", "dicom-labelmap", "rtstruct"],
        typer.Option("--format", help="A label map as a DICOM object; auto: as the suffix says."),
    ] = "auto"
    reference: Annotated[
        Path | None,
        typer.Option(metavar="SERIES", help="The DICOM series that was segmented: ct/, study/@2."),
    ] = None
    labels: LabelsOf = None
    made_by: Annotated[
        str | None, typer.Option("--made-by", metavar="NAME", help="The program that made it; else: by hand.")
    ] = None

    def write(self, screen: Screen, label_map: LabelMap, output: Path) -> None:
        """As a file of the output's suffix, or as a DICOM object of the series that was segmented."""
        from calque import __version__
        from calque.io import write_labels
        from calque.io.dicom import Identity
        from calque.io.dicom.source import stack_of
        from calque.prediction.dicom import FORMS, Result, write_objects

        if self.form == "auto":
            write_labels(label_map, output)
            return
        if self.reference is None:
            raise typer.BadParameter(
                "a DICOM object refers to the series that was segmented: --reference SERIES"
            )
        name, automatic = self.made_by or "by hand", self.made_by is not None
        identity = Identity(name=name, version=__version__, automatic=automatic)
        result = Result(label_map, None, stack_of(self.reference), identity)
        for written in write_objects(result, {FORMS[self.form]: output}).values():
            for note in written.notes:
                screen.say(f"note: {note}")


@dataclass(frozen=True)
class FromObject:
    """Which structures of a DICOM object become labels."""

    structures: Structures = None
    priority: Priority = None
    overlaps: Annotated[
        Literal["error", "regions"], typer.Option(help="regions: an overlap becomes a class of its own.")
    ] = "error"

    def choice(self, rule: MaskRule | None) -> tuple[Choice, Coding]:
        """As readers take it; what is not said is as in the data set whose rule this is."""
        from calque.dataset.model import PLAIN_RULE
        from calque.io.dicom.labelling import Choice

        own = rule or PLAIN_RULE
        priority = names_of(self.priority) or own.priority
        return Choice(names_of(self.structures), priority, self.overlaps), own.coding


@dataclass(frozen=True)
class AsScan:
    """Which scan of a DICOM folder is meant, and in which unit."""

    series: SeriesChoice = None
    listed: ListSeries = False
    suv: Annotated[
        bool, typer.Option("--suv/--no-suv", help="DICOM PET as uptake by body weight, or as stored.")
    ] = True

    def read(self, source: Path) -> Image:
        """The scan."""
        from calque.io import read_image
        from calque.io.dicom.source import read_source

        return read_image(source) if self.suv else read_source(source, suv=False)


@grouped
def convert(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="INPUT", help="An image or label map; or the files of a DICOM series."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT", help="File; its suffix names the format.")
    ],
    made: AsObject,
    drawn: FromObject,
    scan: AsScan,
    force: Annotated[bool, typer.Option("--force", help="Overwrite OUT.")] = False,
    json: Json = None,
) -> None:
    """Write an image or label map in another format; voxels keep their place in the patient.

    [dim]Example: calque convert mask.nii -o mask.nii.gz --mask[/dim]

    [dim]DICOM: calque convert study/ -o ct.nii.gz --series 2[/dim]

    [dim]To DICOM: calque convert mask.nii.gz -o mask.dcm --format dicom-seg --reference ct/[/dim]

    [dim]RTSTRUCT: calque convert rt.dcm -o lungs.nii.gz --reference ct/ --structures "Lung-L,Lung-R"[/dim]
    """
    from calque.errors import InputError
    from calque.io import write_image

    screen = Screen(json)
    if scan.listed:
        list_series(screen, inputs)
        return
    source, is_drawn = _source(screen, inputs, scan)
    if output.exists() and not force:
        raise InputError("The output is there already", where=output, fix="choose another name, or --force")
    if not is_drawn and made.form == "auto" and (made.reference is not None or made.made_by is not None):
        raise typer.BadParameter("--reference and --made-by go with --format dicom-seg and the like")
    written: LabelMap | Image
    if is_drawn or made.mask or made.form != "auto":
        written = _label_map(screen, source, made, drawn if is_drawn else None)
        made.write(screen, written, output)
    else:
        written = scan.read(source)
        write_image(written, output)
    grid = written.grid
    shape = " x ".join(str(n) for n in grid.shape)
    spacing = " x ".join(f"{s:.4g}" for s in grid.spacing)
    screen.say(f"{output}: {shape} voxels (z, y, x) of {spacing} mm, axes {grid.orientation}")
    screen.json({"output": output, "shape": grid.shape, "spacing": grid.spacing, "axes": grid.orientation})


def _source(screen: Screen, inputs: list[Path], scan: AsScan) -> tuple[Path, bool]:
    """What is to be read, and whether it is a SEG or RTSTRUCT."""
    from calque.errors import InputError
    from calque.io.reading import is_structures

    found = gathered(inputs)
    if len(found) > 1:
        raise InputError("Several files are one image only where they are slices of it", got=found[:4])
    if is_structures(found[0]):
        return found[0], True
    (source,) = chosen(found, scan.series, False, screen.progress)
    return source, False


def _label_map(screen: Screen, source: Path, made: AsObject, drawn: FromObject | None) -> LabelMap:
    """A label map from a file, or from a SEG or RTSTRUCT as `drawn` says."""
    from calque.io import read_labels

    known, rule = (None, None) if made.labels is None else rule_of(made.labels)
    if drawn is None:
        return read_labels(source, known)
    return read_drawn(screen, source, made.reference, known, drawn.choice(rule))


def frames(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", help="GIF, cine TIFF or video.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the frames go.")],
    every: Annotated[int, typer.Option(min=1, metavar="N", help="Each Nth frame alone.")] = 1,
    mask: Annotated[bool, typer.Option("--mask", help="They are masks: keep indices of a palette.")] = False,
    json: Json = None,
) -> None:
    """Write the frames of moving pictures as PNG: cases of one patient, since neighbours look alike.

    [dim]Example: calque frames echo_07.mp4 -o scans/images --every 5[/dim]
    """
    from calque.io import write_frames

    screen = Screen(json)
    written = write_frames(source, output, every=every, mask=mask)
    screen.say(f"{len(written)} frames in {output}, from {written[0].name}")
    screen.json({"folder": output, "frames": written})


def phantom(
    kind: Annotated[str, typer.Argument(help="ct_abdomen, mr_brain or picture_2d.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the data set goes.")
    ],
    cases: Annotated[int, typer.Option(min=1, help="How many cases.")] = 10,
    shape: Annotated[
        str | None, typer.Option(metavar="Z,Y,X", help="Voxels; by default the kind's own.")
    ] = None,
    spacing: Annotated[
        str | None, typer.Option(metavar="Z,Y,X", help="Millimetres; by default the kind's own.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same cases.")] = 0,
    varied: Annotated[
        bool, typer.Option("--varied/--plain", help="Vary spacing, tilt and order of axes from case to case.")
    ] = True,
    json: Json = None,
) -> None:
    """Draw a data set of phantoms with known truth.

    [dim]Example: calque phantom ct_abdomen -o phantoms --cases 20 --shape 48,80,80[/dim]
    """
    from calque.phantoms import write_phantoms

    screen = Screen(json)
    write_phantoms(
        output,
        kind,
        cases,
        shape=None if shape is None else parse_whole_triple(shape),
        spacing=None if spacing is None else parse_triple(spacing),
        seed=seed,
        varied=varied,
        progress=screen.progress,
    )
    screen.say(f"{cases} cases of {kind} in {output}")
    screen.json({"folder": output, "kind": kind, "cases": cases, "seed": seed})
