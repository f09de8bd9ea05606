"""A manifest: a table in CSV that lists cases, and beside it a table of labels. It rules over any layout.

`manifest.csv`, a row for each case:

    case       unique name
    patient    cases of one patient never stand on both sides of a split; empty: the case itself
    image      one file with every channel; or image:NAME, a column for each channel
    label      one mask; or label:CLASS, a column for each class with a mask of its own
    split      train, test or empty
    annotated  classes that were looked for, with ; between them; empty: all
    ...        any other column is kept as metadata, for subgroups

`manifest.labels.csv`, a row for each class (optional; without it, classes are the values that masks hold):

    name, value   as label maps will hold it
    stored        what the masks hold instead: 255, or #ff0000, or names of structures of a DICOM SEG or
                  RTSTRUCT; several with ; between them; empty: the value, or the class's own name
    colour        #rrggbb for pictures; empty: chosen
    role          class (or empty), region (value: 1;2 are its classes), ignore
    priority      1 wins over 2 where masks of classes overlap; empty: an overlap is an error
    code          what it is, for DICOM, in SNOMED CT ("64033007 left", see calque labels); empty: not said

Paths are relative to the manifest's folder, or absolute. Both files are UTF-8.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from calque.dataset.layouts.derive import channels_from_files, labels_from_cases
from calque.dataset.layouts.label_table import LABEL_COLUMNS, label_rows, parse_labels
from calque.dataset.model import Case, Dataset, MaskRule
from calque.errors import DatasetError
from calque.io import write_text_atomic
from calque.labels import Labels

MANIFEST_CSV = "manifest.csv"
_KNOWN = ("case", "patient", "image", "label", "split", "annotated")
_SPLITS = ("", "train", "test")
_MOST_COLUMNS = 1000
_FREE_IGNORE = 255


def labels_beside(manifest: Path) -> Path:
    """Where the table of labels of this manifest is."""
    return manifest.with_name(f"{manifest.stem}.labels.csv")


def read_manifest(path: Path) -> Dataset:
    """Read a manifest. Files that it lists need not exist: `check` names them.

    Raises:
        DatasetError: a table cannot be understood; the row is named.
    """
    columns, rows = read_table(path)
    images = [c for c in columns if c == "image" or c.startswith("image:")]
    masks = [c for c in columns if c == "label" or c.startswith("label:")]
    _check_columns(path, columns, images, masks)
    cases = tuple(_case(path, number, row, images, masks) for number, row in rows)
    if not cases:
        raise DatasetError("The manifest lists no case", where=path)
    if labels_beside(path).is_file():
        labels, rule = read_label_table(path)
    else:
        labels, coding = labels_from_cases(cases, path)
        rule = MaskRule(coding=coding)
    _check_names(path, cases, labels)
    names = tuple(c.removeprefix("image:") for c in images)
    single = images == ["image"]
    return Dataset(
        name=path.resolve().parent.name if path.name == MANIFEST_CSV else path.stem,
        root=path.parent,
        layout="manifest",
        channels=channels_from_files([case.images[0] for case in cases], path) if single else names,
        labels=with_ignore(labels, cases),
        cases=cases,
        rule=rule,
        patients="manifest" if any(row.get("patient") for _, row in rows) else None,
    )


def read_label_table(manifest: Path) -> tuple[Labels, MaskRule]:
    """What the table of labels beside a manifest says.

    Raises:
        DatasetError: it cannot be understood; the row is named.
    """
    table = labels_beside(manifest)
    return parse_labels(table, read_table(table)[1])


def write_manifest(dataset: Dataset, path: Path) -> None:
    """Write a dataset as a manifest with its table of labels; reading it gives the same cases.

    Raises:
        InputError: the place cannot be written to.
    """
    named = len(dataset.cases[0].images) == len(dataset.channels)  # else one file has all of them
    images = [f"image:{name}" for name in dataset.channels] if named else ["image"]
    parts = list(dict.fromkeys(name for case in dataset.cases for name, _ in case.parts))
    masks = [f"label:{name}" for name in parts] or ["label"]
    more = list(dict.fromkeys(name for case in dataset.cases for name, _ in case.metadata))
    header = ["case", "patient", *images, *masks, "split", "annotated", *more]
    folder = path.resolve().parent
    rows = []
    for case in dataset.cases:
        own, extra = dict(case.parts), dict(case.metadata)
        truths = [own.get(name) for name in parts] if parts else [case.label]
        files = ["" if p is None else _written(p, folder) for p in (*case.images, *truths)]
        known = ";".join(case.annotated or ())
        rows.append(
            [case.id, case.patient, *files, case.split or "", known, *(extra.get(n, "") for n in more)]
        )
    write_text_atomic(path, table_text(header, rows))
    write_label_table(path, dataset.labels, dataset.rule)


def write_label_table(manifest: Path, labels: Labels, rule: MaskRule) -> Path:
    """Write the table of labels beside a manifest, and return where it is.

    Raises:
        InputError: the place cannot be written to.
    """
    table = labels_beside(manifest)
    write_text_atomic(table, table_text(LABEL_COLUMNS, label_rows(labels, rule)))
    return table


def table_text(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """CSV as every spreadsheet reads it."""
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return "".join(lines.parts)


class _Lines:
    """What csv.writer writes to."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, text: str) -> None:
        self.parts.append(text)


