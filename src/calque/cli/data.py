"""Verbs on a data set: check, plan."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calque.cli.grouping import grouped
from calque.cli.options import (
    Budget,
    DataFolder,
    Json,
    Patients,
    Steps,
    Wanted,
    Workers,
    cache_folder,
)
from calque.cli.screen import Screen

if TYPE_CHECKING:
    from calque.dataset import CheckReport, Dataset
    from calque.dataset.doctor.repair import RepairResult
    from calque.planning import Plan

_CASES_SHOWN = 5


def check(
    data: DataFolder,
    patients: Patients = None,
    fix: Annotated[
        Path | None,
        typer.Option("--fix", metavar="OUT", help="Mend what can be mended, into a new folder."),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="With --fix: copy what needs no change, too.")] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="A page that shows each flagged case."),
    ] = None,
    lang: Annotated[str, typer.Option("--lang", help="Of the page: en or fr.")] = "en",
    workers: Workers = None,
    json: Json = None,
) -> None:
    """Look for what is wrong with a data set, and mend it aside. Exit code 1 if a case cannot be used.

    [dim]Example: calque check scans/ --html check.html --fix repaired/[/dim]
    """
    from calque.dataset import check as check_dataset
    from calque.dataset import open_dataset

    screen = Screen(json)
    if copy and fix is None:
        raise typer.BadParameter("--copy goes with --fix")
    dataset = open_dataset(data, patients)
    describe(screen, dataset)
    found = check_dataset(dataset, workers=workers, progress=screen.progress)
    show_findings(screen, found)
    if html is not None:
        from calque.reporting.check_page import check_page

        check_page(dataset, found, html, lang=lang, workers=workers, progress=screen.progress)
        screen.say(f"Page: {html}")
    if fix is None:
        screen.json(found)
    else:
        from calque.dataset.doctor.repair import repair

        made = repair(dataset, fix, report=found, copy=copy, workers=workers, progress=screen.progress)
        show_repairs(screen, made)
        screen.json({"found": found, "made": made})
    if not found.ok:
        raise typer.Exit(1)


@grouped
def plan(
    data: DataFolder,
    budget: Budget = None,
    steps: Steps = None,
    *,
    wanted: Wanted,
    patients: Patients = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Where the plan goes.")
    ] = Path("plan.json"),
    json: Json = None,
) -> None:
    """Decide how to train, and say why. The plan is JSON that a person may edit.

    [dim]Example: calque plan scans/ --budget 30m --memory 8GB -o plan.json[/dim]
    """
    from calque.dataset import open_dataset
    from calque.io import write_text_atomic
    from calque.planning import Timing
    from calque.planning import plan as plan_dataset

    screen = Screen(json)
    made = plan_dataset(
        open_dataset(data, patients),
        budget=budget,
        steps=steps,
        wishes=wanted.wishes,
        timing=Timing(cache=cache_folder(None)),
        progress=screen.progress,
    )
    write_text_atomic(output, made.to_json())
    show_plan(screen, made)
    screen.say(
        f"Plan: {output}. Edit it if you know better, then: calque train {data} --plan {output} -o RUN"
    )
    screen.json(made)


def describe(screen: Screen, dataset: Dataset) -> None:
    """One line: layout, cases, channels, classes."""
    patients = len({case.patient for case in dataset.cases})
    from calque.dataset.reading import spacing_known

    unknown = "" if spacing_known(dataset) else "; size of pixels unknown: mm means pixels"
    first = dataset.cases[0] if dataset.cases else None
    told = "" if dataset.patients is None or first is None else f" (by {dataset.patients}: {first.patient!r})"
    screen.say(
        f"{dataset.name}: layout {dataset.layout}, {len(dataset.cases)} cases of "
        f"{patients} patient{'s' * (patients != 1)}{told}, "
        f"{len(dataset.annotated)} to learn from; channels {', '.join(dataset.channels)}; "
        f"classes {', '.join(dataset.labels.names)}{unknown}"
    )


def show_findings(screen: Screen, found: CheckReport) -> None:
    """A table: one row for each sort of finding, errors first, with the first few cases and one example."""
    if not found.findings:
        screen.say("Check: nothing is wrong that could be seen.")
        return
    rows = []
    for name in dict.fromkeys(finding.name for finding in found.findings):
        findings = [finding for finding in found.findings if finding.name == name]
        first = findings[0]
        cases = list(dict.fromkeys(finding.case or "the whole" for finding in findings))
        shown = ", ".join(cases[:_CASES_SHOWN]) + (", ..." if len(cases) > _CASES_SHOWN else "")
        example = first.what if first.got is None else f"{first.what}: {first.got}"
        rows.append((name, first.severity, len(findings), shown, example, first.fix or ""))
    screen.table(
        f"Check: {len(found.errors)} errors, {len(found.warnings)} warnings",
        ("finding", "severity", "n", "cases", "for example", "fix"),
        rows,
    )


def show_repairs(screen: Screen, made: RepairResult) -> None:
    """What was mended, what is left to people, and where to go on."""
    counts = Counter(repair.finding for repair in made.repairs)
    rows = [(name, n, next(r.after for r in made.repairs if r.finding == name)) for name, n in counts.items()]
    if rows:
        screen.table(f"Repaired: {len(made.repairs)}", ("finding", "n", "for example"), rows)
    for case, problem in made.failed.items():
        screen.say(f"could not be mended: {case}: {problem}")
    left = len({f.case for f in made.remaining if f.severity == "error" and f.case})
    screen.say(
        f"{made.folder}: {len(made.repairs)} repairs, noted in repairs.jsonl; {left} cases with errors that "
        "need a person"
    )
    screen.say(f"Go on with: calque check {made.folder}")


def show_plan(screen: Screen, made: Plan) -> None:
    """A table of decisions with their reasons, and the forecast."""
    from calque.planning import explain

    screen.table(f"Plan for {made.dataset}", ("decision", "value", "why"), explain(made))
