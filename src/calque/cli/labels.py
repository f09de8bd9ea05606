"""Verbs on what labels mean: labels suggest, labels set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calque.cli.options import Json
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.dataset.model import MaskRule
    from calque.labels import Labels
    from calque.terminology import Code

app = typer.Typer(
    help="What labels are, in SNOMED CT, for DICOM: calque labels suggest, calque labels set.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("suggest")
def suggest_codes(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...|DATASET|MODEL",
            help="Names of labels, or what has labels.",
            show_default=False,
        ),
    ],
    json: Json = None,
) -> None:
    """Propose a SNOMED CT code for labels, by their names. Exit code 1 if one has none.

    [dim]Example: calque labels suggest "left kidney" liver_tumour[/dim]
    """
    from calque.terminology import SURE, suggest

    screen = Screen(json)
    wanted: list[str] = []
    for name in names:
        labels = labels_of(Path(name)) if Path(name).exists() else None
        wanted += [name] if labels is None else labels.names
    found = {name: suggest(name) for name in wanted}
    rows = [
        (name, str(one.code), one.code.category.meaning, "listed" if one.score >= SURE else "a guess")
        for name in wanted
        for one in found[name]
    ]
    rows += [(name, "none", "", "") for name in wanted if not found[name]]
    screen.table("SNOMED CT codes", ("label", "code", "category", "by name"), rows)
    screen.json(found)
    if not all(found.values()):
        raise typer.Exit(1)


@app.command("set")
def set_codes(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|MANIFEST", help="A .calque file or a manifest.csv.", show_default=False
        ),
    ],
    codes: Annotated[
        list[str] | None,
        typer.Argument(metavar="LABEL=CODE...", help='"liver=10200004", "rk=right kidney".'),
    ] = None,
    suggested: Annotated[
        bool, typer.Option("--suggested", help="Also what is suggested and listed, where no code is yet.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="OUT", help="Of a model; else it is replaced.")
    ] = None,
    json: Json = None,
) -> None:
    """Say what labels are. A model's weights, and its key, stay what they are.

    [dim]Example: calque labels set liver.calque --suggested "lesion=liver tumour"[/dim]
    """
    from calque.errors import InputError

    screen = Screen(json)
    labels = labels_of(target)
    chosen = _chosen(codes or [], labels, suggested)
    if not chosen:
        raise InputError("There is no code to set", fix="give LABEL=CODE, or --suggested")
    changed = labels.with_codes(chosen)
    written = _write(target, changed, output)
    rows = [(label.name, "none" if label.code is None else str(label.code)) for label in changed.classes]
    screen.table(f"Labels of {written}", ("label", "code"), rows)
    screen.json({"written": written, "labels": changed})


def _chosen(texts: list[str], labels: Labels, suggested: bool) -> dict[str, Code]:
    from calque.terminology import SURE, parse_code, suggest

    chosen: dict[str, Code] = {}
    if suggested:
        for label in labels.classes:
            best = suggest(label.name, most=1)
            if label.code is None and best and best[0].score >= SURE:
                chosen[label.name] = best[0].code
    for text in texts:
        name, equals, code = text.rpartition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not LABEL=CODE, such as liver=10200004")
        chosen[name] = parse_code(code)
    return chosen


def labels_of(path: Path) -> Labels:
    """The labels of a model, or of a data set."""
    return rule_of(path)[0]


def rule_of(path: Path) -> tuple[Labels, MaskRule]:
    """The labels of a model, or of a data set with the rule by which it reads masks."""
    from calque.dataset import open_dataset
    from calque.dataset.model import PLAIN_RULE

    if path.suffix == ".calque":
        from calque.model import Model

        return Model.load(path).plan.labels, PLAIN_RULE
    dataset = open_dataset(path)
    return dataset.labels, dataset.rule


def _write(target: Path, labels: Labels, output: Path | None) -> Path:
    from calque.errors import InputError

    if target.suffix == ".calque":
        from calque.model import Model

        written = output or target
        Model.load(target).with_labels(labels).save(written)
        return written
    from calque.dataset import open_dataset
    from calque.dataset.layouts.manifest import MANIFEST_CSV, write_label_table

    dataset = open_dataset(target)
    if dataset.layout != "manifest" or output is not None:
        raise InputError(
            "Codes of a data set are written beside its manifest",
            where=target,
            fix="calque dataset init FOLDER writes a manifest; then set codes of that",
        )
    manifest = target / MANIFEST_CSV if target.is_dir() else target
    return write_label_table(manifest, labels, dataset.rule)