def read_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Columns, and (line, column -> text) for every row that is not empty; comma or semicolon between.

    Raises:
        DatasetError: it cannot be read, a column has no name or occurs twice, or a row is too long.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        first = text.splitlines()[0] if text.strip() else ""
        delimiter = ";" if first.count(";") > first.count(",") else ","
        reader = csv.reader(text.splitlines(), delimiter=delimiter, strict=True)
        table = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, ValueError, csv.Error) as problem:
        raise DatasetError(
            "This table cannot be read", where=path, expected="CSV in UTF-8", got=problem
        ) from None
    if not table:
        raise DatasetError("This table is empty", where=path)
    columns = table[0][1]
    twice = [name for name, n in Counter(columns).items() if n > 1 or not name]
    if twice or len(columns) > _MOST_COLUMNS:
        raise DatasetError("Columns have unique names", where=path, got=", ".join(columns[:20]))
    rows = []
    for line, cells in table[1:]:
        if not any(cells):
            continue
        if len(cells) > len(columns):
            raise DatasetError(
                "A row has more cells than there are columns", where=f"{path}, line {line}", got=cells
            )
        rows.append((line, dict(zip(columns, cells + [""] * (len(columns) - len(cells)), strict=True))))
    return columns, rows


def _check_columns(path: Path, columns: list[str], images: list[str], masks: list[str]) -> None:
    wrong = None
    if "case" not in columns or not images:
        wrong = "columns case and image, or image:NAME for each channel"
    elif "image" in images and len(images) > 1:
        wrong = "either image, or image:NAME for each channel"
    elif "label" in masks and len(masks) > 1:
        wrong = "either label, or label:CLASS for each class"
    if wrong:
        raise DatasetError("The manifest's columns are not clear", where=path, expected=wrong, got=columns)


def _case(path: Path, line: int, row: Mapping[str, str], images: Sequence[str], masks: Sequence[str]) -> Case:
    where = f"{path}, line {line}"
    absent = [column for column in ("case", *images) if not row[column]]
    if absent:
        raise DatasetError("A case is incomplete", where=where, expected=", ".join(absent), got="empty")
    if "/" in row["case"] or "\\" in row["case"] or row["case"].startswith("."):
        raise DatasetError("A case's name becomes a file name", where=where, got=row["case"])
    split = row.get("split", "").lower()
    if split not in _SPLITS:
        raise DatasetError("A split is train, test or empty", where=where, got=split)
    parts = tuple(
        (column.removeprefix("label:"), path.parent / row[column])
        for column in masks
        if column != "label" and row[column]
    )
    known = tuple(name.strip() for name in row.get("annotated", "").split(";") if name.strip())
    return Case(
        id=row["case"],
        images=tuple(path.parent / row[column] for column in images),
        label=path.parent / row["label"] if row.get("label") else None,
        patient=row.get("patient") or row["case"],
        split=split or None,
        parts=parts,
        annotated=known or None,
        metadata=tuple(
            (name, value)
            for name, value in row.items()
            if name not in _KNOWN and name not in images and name not in masks
        ),
    )


def _check_names(path: Path, cases: Sequence[Case], labels: Labels) -> None:
    """Classes that columns and cells name are those of the table of labels."""
    used = {name for case in cases for name in (*(case.annotated or ()), *(n for n, _ in case.parts))}
    unknown = sorted(used - set(labels.names))
    if unknown:
        raise DatasetError(
            "The manifest names classes that do not exist",
            where=path,
            expected=", ".join(labels.names),
            got=", ".join(unknown),
            fix=f"list them in {labels_beside(path).name}",
        )


def with_ignore(labels: Labels, cases: Sequence[Case]) -> Labels:
    """Cases of which some classes were not looked for need a value for "unknown"."""
    if not any(case.is_partial(labels) for case in cases) or labels.ignore is not None:
        return labels
    taken = max(labels.values)
    return Labels(
        classes=labels.classes,
        regions=labels.regions,
        ignore=_FREE_IGNORE if taken < _FREE_IGNORE else taken + 1,
    )


def _written(path: Path, folder: Path) -> str:
    """Relative where the file lies below the manifest's folder, so that both can be moved together."""
    full = path.resolve()
    return full.relative_to(folder).as_posix() if full.is_relative_to(folder) else str(full)


@dataclass(frozen=True)
class Written:
    """What `init_manifest` did.

    Args:
        manifest: the table of cases.
        labels: the table of labels; None where none was needed.
        cases: how many.
        understood: the layout that was recognised; None where the rows are guesses that need correction.
        unreadable: what is wrong with each file and series of DICOM that cannot be read.
    """

    manifest: Path
    labels: Path | None
    cases: int
    understood: str | None
    unreadable: tuple[str, ...] = ()


def write_sketch(cases: Sequence[Case], path: Path) -> None:
    """Rows for files that nobody understood, to be corrected; without a table of labels."""
    folder = path.resolve().parent
    rows = [
        [
            c.id,
            "",
            _written(c.images[0], folder),
            "" if c.label is None else _written(c.label, folder),
            "",
            "",
        ]
        for c in cases
    ]
    write_text_atomic(path, table_text(_KNOWN, rows))
