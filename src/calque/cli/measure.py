"""The verb measure: volumes, shapes, intensities and meshes of classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from calque.cli.options import Json
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.interop.radiomics import Radiomics
    from calque.ops.measures import Measures


def measure(
    masks: Annotated[Path, typer.Argument(metavar="MASKS", help="A label map, or a folder of them.")],
    images: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The scan, or a folder of scans with the same names.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="A row for each case and class.")
    ] = None,
    meshes: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also CASE_CLASS.stl, in LPS millimetres.")
    ] = None,
    form: Annotated[Literal["stl", "obj"], typer.Option("--format", help="Of meshes.")] = "stl",
    smooth: Annotated[int, typer.Option(min=0, metavar="N", help="Rounds of smoothing of meshes.")] = 0,
    radiomics: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also IBSI radiomics as CSV, by MIRP: the extra radiomics."),
    ] = None,
    json: Json = None,
) -> None:
    """Measure classes: volume, shape, first-order intensities; write their surfaces as meshes.

    Exit code 1 if a case cannot be measured.

    [dim]Example: calque measure predicted/ --images scans/ --csv measures.csv --meshes meshes/[/dim]
    """
    from calque.errors import CalqueError

    screen = Screen(json)
    pairs = _pairs(masks, images, radiomics is not None)
    found = _Found()
    with screen.progress.task("measure", total=len(pairs)) as task:
        for case, (mask, scan) in pairs.items():
            try:
                found.add(case, mask, scan, radiomics is not None)
                if meshes is not None:
                    _write_meshes(mask, case, meshes, form, smooth)
            except CalqueError as problem:
                if len(pairs) == 1:
                    raise
                found.failed[case] = str(problem)
            task.advance(note=case)
    found.write(csv, radiomics)
    found.show(screen, len(pairs))
    rows = [{"case": case, **one.model_dump(mode="json")} for case, one in found.rows]
    screen.json({"measures": rows, "failed": found.failed})
    if found.failed:
        raise typer.Exit(1)


@dataclass
class _Found:
    """What was measured so far."""

    rows: list[tuple[str, Measures]] = field(default_factory=list)
    textures: list[tuple[str, Radiomics]] = field(default_factory=list)
    channels: dict[str, None] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, case: str, mask: Path, scan: Path | None, with_radiomics: bool) -> None:
        """Measure one case."""
        from calque.interop.radiomics import radiomics
        from calque.io import read_image, read_labels
        from calque.ops.measures import measure_labels

        label_map = read_labels(mask)
        image = None if scan is None else read_image(scan)
        measured = [(case, one) for one in measure_labels(label_map, image)]
        if image is not None:
            self.channels |= dict.fromkeys(image.channels)
            if with_radiomics:
                self.textures += [(case, one) for one in radiomics(label_map, image)]
        self.rows += measured

    def write(self, csv: Path | None, radiomics: Path | None) -> None:
        """The tables that were asked for."""
        from calque.interop.radiomics import radiomics_to_csv
        from calque.io import write_text_atomic
        from calque.ops.measures import measures_to_csv

        if csv is not None:
            write_text_atomic(csv, measures_to_csv(self.rows, tuple(self.channels)))
        if radiomics is not None:
            write_text_atomic(radiomics, radiomics_to_csv(self.textures))

    def show(self, screen: Screen, cases: int) -> None:
        """A table, and what could not be measured."""
        screen.table(
            f"{len(self.rows)} classes of {cases} cases",
            ("case", "class", "volume ml", "objects", "surface mm2", "diameter mm", "mean intensity"),
            [
                (
                    case,
                    one.name,
                    f"{one.volume_ml:.2f}",
                    one.components,
                    "-" if one.surface_mm2 is None else f"{one.surface_mm2:.0f}",
                    "-" if one.largest_diameter_mm is None else f"{one.largest_diameter_mm:.1f}",
                    ", ".join(f"{channel.mean:.4g}" for channel in one.intensities),
                )
                for case, one in self.rows
            ],
        )
        for case, error in self.failed.items():
            screen.say(f"not measured: {case}: {error}")


def _pairs(masks: Path, images: Path | None, need_images: bool) -> dict[str, tuple[Path, Path | None]]:
    """Case -> mask and scan; of two files, whatever their names."""
    from calque.errors import InputError

    if need_images and images is None:
        raise InputError("Radiomics need scans", fix="give --images")
    cases = _files(masks)
    if images is None:
        return {case: (path, None) for case, path in cases.items()}
    if not masks.is_dir() and not images.is_dir():
        return {case: (path, images) for case, path in cases.items()}
    scans = _files(images)
    if lacking := [case for case in cases if case not in scans]:
        raise InputError("There is no scan for these masks", where=images, got=", ".join(lacking[:5]))
    return {case: (path, scans[case]) for case, path in cases.items()}


def _files(path: Path) -> dict[str, Path]:
    """Case -> file, of a folder or one file; nnU-Net's `case_0000` is the scan of `case`."""
    from calque.evaluation.matching import masks
    from calque.io import stem_of

    found = masks(path) if path.is_dir() else {stem_of(path): path}
    return {case.removesuffix("_0000"): file for case, file in found.items()}


def _write_meshes(mask: Path, case: str, folder: Path, form: str, smooth: int) -> None:
    from calque.io import read_labels, write_bytes_atomic
    from calque.labels import present_values
    from calque.ops.mesh import MESHES, label_mesh

    label_map = read_labels(mask)
    there = set(present_values(label_map.array))
    for label in label_map.labels.classes:
        if label.value in there:
            safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in label.name)
            data = MESHES[form](label_mesh(label_map, label.value, smooth), label.name)
            write_bytes_atomic(folder / f"{case}_{safe}.{form}", data)
