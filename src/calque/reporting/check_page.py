"""`check_page`: what a check found, as one HTML file with a picture of every flagged case."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from calque import __version__
from calque.dataset.doctor.findings import CheckReport, Finding
from calque.dataset.doctor.kinds import KINDS
from calque.dataset.model import Dataset
from calque.io import write_text_atomic
from calque.parallel import map_bounded
from calque.progress import SILENT, Progress
from calque.reporting.rendering import render_page
from calque.reporting.thumbnails import OTHER_SHAPE, WITHOUT_MASK, Thumbnail, thumbnail
from calque.reporting.voice import Voice
from calque.reporting.words_check import check_words, meaning

UNFLAGGED = 24
"""Cases without a finding that are shown, for comparison."""

PICTURES = 400
"""At most this many pictures: about 8 MB."""


@dataclass(frozen=True)
class CaseView:
    """One case on the page."""

    name: str
    findings: tuple[Finding, ...]
    picture: Thumbnail
    lacking: str | None

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of its findings, each once."""
        return tuple(dict.fromkeys(finding.name for finding in self.findings))


@dataclass(frozen=True)
class KindView:
    """One kind of finding on the page."""

    name: str
    severity: str
    count: int
    what: str
    fix: str


def check_page(
    dataset: Dataset,
    report: CheckReport,
    output: Path | str,
    *,
    lang: str = "en",
    workers: int | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Write one self-contained HTML file; filtering needs no JavaScript, sorting does.

    Cases with findings come first, errors before warnings; at most `PICTURES` are shown, and `UNFLAGGED` of
    those without a finding. Every finding is in the table.

    Args:
        dataset: that was checked.
        report: what was found.
        output: the file to write.
        lang: "en" or "fr".
        workers: threads.
        progress: where to report.

    Returns:
        The path of the file.

    Raises:
        InputError: an unknown language.
    """
    words = check_words(lang)
    by_case: dict[str, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        if finding.case is not None:
            by_case[finding.case].append(finding)
    flagged = sorted(by_case, key=lambda name: by_case[name][0].severity)
    clean = [name for name in report.cases if name not in by_case]
    shown = [dataset.case(name) for name in (*flagged[:PICTURES], *_spread(clean, UNFLAGGED))][:PICTURES]
    views = []
    with progress.task("pictures", total=len(shown)) as task:
        for outcome in map_bounded(lambda case: thumbnail(case, dataset), shown, workers):
            picture, name = outcome.unwrap(), outcome.item.id
            views.append(CaseView(name, tuple(by_case[name]), picture, _lacking(picture, words)))
            task.advance(note=name)
    output = Path(output)
    write_text_atomic(output, _render(dataset, report, views, lang))
    return output


def _spread(names: list[str], count: int) -> list[str]:
    """At most `count`, evenly over the list."""
    step = max(1, -(-len(names) // count))
    return names[::step]


def _lacking(picture: Thumbnail, words: dict[str, str]) -> str | None:
    if picture.lacking is None:
        return None
    known = picture.lacking in (OTHER_SHAPE, WITHOUT_MASK)
    why = words[picture.lacking] if known else picture.lacking
    return words["no_picture" if picture.uri is None else "no_mask"].format(why=why)


def _render(dataset: Dataset, report: CheckReport, views: list[CaseView], lang: str) -> str:
    words, voice = check_words(lang), Voice(lang)
    count = voice.count(len(report.cases))
    flagged = len({f.case for f in report.findings if f.case is not None})
    kinds = [
        KindView(name, KINDS[name].severity, number, *meaning(name, lang))
        for name, number in Counter(f.name for f in report.findings).items()
    ]
    context = {
        "w": words,
        "meaning": lambda name: meaning(name, lang),
        "name": report.dataset,
        "root": dataset.root.absolute(),  # of a manifest it may be "."
        "lead": words["lead" if report.findings else "lead.ok"].format(n=count),
        "cards": [
            (words["cases"], len(report.cases), ""),
            (words["errors"], len(report.errors), ""),
            (words["warnings"], len(report.warnings), ""),
            (words["clean"], len(report.cases) - flagged, words["of"].format(n=count)),
        ],
        "kinds": sorted(kinds, key=lambda kind: (kind.severity, -kind.count)),
        "views": views,
        "shown_kinds": {kind for view in views for kind in view.kinds},
        "severity": lambda name: KINDS[name].severity,
        "shown": words["shown"].format(shown=voice.number(len(views)), all=voice.number(len(report.cases))),
        "findings": report.findings,
        "made": words["made"].format(
            version=__version__, when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        ),
    }
    return render_page("check.html", context, voice)
