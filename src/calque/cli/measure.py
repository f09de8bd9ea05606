"""The verb measure: volumes, shapes, intensities and meshes of classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from calque.cli.options import Json
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.image import LabelMap


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
    json: Json = None,
) -> None:
    """Measure classes: volume, shape, first-order intensities; write their surfaces as meshes.

    Exit code 1 if a case cannot be measured.

    [dim]Example: calque measure predicted/ --images scans/ --csv measures.csv --meshes meshes/[/dim]
    """
    from calque.errors import CalqueError, InputError
    from calque.io import read_image, read_labels, stem_of, write_text_atomic
    from calque.ops.measures import Measures, measure_labels, measures_to_csv

    screen = Screen(json)
    cases = _files(masks)
    scans = {} if images is None else _files(images)
    if not masks.is_dir() and len(scans) == 1:
        scans = {stem_of(masks): next(iter(scans.values()))}
    if lacking := [case for case in cases if images is not None and case not in scans]:
        raise InputError("There is no scan for these masks", where=images, got=", ".join(lacking[:5]))
    rows: list[tuple[str, Measures]] = []
    channels: dict[str, None] = {}
    failed: dict[str, str] = {}
    with screen.progress.task("measure", total=len(cases)) as task:
        for case, path in cases.items():
            try:
                label_map = read_labels(path)
                image = read_image(scans[case]) if case in scans else None
                rows += [(case, one) for one in measure_labels(label_map, image)]
                channels |= dict.fromkeys(() if image is None else image.channels)
                if meshes is not None:
                    _write_meshes(label_map, case, meshes, form, smooth)
            except CalqueError as problem:
                if len(cases) == 1:
                    raise
                failed[case] = str(problem)
            task.advance(note=case)
    if csv is not None:
        write_text_atomic(csv, measures_to_csv(rows, tuple(channels)))
    screen.table(
        f"{len(rows)} classes of {len(cases)} cases",
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
            for case, one in rows
        ],
    )
    for case, error in failed.items():
        screen.say(f"not measured: {case}: {error}")
    screen.json(
        {"measures": [{"case": case, **one.model_dump(mode="json")} for case, one in rows], "failed": failed}
    )
    if failed:
        raise typer.Exit(1)


def _files(path: Path) -> dict[str, Path]:
    """Case -> file, of a folder or one file; nnU-Net's `case_0000` is the scan of `case`."""
    from calque.evaluation.matching import masks
    from calque.io import stem_of

    found = masks(path) if path.is_dir() else {stem_of(path): path}
    return {case.removesuffix("_0000"): file for case, file in found.items()}


def _write_meshes(label_map: LabelMap, case: str, folder: Path, form: str, smooth: int) -> None:
    from calque.io import write_bytes_atomic
    from calque.labels import present_values
    from calque.ops.mesh import MESHES, label_mesh

    there = set(present_values(label_map.array))
    for label in label_map.labels.classes:
        if label.value in there:
            safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in label.name)
            data = MESHES[form](label_mesh(label_map, label.value, smooth), label.name)
            write_bytes_atomic(folder / f"{case}_{safe}.{form}", data)
